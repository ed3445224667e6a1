"""The core dependencies alone, without torch and all else, are enough to serve; they are small."""

import importlib.metadata
import os
import subprocess
import sys
import tomllib
from http.client import HTTPConnection
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LIMIT = 300e6  # bytes


def core() -> dict[str, Distribution]:
    """Return what `pip install silverprint` installs beside it, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found: dict[str, Distribution] = {}
    waiting = [(requirement, "") for requirement in project["dependencies"]]
    while waiting:
        text, extra = waiting.pop()
        requirement = Requirement(text)
        marker = requirement.marker
        if requirement.name in found or (marker and not marker.evaluate({"extra": extra})):
            continue
        found[requirement.name] = importlib.metadata.distribution(requirement.name)
        for chosen in ("", *requirement.extras):
            needs = importlib.metadata.requires(requirement.name) or ()
            waiting += [(need, chosen) for need in needs]
    return found


def test_the_core_dependencies_serve(tmp_path, make_bundle, picture) -> None:
    """Runs without site-packages: only what the core dependencies consist of is linked."""
    size, site = 0, tmp_path / "site"
    site.mkdir()
    for distribution in core().values():
        for file in distribution.files:
            place = Path(distribution.locate_file(file))
            if file.parts[0] == ".." or file.suffix == ".pyc":
                continue
            size += place.stat().st_size
            link = site / file.parts[0]
            if not link.exists():
                link.symlink_to(distribution.locate_file(file.parts[0]))
    assert size < LIMIT
    code = "import sys; from silverprint.cli import main; sys.argv[0] = 'silverprint'; main()"
    arguments = ["serve", str(make_bundle()), "--port", "0", "--quiet"]
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code, *arguments], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (site, ROOT / "src")))},
    ) as process:  # fmt: skip
        try:
            port = int(process.stdout.readline().split(" at ")[1].split()[0].rpartition(":")[2])
            connection = HTTPConnection("127.0.0.1", port, timeout=10)
            headers = {"Content-Type": "image/png"}
            connection.request("POST", "/predict", picture("green"), headers)
            response = connection.getresponse()
            assert b'"label": "green"' in response.read()
            assert response.status == 200
            connection.close()
        finally:
            process.terminate()
        assert process.wait(10) == 0
    names = {path.name for path in site.iterdir()}
    assert {"onnxruntime", "fastapi"} <= names
    assert names & {"torch", "onnx", "openvino", "sklearn", "httpx"} == set()
