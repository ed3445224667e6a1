"""A web page that answers by itself, from any static host.

index.html, page/*       as the server sends them, with local.js in the place of server.js
page/config.json         classes, task and mode, and what is to be loaded
page/runtime/            onnxruntime-web: from npm, from a folder, or left where a link finds it
model.onnx               the bundle's own
"""

import json
import math
import re
import shutil
import subprocess
import tarfile
import tempfile
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from silverprint.errors import ConfigError, closest
from silverprint.runtime.bundle import MODEL, Bundle

VERSION = "1.30.0"
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
# Under names that every web server knows the type of; .mjs is still new to some.
RUNTIME = {SCRIPT: "page/runtime/ort.js", WASM: "page/runtime/ort.wasm"}
MODES = ("classify", "spell")
CONFIG = "page/config.json"
NPM_SECONDS = 600
OTHER_WAYS = (
    "give --runtime FOLDER with its dist files, or --runtime https://... to load them from there"
)
POLICY = (
    "default-src 'none'; script-src 'self' blob: 'wasm-unsafe-eval'{origin}; worker-src 'self' "
    "blob:; style-src 'self'; img-src 'self'; connect-src 'self'{origin}; base-uri 'none'; "
    "form-action 'none'"
)


def write_web(bundle: Bundle, out: Path, *, runtime: str | None, mode: str) -> None:
    """Write a folder that shows the page and answers in the browser.

    Args:
        bundle: what answers.
        out: a new or empty folder; what is in it after an error is of no use.
        runtime: where onnxruntime-web's dist files are: a folder, an address to load them from, or
            None for npm.
        mode: "classify", or "spell" to write out the signs that are held up to the camera.

    Raises:
        ConfigError: a setting is wrong, or onnxruntime-web cannot be had that way.
    """
    if mode not in MODES:
        raise ConfigError(
            f"mode must be one of {', '.join(MODES)}; got {mode!r}.{closest(mode, MODES)}"
        )
    if mode == "spell" and bundle.task != "single-label":
        raise ConfigError("mode spell needs one sign a picture; this bundle is multi-label.")
    (out / "page" / "runtime").mkdir(parents=True)
    described = _put_runtime(runtime, out)
    _put_page(out, described)
    shutil.copyfile(bundle.model, out / MODEL)
    _put_config(bundle, out, described, mode)


# ---- The page ----


def _put_page(site: Path, runtime: dict[str, Any]) -> None:
    pages = resources.files("silverprint") / "serving" / "page"
    for source in pages.iterdir():
        if source.name not in ("index.html", "server.js"):
            (site / "page" / source.name).write_bytes(source.read_bytes())
    served = (pages / "index.html").read_text("utf-8")
    (site / "index.html").write_text(_standing_alone(served, runtime["script"]), "utf-8")


def _standing_alone(html: str, script: str) -> str:
    """Return the served page with the other way to answer, and a policy that lets it."""
    address = urlsplit(script)
    origin = f" {address.scheme}://{address.netloc}" if address.netloc else ""
    policy = POLICY.format(origin=origin)
    html = re.sub('(?<=Content-Security-Policy" content=")[^"]*', policy, html)
    return html.replace("page/server.js", "page/local.js")


def _put_config(bundle: Bundle, site: Path, runtime: dict[str, Any], mode: str) -> None:
    farthest = bundle.farthest()
    config = {
        "name": bundle.manifest.get("name") or bundle.path.name,
        "task": bundle.task,
        "classes": bundle.classes,
        "mode": mode,
        "decode_side": bundle.decode_side,
        "unknown_beyond": None if math.isinf(farthest) else farthest,
        "model": {"path": MODEL, "bytes": (site / MODEL).stat().st_size},
        "runtime": runtime,
    }
    (site / CONFIG).write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", "utf-8")


# ---- onnxruntime-web ----


def _put_runtime(runtime: str | None, site: Path) -> dict[str, Any]:
    """Bring onnxruntime-web there; return its addresses and the size of its larger file."""
    if runtime is not None and "://" in runtime:
        return _linked(runtime)
    if runtime is None:
        _from_npm(site)
    else:
        _from_folder(Path(runtime), site)
    size = (site / RUNTIME[WASM]).stat().st_size
    return {"script": RUNTIME[SCRIPT], "wasm": RUNTIME[WASM], "bytes": size}


def _linked(address: str) -> dict[str, Any]:
    parts = urlsplit(address)
    plain = re.fullmatch(r"[\w.:\[\]-]+", parts.netloc) and not (parts.query or parts.fragment)
    if parts.scheme not in ("http", "https") or not plain:
        raise ConfigError(
            f"--runtime takes a folder, or the http(s) address of one with onnxruntime-web's dist "
            f"files; got {address!r}."
        )
    base = address.rstrip("/")
    return {"script": f"{base}/{SCRIPT}", "wasm": f"{base}/{WASM}", "bytes": 0}


def _from_folder(folder: Path, site: Path) -> None:
    found = next((at for at in (folder, folder / "dist") if (at / SCRIPT).is_file()), folder)
    for name, to in RUNTIME.items():
        try:
            shutil.copyfile(found / name, site / to)
        except OSError as error:
            raise ConfigError(
                f"--runtime {folder}: {name} cannot be read ({error.strerror}); it takes the dist "
                f"folder of onnxruntime-web {VERSION} or near it."
            ) from None


def _from_npm(site: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigError(
            f"onnxruntime-web {VERSION} comes from npm, and there is no npm here; install npm, or "
            f"{OTHER_WAYS}."
        )
    package = f"onnxruntime-web@{VERSION}"
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", package, "--ignore-scripts", "--silent"]
        try:
            done = subprocess.run(  # noqa: S603 - npm of the user's own PATH, and no shell
                command, cwd=folder, capture_output=True, text=True, timeout=NPM_SECONDS
            )
            reason = (done.stderr or done.stdout).strip().splitlines()
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = [str(error)]
        archives = list(Path(folder).glob("*.tgz"))
        if not archives:
            said = reason[-1] if reason else "it said nothing"
            raise ConfigError(f"npm pack {package} failed: {said}. Try again, or {OTHER_WAYS}.")
        _unpack(archives[0], site)


def _unpack(archive: Path, site: Path) -> None:
    with tarfile.open(archive) as packed:
        for name, to in RUNTIME.items():
            found = None
            with suppress(KeyError):
                found = packed.extractfile(f"package/dist/{name}")
            if found is None:
                raise ConfigError(f"{archive.name} from npm has no dist/{name}; {OTHER_WAYS}.")
            (site / to).write_bytes(found.read())
