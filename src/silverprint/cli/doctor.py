"""`silverprint doctor`."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from typing import Annotated, Any

import typer

from silverprint.cli.common import print_json, table

LIBRARIES = ("numpy", "pillow", "onnxruntime", "torch", "torchvision", "timm", "openvino", "onnx",
             "safetensors", "scikit-learn")  # fmt: skip


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
) -> None:
    """Say what this machine has: versions, engines, the cache and the data folder."""
    facts = _facts()
    if json:
        print_json(facts)
        return
    table(("what", "found"), [(name, str(value)) for name, value in facts.items()])
    if "not installed" in (facts["torch"], facts["openvino"]):
        typer.echo('Training needs more packages: pip install "silverprint[train]"')


def _facts() -> dict[str, Any]:
    from silverprint import __version__
    from silverprint.backbones.registry import PACKAGED
    from silverprint.runtime.paths import cache_folder, data_folder

    cache = cache_folder()
    used = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    return {
        "silverprint": __version__,
        "python": platform.python_version(),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        **{name: _version(name) for name in LIBRARIES},
        "engines": _engines(),
        "packaged backbones": ", ".join(name for name, kind in PACKAGED.items() if kind.path()),
        "cache": f"{cache}, {used / 1e6:,.0f} MB used",
        "disk free": f"{shutil.disk_usage(existing).free / 1e9:,.0f} GB",
        "data folder": f"{data_folder()}{'' if data_folder().exists() else ' (not there yet)'}",
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _engines() -> str:
    if not all(importlib.util.find_spec(name) for name in ("torch", "onnx", "safetensors")):
        return "onnxruntime-f32 (predict and evaluate only)"
    from silverprint.backbones.engines import engine_candidates

    return ", ".join(engine_candidates())
