"""One ONNX file: the bundle's own, with all that its answers need said in its metadata."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from silverprint.export.graph import with_one_opset
from silverprint.export.parity import Answer, Pixels
from silverprint.runtime.bundle import Bundle

LABEL_THRESHOLD = 0.5  # from it on a class of several is named, as Prediction says


def write_onnx(bundle: Bundle, path: Path) -> None:
    """Write the bundle's graph as it is, with classes and thresholds in its metadata."""
    save(onnx.load(bundle.model), bundle, path)


def save(model: onnx.ModelProto, bundle: Bundle, path: Path) -> None:
    """Write a graph, and in its metadata what is known of it."""
    known = {prop.key: prop.value for prop in model.metadata_props}
    onnx.helper.set_model_props(model, {**known, **facts_of(bundle)})
    onnx.save(with_one_opset(model), path)


def facts_of(bundle: Bundle) -> dict[str, str]:
    """Return what every exported file says of itself; all but `task` and `name` are JSON."""
    return {
        "name": str(bundle.manifest.get("name", "")),
        "task": bundle.task,
        "classes": _json(bundle.classes),
        "thresholds": _json(thresholds(bundle)),
        "calibration": _json(bundle.manifest.get("calibration", {})),
        "reference": _json(bundle.manifest.get("reference") or {}),
    }


def thresholds(bundle: Bundle) -> dict[str, float]:
    """Return where answers change.

    Returns:
        `label`: of several classes each is named from this probability on; of one, the likeliest
        is. `distance`: a picture is unknown above it, if the bundle knows distances.
    """
    found = {"label": LABEL_THRESHOLD} if bundle.task == "multi-label" else {}
    farthest = bundle.farthest()
    return {**found, "distance": farthest} if math.isfinite(farthest) else found


def is_int8(bundle: Bundle) -> bool:
    """Say whether the bundle's own network is int8."""
    architecture: dict[str, Any] = bundle.manifest.get("architecture", {})
    return str(architecture.get("engine", "")).endswith("int8")


def open_onnx(path: Path) -> Answer:
    """Return what answers as the file does in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])

    def answer(images: Pixels) -> NDArray[np.float32]:
        found: NDArray[np.float32] = session.run(["probabilities"], {"images": images})[0]
        return found

    return answer


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
