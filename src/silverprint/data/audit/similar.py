"""Which pictures a network sees as alike: the nearest neighbours of each, by cosine."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHUNK = 1024  # rows compared with all others at once
MANY = 20_000  # above it neighbours are found in fewer dimensions, where they are nearly the same
FEWER = 96
WIDER = 4  # times as many are taken there, and the best of them kept
SLACK = 0.06  # by which a cosine is off there, at most: three deviations of one of about 0.9
BLOCK = 2**24  # cosines in memory at once


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


def alike_pairs(
    one: NDArray[np.float32],
    other: NDArray[np.float32] | None = None,
    *,
    k: int,
    least: float,
    seed: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return pairs (m, 2) of a row of `one` and a row of `other`, and their cosines (m,).

    A pair is one of the k nearest of its row of `one`, and at least `least` alike. Memory stays
    flat: features may be mapped from disk, and of more than MANY rows neighbours are sought in a
    random projection; the cosines are exact all the same.

    Args:
        one: (n, d) features.
        other: (o, d) features; None for `one` itself, of which each pair is then given once.
        k: how many of each row, at most.
        least: least cosine.
        seed: of the projection.
    """
    among = one if other is None else other
    k = min(k, len(among) - (other is None))
    pairs, cosines = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.float32)]
    if k < 1 or not len(one):
        return pairs[0], cosines[0]
    wider, floor, projection = k, least, None
    if max(len(one), len(among)) > MANY and one.shape[1] > FEWER:
        random = np.random.default_rng(seed)
        projection = random.standard_normal((one.shape[1], FEWER), dtype=np.float32)
        wider, floor = min(WIDER * k, len(among) - (other is None)), least - SLACK
    seen = _projected(one, projection)
    them = seen if other is None else _projected(among, projection)
    chunk = max(1, min(CHUNK, BLOCK // len(among)))
    for start in range(0, len(one), chunk):
        part = seen[start : start + chunk] @ them.T
        if other is None:
            part[np.arange(len(part)), start + np.arange(len(part))] = -2
        rows = np.flatnonzero(part.max(axis=1) >= floor)
        nearest = np.argpartition(part[rows], -wider, axis=1)[:, -wider:]
        mine, theirs = directions(one[start + rows]), directions(among[nearest.ravel()])
        found = np.einsum("nd,nkd->nk", mine, theirs.reshape(*nearest.shape, one.shape[1]))
        enough = np.maximum(least, np.partition(found, -k, axis=1)[:, -k, None])
        row, place = np.nonzero(found >= enough)
        pairs.append(np.stack([start + rows[row], nearest[row, place]], axis=1))
        cosines.append(found[row, place])
    both, likeness = np.concatenate(pairs), np.concatenate(cosines)
    if other is None:
        both, once = np.unique(np.sort(both, axis=1), axis=0, return_index=True)
        likeness = likeness[once]
    return both, likeness


def _projected(
    features: NDArray[np.float32], projection: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Return directions (n, d), or (n, FEWER) of projected features."""
    if projection is None:
        return directions(features)
    parts = (features[at : at + CHUNK] @ projection for at in range(0, len(features), CHUNK))
    return directions(np.concatenate(list(parts)))
