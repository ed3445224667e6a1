"""How unlike one another pictures are: what a generator loses first when it collapses."""

import torch
from torch import Tensor


def spread(pictures: Tensor) -> float:
    """Return the mean distance between two of them, of all pairs; 0 where all are the same.

    Args:
        pictures: (n, ...) float32, n at least 2; distances are Euclidean.
    """
    count = len(pictures)
    return float(_distances(pictures).sum() / (count * (count - 1)))


def apartness(pictures: Tensor) -> float:
    """Return the median distance of a picture to the one most like it.

    It falls towards 0 where few pictures come again and again, however unlike those few are.

    Args:
        pictures: as for `spread`.
    """
    distances = _distances(pictures)
    distances.fill_diagonal_(torch.inf)
    return float(distances.min(dim=1).values.median())


def told_apart(real: Tensor, made: Tensor) -> float:
    """Return how often a real picture's answer is above a made one's: 1 always, 0.5 by chance."""
    above = (real[:, None] > made[None]).float() + 0.5 * (real[:, None] == made[None]).float()
    return float(above.mean())


def _distances(pictures: Tensor) -> Tensor:
    """Return (n, n) distances; without the square roots' cancellation, which hides copies."""
    rows = pictures.flatten(1)
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
