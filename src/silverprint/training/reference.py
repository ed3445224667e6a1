"""How unlike the training pictures a picture is, and what is usual.

Two measures, added after each is divided by its spread over pictures that were held out:

- one minus the cosine between the picture's features and the nearest class's centre, which knows
  pictures of something else altogether;
- the energy, minus log sum exp of the calibrated logits (Liu et al. 2020, arXiv:2010.03759), which
  knows pictures near the classes but of none. Only where one of many classes is chosen.

Together they did best of a dozen detectors (benchmarks/unknown.py). Every written model gives the
sum beside the probabilities, as `distance`; above the bundle's threshold the answer is "unknown".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
TOGETHER = 4096  # pictures, so that no second copy of all features is made
SMALLEST = 1e-12  # of a length that something is divided by
ALONE = 1e-6  # of a squared length: a class's only picture leaves nothing behind


@dataclass(frozen=True)
class Familiar:
    """What makes a picture's distance.

    Attributes:
        centres: (classes, d), each class's mean of unit features, of length 1.
        spread: what the distance from the nearest centre is divided by.
        energy_spread: what the energy is divided by; None leaves it out.
    """

    centres: Array
    spread: float = 1.0
    energy_spread: float | None = None

    @classmethod
    def of(cls, centres: Array, distances: Array, energies: Array | None) -> "Familiar":
        """Take the spreads from what was found on pictures that were held out."""
        return cls(centres, _spread(distances), None if energies is None else _spread(energies))

    def total(self, distances: Array, energies: Array | None) -> Array:
        """Return (n,) sums, as the written model computes them."""
        result: Array = distances / self.spread
        if energies is not None and self.energy_spread is not None:
            result = result + energies / self.energy_spread
        return result


def energies_of(logits: Array) -> Array:
    """Return (n,) energies of calibrated logits (n, classes)."""
    result: Array = -np.logaddexp.reduce(logits, axis=1)
    return result


def class_centres(features: Array, labels: NDArray[Any], classes: int) -> Array:
    """Return each class's mean of unit features, itself of length 1; zeros for an empty class.

    Args:
        features: (n, d).
        labels: (n,) indices; or (n, classes) of 0 and 1, where a picture may have several.
        classes: number of classes.

    Returns:
        (classes, d) float32.
    """
    return centres_of_parts([(features, labels)], classes)


def centres_of_parts(parts: Iterable[tuple[Array, NDArray[Any]]], classes: int) -> Array:
    """Return the `class_centres` of features and labels that come in parts."""
    sums: Any = sum(_sums(features, labels, classes) for features, labels in parts)
    centres: Array = _unit(sums).astype(np.float32)
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


def distances_of(features: Array, centres: Array) -> Array:
    """Return (n,) distances of features (n, d) from the nearest centre."""
    result: Array = (1 - (_unit(features) @ centres.T).max(1)).astype(np.float32)
    return result


def usual(values: Sequence[float] | Array, steps: int = 20) -> list[float]:
    """Return quantiles in equal steps, from the least to the largest."""
    return [round(float(q), 6) for q in np.quantile(values, np.linspace(0, 1, steps + 1))]


def _spread(values: Array) -> float:
    return max(float(values.std()), ALONE)


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
