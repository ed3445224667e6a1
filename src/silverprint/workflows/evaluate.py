"""`evaluate`: run a bundle's own file over labelled pictures and measure it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.data.table import SPLITS, Dataset
from silverprint.errors import DataError, ImageError
from silverprint.runtime.bundle import Bundle
from silverprint.runtime.predictor import Predictor
from silverprint.training.metrics import evaluate
from silverprint.training.progress import Progress
from silverprint.training.sets import evaluate_sets


@dataclass(frozen=True)
class Evaluation:
    """A bundle measured on labelled pictures.

    Attributes:
        split: which of the dataset's splits.
        metrics: as training.metrics.evaluate gives them, of all pictures; `answered`: n, how many
            are not unknown, and their accuracy, for single-label; with a coverage also `sets`:
            asked, and what training.sets.evaluate_sets gives.
        dataset: the pictures that could be read, labelled by the bundle's classes.
        probabilities: (n, classes), one row a picture.
        refused: (file, reason) of pictures that could not be read.
    """

    split: str
    metrics: dict[str, Any]
    dataset: Dataset
    probabilities: NDArray[np.float32]
    refused: tuple[tuple[str, str], ...]

    @property
    def wrong(self) -> list[tuple[str, str, str, float]]:
        """(file, truth, predicted, probability), the most confident mistake first."""
        if self.dataset.task == "multi-label":
            return []
        predicted = self.probabilities.argmax(1)
        confidence = self.probabilities.max(1)
        classes, labels = self.dataset.classes, self.dataset.labels
        return [
            (self.dataset.names[i], classes[labels[i]], classes[predicted[i]], float(confidence[i]))
            for i in np.argsort(-confidence, kind="stable")
            if predicted[i] != labels[i]
        ]


def evaluate_bundle(
    bundle: Bundle, dataset: Dataset, progress: Progress, split: str | None = None,
    coverage: float | None = None, accept: float | None = None,
) -> Evaluation:  # fmt: skip
    """Measure the bundle on one split: the one named, else test, else validation, else all.

    Args:
        bundle: the model.
        dataset: labelled pictures.
        progress: shows how far it is.
        split: which part of them.
        coverage: share of pictures for which a set of labels should hold the truth, to be measured.
        accept: share of known pictures that should be answered; None for the bundle's own.

    Raises:
        DataError: the dataset has a class that the bundle does not know, or no such split.
        ConfigError: the coverage cannot be promised, or the bundle knows no distances to accept by.
    """
    chosen, rows = _rows(dataset, split)
    taken = with_classes_of(bundle, dataset.take(rows))
    predictor = Predictor(bundle, accept, coverage)
    kept: list[int] = []
    refused: list[tuple[str, str]] = []
    answers: list[NDArray[np.float32]] = []
    answered: list[bool] = []
    with progress.stage("evaluate", len(taken), f"examining {len(taken):,} pictures") as advance:
        stream = predictor.outcomes(taken.sources, taken.names)
        for i, (name, outcome, distance) in enumerate(stream):
            advance(1)
            if isinstance(outcome, ImageError):
                refused.append((name, outcome.reason))
            else:
                kept.append(i)
                answers.append(outcome)
                answered.append(not predictor.is_unknown(distance))
    if not answers:
        raise DataError(f"{dataset.name}: none of the {len(taken)} pictures can be read.")
    read = taken.take(np.array(kept))
    probabilities = np.stack(answers)
    metrics = evaluate(bundle.task, probabilities, read.labels, bundle.classes)
    known = np.array(answered)
    if bundle.task == "single-label":
        right = probabilities.argmax(1) == read.labels
        metrics["answered"] = {
            "n": int(known.sum()),
            "accuracy": float(right[known].mean()) if known.any() else None,
        }
    if predictor.least is not None:
        found = evaluate_sets(probabilities, read.labels, bundle.classes, predictor.least, known)
        metrics["sets"] = {"asked": coverage, **found}
    return Evaluation(chosen, metrics, read, probabilities, tuple(refused))


def _rows(dataset: Dataset, split: str | None) -> tuple[str, NDArray[np.int64]]:
    wanted = ("test", "validation", "all") if split is None else (split,)
    for name in wanted:
        if name == "all":
            return name, np.arange(len(dataset))
        if name in SPLITS and dataset.has(name):
            return name, dataset.rows(name)
    raise DataError(f"{dataset.name} has no {split} split; use train, validation, test or all.")


def with_classes_of(bundle: Bundle, dataset: Dataset) -> Dataset:
    """Renumber the labels to the bundle's order of classes."""
    unknown = sorted(set(dataset.classes) - set(bundle.classes))
    if unknown:
        raise DataError(
            f"{dataset.name} has classes that the bundle does not know: {', '.join(unknown[:5])}; "
            f"the bundle knows {', '.join(bundle.classes[:10])}."
        )
    if dataset.task != bundle.task:
        raise DataError(f"{dataset.name} is {dataset.task}, but the bundle is {bundle.task}.")
    place = np.array([bundle.classes.index(name) for name in dataset.classes], dtype=np.int64)
    if dataset.task == "single-label":
        return replace(dataset, classes=bundle.classes, labels=place[dataset.labels])
    labels = np.zeros((len(dataset), len(bundle.classes)), dtype=np.uint8)
    labels[:, place] = dataset.labels
    return replace(dataset, classes=bundle.classes, labels=labels)
