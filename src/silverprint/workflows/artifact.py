"""Write what ships, and examine it: metrics come from the written file, not from the run."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from silverprint import __version__
from silverprint.data.table import Split
from silverprint.export.graph import head_graph, head_of, join, metadata_of
from silverprint.runtime.bundle import MODEL, WEIGHTS
from silverprint.runtime.images import decode
from silverprint.training.journal import METRICS

if TYPE_CHECKING:
    from silverprint.workflows.run import Training

AGREEMENT = 1e-4  # largest probability difference between the whole file and its two halves
PICTURES_END_TO_END = 8
LIBRARIES = ("silverprint", "torch", "onnx", "onnxruntime", "numpy", "pillow")


def write_artifact(run: "Training", folder: Path) -> None:
    """Write model.onnx and weights.safetensors."""
    int8 = run.precision == "int8"
    backbone = onnx.load(run.prepared.int8_graph if int8 else run.prepared.graph)
    classes = run.dataset.classes
    head = head_graph(run.head, run.graph_link, run.temperature, len(classes), run.familiar)
    metadata = metadata_of(classes, run.dataset.task, __version__)
    onnx.save(join(run.preprocessing, backbone, head, metadata), folder / MODEL)
    weights = load_file(run.prepared.weights)
    tensors = {f"backbone.{name}": tensor for name, tensor in weights.items()}
    described = {"architecture": run.prepared.choice.architecture}
    save_file({**tensors, **run.head.tensors()}, folder / WEIGHTS, metadata=described)
    if run.folder is not None:
        shutil.copy(run.folder / METRICS, folder / METRICS)


def examine(
    run: "Training", shipped: dict[str, NDArray[np.float32]], folder: Path
) -> dict[str, NDArray[np.float32]]:
    """Return each held-out split's probabilities as the written file gives them.

    The file's first half is deterministic and has already run on these pictures (that is what
    `shipped` holds), so its second half is cut out and run on the result. The whole file is then
    run on a few pictures from their bytes, and must agree.

    Raises:
        RuntimeError: it does not agree, which is a fault of ours.
    """
    if not shipped:
        return {}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    model = onnx.load(folder / MODEL)
    head = onnxruntime.InferenceSession(
        head_of(model).SerializeToString(), options, ["CPUExecutionProvider"]
    )
    answers = {
        name: head.run(["probabilities"], {"features": features})[0]
        for name, features in shipped.items()
    }
    whole = onnxruntime.InferenceSession(str(folder / MODEL), options, ["CPUExecutionProvider"])
    for name, probabilities in answers.items():
        _compare(run, whole, name, probabilities, AGREEMENT + _rounding(run, shipped[name]))
    return answers


def _rounding(run: "Training", features: NDArray[np.float32]) -> float:
    """Return what rounding of the logits may add: 2e-6 as a rule, 1e-3 where they are huge.

    They are in a network whose weights all began as ones: 240,000 was seen.
    """
    largest = float(np.abs(run.head.logits(features)).max())
    return float(np.finfo(np.float32).eps) * largest / run.temperature


def _compare(
    run: "Training", whole: Any, split: str, expected: NDArray[np.float32], most: float
) -> None:
    rows = run.dataset.rows(_split(split))
    every = max(1, len(rows) // PICTURES_END_TO_END)
    for position in range(0, len(rows), every):
        row = rows[position]
        source, name = run.dataset.sources[row], run.dataset.names[row]
        image = decode(source, name=name)
        found = whole.run(["probabilities"], {"images": image[None]})[0][0]
        difference = float(np.abs(found - expected[position]).max())
        if not difference <= most:
            raise RuntimeError(
                f"the written model disagrees with its own parts on {name}: probabilities differ "
                f"by {difference:.6f}, more than {most:.6f}"
            )


def _split(name: str) -> Split:
    assert name in ("validation", "test")
    return "validation" if name == "validation" else "test"


def describe(run: "Training", seconds: dict[str, float]) -> dict[str, Any]:
    """Return the content of bundle.json, without the digests."""
    dataset, prepared = run.dataset, run.prepared
    counts = {name: dataset.class_counts(_any(name)) for name in ("train", "validation", "test")}
    return {
        "silverprint": __version__,
        "name": dataset.name,
        "task": dataset.task,
        "classes": list(dataset.classes),
        "preprocessing": {
            **run.preprocessing.to_json(),
            "decode_side": run.preprocessing.decode_side,
        },
        "architecture": {
            "backbone": prepared.choice.architecture,
            "features": prepared.features,
            "hidden_size": run.head.hidden_size,
            "outputs": run.outputs,
            "link": run.graph_link,
            "engine": run.seen.engine,
        },
        "calibration": {"temperature": run.temperature},
        "metrics": run.metrics,
        "reference": run.reference,
        "unknown": run.unknown,
        "sets": run.sets,
        "data": {
            "fingerprint": _fingerprint(run),
            "pictures": {name: sum(count.values()) for name, count in counts.items()},
            "refused": len(run.seen.refused),
            "near_copies": {} if run.copies is None else run.copies.counts,
        },
        "training": {
            "settings": run.settings.to_json(),
            **run.learned(),
            "cross_validated": run.cross_validated,
            "looked": run.seen.looked,
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
        },
        "libraries": {name: version(name) for name in LIBRARIES},
        "licences": {"weights": prepared.choice.licence},
    }


def _any(name: str) -> Split:
    return "train" if name == "train" else _split(name)


def _fingerprint(run: "Training") -> str:
    """One digest of all pictures, labels and splits, in order."""
    import hashlib

    digest = hashlib.sha256(json.dumps(run.dataset.classes).encode())
    for part in (b"".join(run.seen.digests), run.dataset.labels.tobytes(),
                 run.dataset.splits.tobytes()):  # fmt: skip
        digest.update(part)
    return digest.hexdigest()
