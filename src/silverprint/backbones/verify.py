"""Check that an engine computes what torch computes in f32, once for each machine and version."""

import contextlib
import json
import os
import platform
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.backbones.engines import Engine, make_engine
from silverprint.backbones.prepare import PreparedBackbone

# Of the mean cosine. bf16 keeps 8 bits of each product: on photos that gives 0.9967 to 0.9991,
# whatever runs it, and heads on such features were as accurate as on f32.
FLOORS = {"f32": 0.9999, "bf16": 0.995, "int8": 0.90}
PICTURES = 8

Probe = Callable[[], NDArray[np.uint8]]


class EngineRejectedError(Exception):
    """An engine's features are too far from torch's; another engine is tried."""


def verify_engine(engine: Engine, prepared: PreparedBackbone, probe: Probe) -> None:
    """Compare the engine with torch f32 on a few pictures, unless it passed here before.

    Args:
        engine: to be verified.
        prepared: its network; the outcome is kept beside its files.
        probe: gives the pictures, (n, 3, S, S) uint8, at most PICTURES of them.

    Raises:
        EngineRejectedError: the mean cosine is below the floor, or a feature is not finite.
    """
    if engine.name == "torch-cpu" or _record_name(engine.name) in _records(prepared):
        return
    pixels = probe()
    # torch cannot build again what was trained here; ONNX Runtime was compared with it then.
    here = prepared.choice.source == "trained here"
    reference = make_engine("onnxruntime-f32" if here else "torch-cpu", prepared)
    _compare(engine, prepared, pixels, reference.features(pixels))


def verify_network(prepared: PreparedBackbone, network: Any, pixels: NDArray[np.uint8]) -> None:
    """Compare the file of a network that was trained here with the network itself.

    Args:
        prepared: its files.
        network: pixels (n, 3, S, S) uint8 -> features (n, d).
        pixels: a few pictures.

    Raises:
        EngineRejectedError: they disagree, which is a fault of ours.
    """
    import torch

    with torch.inference_mode():
        expected = network(torch.from_numpy(pixels)).numpy()
    _compare(make_engine("onnxruntime-f32", prepared), prepared, pixels, expected)


def _compare(
    engine: Engine,
    prepared: PreparedBackbone,
    pixels: NDArray[np.uint8],
    expected: NDArray[np.float32],
) -> None:
    cosine = mean_cosine(engine.features(pixels), expected)
    floor = FLOORS.get(engine.name.rpartition("-")[2], FLOORS["bf16"])
    if not cosine >= floor:  # not remembered: on other pictures it may be good enough
        raise EngineRejectedError(
            f"engine {engine.name} was dropped: on the first {len(pixels)} pictures its features "
            f"have a mean cosine of {cosine:.4f} with torch f32, below {floor}"
        )
    _record(prepared, _record_name(engine.name), cosine)


def mean_cosine(ours: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Return the mean cosine between rows; NaN where anything is not finite.

    Equal rows have 1, those of zeros included, which have no direction: a network that began with
    zeros gives them.
    """
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(reference, axis=1)
    cosines = (ours * reference).sum(axis=1) / np.maximum(lengths, 1e-12)
    return float(np.mean(np.where((ours == reference).all(axis=1), 1.0, cosines)))


def _record_name(engine: str) -> str:
    library = ""
    with contextlib.suppress(PackageNotFoundError):  # ONNX Runtime has several distributions
        library = version(engine.partition("-")[0])
    return f"{engine} {library} on {platform.processor() or platform.machine()}"


def _records(prepared: PreparedBackbone) -> dict[str, Any]:
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
        records: dict[str, Any] = json.loads((prepared.folder / "verified.json").read_text("utf-8"))
        return records
    return {}


def _record(prepared: PreparedBackbone, name: str, cosine: float) -> None:
    records = _records(prepared) | {name: round(cosine, 6)}
    handle, part = tempfile.mkstemp(dir=prepared.folder, suffix=".part")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(records, file, indent=2)
    Path(part).replace(prepared.folder / "verified.json")
