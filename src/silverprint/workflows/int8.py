"""Writing a bundle's network in int8, if that does not cost too much accuracy."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from silverprint.data.splits import split_validation
from silverprint.data.table import Dataset
from silverprint.errors import ExportError
from silverprint.export.parity import Answer
from silverprint.runtime.bundle import MODEL, Bundle
from silverprint.training.progress import Progress
from silverprint.workflows.evaluate import evaluate_bundle, with_classes_of


@dataclass(frozen=True)
class Cost:
    """What int8 cost, on pictures that did not calibrate it.

    Attributes:
        before: the bundle's accuracy.
        after: the written file's.
        pictures: how many judged.
        split: which these are.
        same_label: the share of them whose likeliest class is the same.
    """

    before: float
    after: float
    pictures: int
    split: str
    same_label: float

    @property
    def drop(self) -> float:
        """How much accuracy was lost; negative where some was won."""
        return self.before - self.after

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "before": self.before,
            "after": self.after,
            "pictures": self.pictures,
            "split": self.split,
            "same_label": self.same_label,
        }


def write_judged(
    bundle: Bundle, dataset: Dataset, path: Path, max_drop: float, progress: Progress
) -> tuple[Answer, Cost]:
    """Write the int8 file, and measure it against the bundle.

    The training split calibrates. The test split judges, or else the validation split, or else
    some pictures that are set aside here: of those the bundle may have learned.

    Returns:
        What answers as the file does, and what that costs.

    Raises:
        DataError: the pictures are not of the bundle's classes, or cannot be used.
        ExportError: accuracy falls by more than `max_drop`.
    """
    from silverprint.export.int8 import write_int8
    from silverprint.export.onnx_file import open_onnx

    dataset = with_classes_of(bundle, dataset)
    if not dataset.has("test"):
        dataset = split_validation(dataset)
    with progress.stage("quantise"):
        write_int8(bundle, dataset, path)
    cost = _measure(bundle, path, dataset, progress)
    if cost.drop > max_drop:
        raise ExportError(
            f"int8 costs too much: accuracy falls from {cost.before:.4f} to {cost.after:.4f} on "
            f"{cost.pictures:,} {cost.split} pictures, by more than --max-drop {max_drop:g}. "
            "Nothing was written; allow more, or ship f32."
        )
    return open_onnx(path), cost


def _measure(bundle: Bundle, path: Path, dataset: Dataset, progress: Progress) -> Cost:
    before = evaluate_bundle(bundle, dataset, progress)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        shutil.copyfile(path, Path(folder) / MODEL)
        after = evaluate_bundle(Bundle(Path(folder), bundle.manifest), dataset, progress)
    labels = [found.probabilities.argmax(1) for found in (before, after)]
    return Cost(
        before.metrics["accuracy"], after.metrics["accuracy"], before.metrics["n"], before.split,
        float(np.mean(labels[0] == labels[1])),
    )  # fmt: skip
