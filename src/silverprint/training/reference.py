"""How far a picture is from those that were learned from, and what is usual.

The distance is one minus the cosine between a picture's features and the nearest class's centre:
0 for a picture like the middle of a class, about 1 for something else altogether. Every written
model gives it beside the probabilities, and a server compares what it is asked with what is usual.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
TOGETHER = 4096  # pictures, so that no second copy of all features is made
QUANTILES = 21  # at 0, 5, ..., 100 %
SMALLEST = 1e-12  # of a length that something is divided by
ALONE = 1e-6  # of a squared length: a class's only picture leaves nothing behind


def class_centres(features: Array, labels: NDArray[Any], classes: int) -> Array:
    """Return each class's mean of unit features, itself of length 1; zeros for an empty class.

    Args:
        features: (n, d).
        labels: (n,) indices; or (n, classes) of 0 and 1, where a picture may have several.
        classes: number of classes.

    Returns:
        (classes, d) float32.
    """
    centres: Array = _unit(_sums(features, labels, classes)).astype(np.float32)
    return centres


def left_out_distances(features: Array, labels: NDArray[Any], classes: int) -> Array:
    """Return (n,) distances of pictures from the centres that the others make without them."""
    sums = _sums(features, labels, classes)
    dots = _unit(features) @ sums.T
    squares = (sums**2).sum(1)
    whole = dots / np.maximum(np.sqrt(squares), SMALLEST)
    without = (dots - 1) / np.sqrt(np.maximum(squares - 2 * dots + 1, ALONE))
    cosines = np.where(_memberships(labels, classes) > 0, without, whole)
    result: Array = (1 - cosines.max(1)).astype(np.float32)
    return result


def usual(values: Sequence[float] | Array) -> list[float]:
    """Return 21 quantiles, from the least to the largest."""
    return [round(float(q), 6) for q in np.quantile(values, np.linspace(0, 1, QUANTILES))]


def _sums(features: Array, labels: NDArray[Any], classes: int) -> NDArray[np.float64]:
    sums = np.zeros((classes, features.shape[1]), np.float64)
    for start in range(0, len(features), TOGETHER):
        part = slice(start, start + TOGETHER)
        sums += _memberships(labels[part], classes).T @ _unit(features[part])
    return sums


def _memberships(labels: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """Return (n, classes) of 0 and 1."""
    return np.eye(classes)[labels] if labels.ndim == 1 else labels.astype(np.float64)


def _unit(vectors: NDArray[Any]) -> NDArray[Any]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[Any] = vectors / np.maximum(lengths, SMALLEST)
    return unit
