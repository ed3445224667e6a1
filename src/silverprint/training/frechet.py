"""How far made pictures are from real ones, seen through the features of a classifier.

frechet_distance     the squared distance of two clouds of features, by their means and covariances
precision_recall     the share of made ones among real ones, and of real ones among made ones
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

NEIGHBOURS = 3  # what lies within the reach of a point is what is nearer than its third neighbour

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Cloud:
    """Mean (d,) and covariance (d, d) of features, in float64."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def of(cls, features: Features) -> "Cloud":
        """Measure features (n, d), n at least 2."""
        values = features.astype(np.float64)
        mean = values.mean(axis=0)
        centred = values - mean
        return cls(mean, centred.T @ centred / (len(values) - 1))

    @cached_property
    def root(self) -> NDArray[np.float64]:
        """The covariance's square root (d, d)."""
        values, vectors = np.linalg.eigh(self.covariance)
        root: NDArray[np.float64] = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
        return root


def frechet_distance(one: Cloud, two: Cloud) -> float:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), never below 0.

    It is the squared Wasserstein distance of two normal distributions (Dowson and Landau, 1982),
    which https://arxiv.org/abs/1706.08500 takes on Inception's features. Here the features are of
    whatever classifier is asked, so figures compare only under the same one, with the same n.
    """
    within = np.linalg.eigvalsh(
        one.root @ two.covariance @ one.root
    )  # those of C1 C2, but symmetric
    shared = np.sqrt(within.clip(min=0)).sum()
    apart = np.square(one.mean - two.mean).sum()
    traces = np.trace(one.covariance) + np.trace(two.covariance)
    return max(0.0, float(apart + traces - 2 * shared))


def precision_recall(real: Features, made: Features) -> tuple[float, float]:
    """Return the share of made pictures that lie among the real ones, and the reverse.

    Precision falls where pictures look wrong, recall where kinds of them are missing
    (https://arxiv.org/abs/1904.06991, with NEIGHBOURS neighbours).

    Args:
        real: (n, d); n well above NEIGHBOURS.
        made: (m, d).
    """
    reals, mades = torch.from_numpy(real), torch.from_numpy(made)
    between = torch.cdist(mades, reals)
    precision = (between <= _reach(reals)[None]).any(dim=1)
    recall = (between <= _reach(mades)[:, None]).any(dim=0)
    return float(precision.float().mean()), float(recall.float().mean())


def _reach(points: torch.Tensor) -> torch.Tensor:
    """Return (n,) how far each point's NEIGHBOURS-th neighbour is."""
    nearest = torch.cdist(points, points).topk(NEIGHBOURS + 1, dim=1, largest=False)
    return nearest.values[:, -1]  # the point itself is the first
