"""Which labels are probably wrong: confident learning on predictions for pictures held out.

A class's threshold is the mean probability that its own pictures have of it. A label is
confidently off if another class reaches its threshold, and is the highest that does (Northcutt,
Jiang, Chuang 2021, Confident Learning). How many labels are off tells how many are wrong; which
ones, tells the probability of the given class: the lowest are taken, where another class is likely
enough to be named.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RIVAL = 0.3  # least probability of the other class


@dataclass(frozen=True)
class Suspect:
    """A label that is probably wrong.

    Attributes:
        row: of the probabilities.
        given: the class that it has.
        likely: the class that it seems to be.
        believed: probability of the given class.
        rival: probability of the likely one.
    """

    row: int
    given: int
    likely: int
    believed: float
    rival: float


def suspect_labels(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> list[Suspect]:
    """Return the suspects among pictures of one class each, the least believed first.

    Args:
        probabilities: (n, classes) of models that had not seen the picture.
        labels: (n,) int64.
    """
    here = np.arange(len(labels))
    own = probabilities[here, labels]
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    sums = np.bincount(labels, weights=own, minlength=probabilities.shape[1])
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    reached = np.where(probabilities >= thresholds, probabilities, -1)
    off = (reached.max(axis=1) >= 0) & (reached.argmax(axis=1) != labels)
    likely = np.where(counts > 0, probabilities, -1).argmax(axis=1)
    disputed = np.flatnonzero(likely != labels)
    rows = disputed[np.argsort(own[disputed], kind="stable")[: off.sum()]]
    return [
        Suspect(int(row), int(labels[row]), int(likely[row]), float(own[row]), float(rival))
        for row, rival in zip(rows, probabilities[rows, likely[rows]], strict=True)
        if rival >= RIVAL
    ]


def suspect_tags(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> list[Suspect]:
    """Return the suspects among pictures of any number of classes; each class is judged by itself.

    Args:
        probabilities: (n, classes), each entry by itself between 0 and 1.
        labels: (n, classes) of 0 and 1.

    Returns:
        Suspects whose `given` and `likely` are both the class: it should be there and is not, or
        the other way round.
    """
    found = []
    for column in range(labels.shape[1]):
        there = probabilities[:, column]
        both = np.stack([1 - there, there], axis=1)
        suspects = suspect_labels(both, labels[:, column].astype(np.int64))
        found += [Suspect(one.row, column, column, one.believed, one.rival) for one in suspects]
    return sorted(found, key=lambda suspect: suspect.believed)
