"""Which pictures a network sees as alike: the nearest neighbours of each, by cosine."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHUNK = 1024  # rows compared with all others at once
MANY = 20_000  # above it neighbours are found in fewer dimensions, where they are nearly the same
FEWER = 96


@dataclass(frozen=True)
class Neighbours:
    """The k nearest others of n pictures, nearest first.

    Attributes:
        rows: (n, k) int64.
        cosines: (n, k) float32.
    """

    rows: NDArray[np.int64]
    cosines: NDArray[np.float32]


def directions(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features (n, d), each of length 1."""
    length = np.linalg.norm(features, axis=1, keepdims=True).astype(np.float32)
    result: NDArray[np.float32] = features / np.maximum(length, np.float32(1e-12))
    return result


def find_neighbours(directed: NDArray[np.float32], k: int, seed: int = 0) -> Neighbours:
    """Return the k nearest others of each row, fewer where there are not as many.

    Of more than MANY rows they are sought in a random projection; the cosines are exact all the
    same.

    Args:
        directed: (n, d) rows of length 1.
        k: how many.
        seed: of the projection.
    """
    count, size = directed.shape
    k = max(0, min(k, count - 1))
    rows = np.zeros((count, k), dtype=np.int64)
    cosines = np.zeros((count, k), dtype=np.float32)
    if not k:
        return Neighbours(rows, cosines)
    seen = directed
    if count > MANY and size > FEWER:
        random = np.random.default_rng(seed)
        seen = directions(directed @ random.standard_normal((size, FEWER), dtype=np.float32))
    for start in range(0, count, CHUNK):
        part = seen[start : start + CHUNK] @ seen.T
        part[np.arange(len(part)), start + np.arange(len(part))] = -2  # never its own neighbour
        nearest = np.argpartition(part, -k, axis=1)[:, -k:]
        if seen is directed:
            found = np.take_along_axis(part, nearest, axis=1)
        else:
            found = np.einsum("nd,nkd->nk", directed[start : start + CHUNK], directed[nearest])
        order = np.argsort(-found, axis=1, kind="stable")
        rows[start : start + CHUNK] = np.take_along_axis(nearest, order, axis=1)
        cosines[start : start + CHUNK] = np.take_along_axis(found, order, axis=1)
    return Neighbours(rows, cosines)
