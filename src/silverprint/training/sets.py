"""Sets of labels that hold the truth as often as asked: split conformal prediction. numpy only.

A class belongs to a picture's set if its probability reaches a line (LAC: Sadinle, Lei and
Wasserman 2019, arXiv:1609.00451). The line lies where held-out pictures put it: the truth of the
asked share of them is above. For n held-out pictures, and one more of their kind, the rank that
keeps the promise is that share of n + 1, rounded up. Of the scores that were compared, this one
keeps its promise with the smallest sets; see benchmarks/conformal.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.training.metrics import wilson_interval

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]

STORED = 1_000  # at most so many lines; more would promise no more than 99.9 % either


def lines_of(probabilities: Floats, labels: Labels) -> dict[str, Any]:
    """Return the lines that `Bundle.least_likely` chooses from.

    Args:
        probabilities: (n, classes) of pictures that the network did not learn from, n > 0.
        labels: (n,) indices of their classes.

    Returns:
        pictures, n; and probabilities, m = min(n, 1000) of the true classes' probabilities, highest
        first: the i-th is the line for coverage i / (m + 1). Where n is larger they are thinned so
        that each still keeps that promise. They are rounded down, so that none is lost by it.
    """
    n, m = len(labels), min(len(labels), STORED)
    of_truth = np.sort(probabilities[np.arange(n), labels])[::-1].astype(np.float64)
    ranks = -(-np.arange(1, m + 1) * (n + 1) // (m + 1))  # rounded up
    lines = np.floor(of_truth[ranks - 1] * 1e6) / 1e6
    return {"pictures": n, "probabilities": lines.tolist()}


def evaluate_sets(
    probabilities: Floats, labels: Labels, classes: Sequence[str], least: float,
    answered: NDArray[np.bool_] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return how often sets hold the truth, and how large they are.

    Args:
        probabilities: (n, classes).
        labels: (n,) indices into classes.
        classes: the names, in the order of the columns.
        least: the probability from which on a class belongs to a set.
        answered: (n,) False where the answer is "unknown", and so no set; None for nowhere.

    Returns:
        coverage, coverage_interval (Wilson, 95 %), mean_size, sizes {number of labels: pictures}
        and per_class {name: coverage, None without a picture}, all of them for every picture;
        and answered: n, coverage (None for none) and mean_size of those not unknown.
    """
    chosen = probabilities >= np.float32(least)
    held, sizes = chosen[np.arange(len(labels)), labels], chosen.sum(1)
    kept = np.ones(len(labels), np.bool_) if answered is None else answered
    coverage = float(held.mean())
    return {
        "coverage": coverage,
        "coverage_interval": wilson_interval(coverage, len(labels)),
        "mean_size": float(sizes.mean()),
        "sizes": {str(size): int(count) for size, count in enumerate(np.bincount(sizes)) if count},
        "per_class": {name: _mean(held[labels == k]) for k, name in enumerate(classes)},
        "answered": {
            "n": int(kept.sum()), "coverage": _mean(held[kept]), "mean_size": _mean(sizes[kept]),
        },
    }  # fmt: skip


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None
