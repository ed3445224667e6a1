"""Which labels are probably wrong: confident learning on predictions for pictures held out.

A class's threshold is the mean probability that its own pictures have of it. A picture is suspect
if its probability of another class reaches that class's threshold, and is the highest that does
(Northcutt, Jiang, Chuang 2021, Confident Learning: the off-diagonal of the confident joint).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Suspect:
    """A label that is probably wrong.

    Attributes:
        row: of the probabilities.
        given: the class that it has.
        likely: the class that it seems to be.
        score: the likely class's probability minus the given one's, up to 1.
    """

    row: int
    given: int
    likely: int
    score: float


def suspect_labels(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], margin: float = 0.0
) -> list[Suspect]:
    """Return the suspects among pictures of one class each, the surest first.

    Args:
        probabilities: (n, classes) of models that had not seen the picture.
        labels: (n,) int64.
        margin: how much likelier the other class must be, at least.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, weights=own, minlength=classes)
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    reached = np.where(probabilities >= thresholds, probabilities, -1)
    likely = reached.argmax(axis=1)
    score = probabilities[np.arange(len(labels)), likely] - own
    suspect = (reached.max(axis=1) >= 0) & (likely != labels) & (score > margin)
    rows = np.flatnonzero(suspect)
    rows = rows[np.argsort(-score[rows], kind="stable")]
    return [Suspect(int(i), int(labels[i]), int(likely[i]), float(score[i])) for i in rows]


def suspect_tags(
    probabilities: NDArray[np.float32], labels: NDArray[np.uint8], margin: float = 0.0
) -> list[Suspect]:
    """Return the suspects among pictures of any number of classes; each class is judged by itself.

    Args:
        probabilities: (n, classes), each entry by itself between 0 and 1.
        labels: (n, classes) of 0 and 1.
        margin: as of `suspect_labels`.

    Returns:
        Suspects whose `given` and `likely` are both the class: it should be there and is not, or
        the other way round.
    """
    found = []
    for column in range(labels.shape[1]):
        there = probabilities[:, column]
        both = np.stack([1 - there, there], axis=1)
        suspects = suspect_labels(both, labels[:, column].astype(np.int64), margin)
        found += [Suspect(one.row, column, column, one.score) for one in suspects]
    return sorted(found, key=lambda suspect: -suspect.score)
