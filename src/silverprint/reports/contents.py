"""What a report tells, as plain values: no drawing and no HTML here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.data.table import Task


@dataclass(frozen=True)
class Picture:
    """One picture shown with its prediction.

    Attributes:
        image: (height, width, 3) uint8 thumbnail, about 160 pixels; a larger one is reduced.
        name: the picture's name as the user knows it.
        truth: its class, or its classes joined by ", "; None if nobody said.
        predicted: the same of the prediction; it is right if both texts are equal.
        probability: of the predicted class, 0 to 1.
        top: further guesses (class, probability), best first; may begin with the prediction.
    """

    image: NDArray[np.uint8]
    name: str
    truth: str | None
    predicted: str
    probability: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Curve:
    """One line of the training chart.

    Attributes:
        name: such as "training loss" or "validation accuracy". Names with "loss" share a chart, all
            others share a second one; names with "train" are drawn quietly.
        values: one an epoch, from epoch 1; a value that is not finite is left out.
    """

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Report:
    """Everything one report tells.

    Attributes:
        title: the dataset's name.
        summary: one sentence that says the result in words.
        classes: the names, in the order of the metrics' confusion matrix.
        task: "single-label" or "multi-label".
        metrics: by split ("validation", "test"), as training.metrics.evaluate returns them.
        class_counts: by split, by class, how many pictures.
        samples: pictures with their predictions, in the order to show.
        mistakes: wrong ones; shown most confidently wrong first.
        curves: the chosen head's training; empty for an exact solution.
        candidates: the configurations tried, each {setting: value, ...} with
            "validation_accuracy" (0 to 1) and "validation_loss", and "chosen": True for one.
        notices: what was read, found and decided, a line each.
        refused: (file, reason) of every file that could not be used.
        seconds: by stage, in order.
        provenance: backbone, weights, engine, seed, versions, command, date, ... in order.
    """

    title: str
    summary: str
    classes: tuple[str, ...]
    task: Task
    metrics: Mapping[str, Mapping[str, Any]]
    class_counts: Mapping[str, Mapping[str, int]]
    samples: Sequence[Picture] = ()
    mistakes: Sequence[Picture] = ()
    curves: Sequence[Curve] = ()
    candidates: Sequence[Mapping[str, Any]] = ()
    notices: Sequence[str] = ()
    refused: Sequence[tuple[str, str]] = ()
    seconds: Mapping[str, float] | None = None
    provenance: Mapping[str, str] | None = None

    @property
    def judged_on(self) -> str | None:
        """The split whose metrics the report is about: test, else validation, else none."""
        return next((split for split in ("test", "validation") if split in self.metrics), None)
