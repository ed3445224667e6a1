"""What users may rely on: the public names, quick imports, and the files that install."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest

import silverprint
from silverprint.errors import SilverprintError

ROOT = Path(__file__).parents[1]
HEAVY = {"onnx", "onnxruntime", "openvino", "scipy", "sklearn", "timm", "torch", "torchvision"}
LOCK = ROOT / "requirements.lock"
# In pieces, so that this file does not mention them either.
REGISTRY_HOSTS = (
    "pypi" + ".org",
    "python" + "hosted.org",
    "registry." + "npmjs",
    "ana" + "conda.org",
    "deb." + "debian",
)
TEXTS = {".cfg", ".css", ".html", ".ini", ".ipynb", ".js", ".json", ".lock", ".md", ".py", ".toml",
         ".txt", ".yaml", ".yml", ""}  # fmt: skip


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    # CI=1: a program that reports to its maker keeps quiet, should one ever be started here.
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "CI": "1"},
    )


def imported_by(code: str) -> set[str]:
    """Return the top-level modules that are loaded after this code has run by itself."""
    shown = python("-c", f"{code}\nimport json, sys\nprint(json.dumps(list(sys.modules)))").stdout
    return {name.partition(".")[0] for name in json.loads(shown.splitlines()[-1])}


# ---- Names ----


def test_every_public_name_is_listed_once() -> None:
    assert len(set(silverprint.__all__)) == len(silverprint.__all__)
    assert {"__version__", "SilverprintError"} <= set(silverprint.__all__)


@pytest.mark.parametrize("name", silverprint.__all__)
def test_public_name_can_be_imported_and_is_documented(name: str) -> None:
    value = getattr(silverprint, name)
    if name == "__version__":
        assert value == importlib.metadata.version("silverprint")
        return
    # A dataclass without a docstring documents itself as "Name(field, ...)".
    documented = value.__doc__ or ""
    assert documented.strip()
    assert not documented.startswith(f"{name}(")


def test_no_other_name_is_public() -> None:
    for name in silverprint.__all__:
        getattr(silverprint, name)
    found = {
        name
        for name, value in vars(silverprint).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert found - {"TYPE_CHECKING", "Any"} <= set(silverprint.__all__)


def test_every_error_is_public() -> None:
    errors = {kind.__name__ for kind in [SilverprintError, *SilverprintError.__subclasses__()]
              if kind.__module__ == SilverprintError.__module__}  # fmt: skip
    assert errors <= set(silverprint.__all__)


def test_names_are_listed_before_they_are_loaded() -> None:
    listed = python("-c", "import json, silverprint; print(json.dumps(dir(silverprint)))").stdout
    assert set(silverprint.__all__) <= set(json.loads(listed))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = silverprint.no_such_name
    with pytest.raises(AttributeError) as caught:
        _ = silverprint.trian
    assert (caught.value.name, caught.value.obj) == ("trian", silverprint)  # Python says "train"?


@pytest.mark.parametrize("verb", ["evaluate", "explain", "predict"])
def test_a_verb_of_a_model_is_said_to_be_one(verb: str) -> None:
    with pytest.raises(AttributeError, match=rf"a model has it: load\(bundle\)\.{verb}$"):
        getattr(silverprint, verb)
    assert callable(getattr(silverprint.Model, verb))


def test_documents_use_only_public_names() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        if not path.exists():
            continue
        used = set(re.findall(r"\bsp\.(\w+)", path.read_text("utf-8")))
        assert used <= set(silverprint.__all__), path


# ---- Imports ----


def test_import_is_light() -> None:
    assert imported_by("import silverprint") & HEAVY == set()


def test_decoding_a_picture_needs_no_training_library() -> None:
    assert imported_by("import silverprint; silverprint.decode") & HEAVY == set()


def test_help_is_light() -> None:
    shown = python("-X", "importtime", "-m", "silverprint", "--help")
    assert "train" in shown.stdout
    imported = {line.rpartition("|")[2].strip().partition(".")[0]
                for line in shown.stderr.splitlines()}  # fmt: skip
    assert "silverprint" in imported
    assert imported & {"numpy", "PIL"} == set()
    assert imported & HEAVY == set()


def test_without_the_training_extra_the_line_that_installs_it_is_told() -> None:
    code = """
import sys
sys.modules["torch"] = None
import silverprint as sp
digits = sp.Dataset("digits", (), [], [], [], [])
for use in (sp.train, sp.tune, sp.compare, sp.audit, sp.features, sp.pixels,
            lambda data: sp.generate("vae", data, "vae"), lambda _: sp.load_backbone()):
    try:
        use(digits)
    except sp.MissingExtraError as error:
        print(error.extra, 'pip install "silverprint[train]"' in str(error))
"""
    assert python("-c", code).stdout.splitlines() == ["train True"] * 8


def test_nothing_reports_to_anyone() -> None:
    code = """
from silverprint import ConfigError
from silverprint.backbones.engines import engine_candidates
try:
    engine_candidates("openvino-bf16")
except ConfigError:
    pass
import sys
assert "openvino" in sys.modules
print(bool(sys.modules.get("openvino_telemetry")))
"""
    assert python("-c", code).stdout.split() == ["False"]


# ---- Files ----


def locked() -> dict[str, list[str]]:
    """Return each package's versions in the lock file; one has several where markers differ."""
    versions: dict[str, list[str]] = {}
    for line in LOCK.read_text("utf-8").splitlines():
        name, _, version = line.partition(" ")[0].partition("==")
        versions.setdefault(name, []).append(version)
    return versions


def test_lock_file_holds_names_and_versions_only() -> None:
    line_pattern = re.compile(
        r"[a-z0-9]+(-[a-z0-9]+)*==[0-9][0-9a-z.!+]*( ; [a-z_]+ [^:@/]+| ; \(.+)?"
    )
    odd = [
        line for line in LOCK.read_text("utf-8").splitlines() if not line_pattern.fullmatch(line)
    ]
    assert odd == []


def test_lock_file_holds_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["train"],
        *project["project"]["optional-dependencies"]["lite"],
        *project["dependency-groups"]["dev"],
    ]
    names = {re.split(r"[^A-Za-z0-9-]", requirement)[0] for requirement in wanted}
    assert names - set(locked()) == set()


@pytest.mark.parametrize("name", ["torch", "torchvision"])
def test_installed_torch_is_the_locked_one(name: str) -> None:
    installed = importlib.metadata.version(name).partition("+")[0]
    assert locked()[name] == [installed]


def test_no_file_mentions_a_package_registry() -> None:
    folders = [ROOT / name for name in ("src", "tests", "docs", "benchmarks", "lessons", ".ci")]
    files = [path for folder in folders for path in folder.rglob("*")]
    files = [path for path in files if not any(part.startswith(".venv") for part in path.parts)]
    files += [path for path in ROOT.iterdir() if not path.name.startswith(".git")]
    mentions = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in files
        if path.is_file() and path.suffix in TEXTS
        for host in REGISTRY_HOSTS
        if host in path.read_text("utf-8", errors="replace")
    ]
    assert mentions == []
