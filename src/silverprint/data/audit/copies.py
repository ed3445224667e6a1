"""Copies of one picture: the same bytes, or re-encoded, resized, cropped or mirrored.

    groups = near_duplicate_groups(digests, features, thumbnails)    # for splits and folds

Two pictures are near duplicates if one, whole, looks like some window of the other (a perceptual
fingerprint of 16 x 16 grey cells against 256 windows, mirrored too) and a network agrees. Only
pairs that the network sees as alike are compared, so the work grows with the number of pictures,
not of pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from silverprint.data.audit.facts import SIDE
from silverprint.data.audit.similar import Neighbours, directions, find_neighbours

NEIGHBOURS = 12  # of each picture, that are compared with it
ALIKE = 0.70  # least cosine of two copies' features
SAME = 0.93  # least correlation of a copy and a window of its original
CELLS = 16  # a fingerprint's cells along each axis
SCALES = (1.0, 0.94, 0.88, 0.82, 0.76, 0.7)  # sides of the windows, as shares of the picture's
CHUNK = 256  # pictures whose windows are in memory at once: 262 kB each


@dataclass(frozen=True)
class Copies:
    """Which of n pictures are copies of one another.

    Attributes:
        content: (n,) the number of each picture's bytes; exact copies share it.
        first: (contents,) the first picture with these bytes.
        pairs: (m, 2) contents that are near duplicates.
        matches: (m,) how well each pair matches, up to 1.
        groups: (n,) copies, and copies of copies, share a group.
        neighbours: of the contents, as the network sees them.
    """

    content: NDArray[np.int64]
    first: NDArray[np.int64]
    pairs: NDArray[np.int64]
    matches: NDArray[np.float32]
    groups: NDArray[np.int64]
    neighbours: Neighbours


def near_duplicate_groups(
    digests: Sequence[bytes],
    features: NDArray[np.float32],
    thumbnails: NDArray[np.float32],
) -> NDArray[np.int64]:
    """Return a group for each picture; copies of one picture, or of copies of it, share theirs.

    It is what `folds`, `split_validation` and `split_test` take as `groups`.

    Args:
        digests: of each picture's bytes.
        features: (n, d) what a frozen network saw.
        thumbnails: (n, SIDE, SIDE) as of `Facts.thumbnails`.
    """
    return find_copies(digests, features, thumbnails).groups


def find_copies(
    digests: Sequence[bytes],
    features: NDArray[np.float32],
    thumbnails: NDArray[np.float32],
) -> Copies:
    """Return exact and near copies; arguments as of `near_duplicate_groups`."""
    _, first, content = np.unique(
        np.array(digests, dtype="S32"), return_index=True, return_inverse=True
    )
    neighbours = find_neighbours(directions(features[first]), NEIGHBOURS)
    pairs, matches = near_duplicates(neighbours, thumbnails[first])
    groups = join_pairs(pairs, len(first))[content]
    return Copies(content, first, pairs, matches, groups, neighbours)


def near_duplicates(
    neighbours: Neighbours, thumbnails: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return pairs of rows (m, 2) that show one picture, and how well they match, (m,) up to 1."""
    count, k = neighbours.rows.shape
    pairs = np.stack([np.repeat(np.arange(count), k), neighbours.rows.ravel()], axis=1)
    pairs = np.unique(np.sort(pairs[neighbours.cosines.ravel() >= ALIKE], axis=1), axis=0)
    scores = match(thumbnails, pairs)
    same = scores >= SAME
    return pairs[same], scores[same]


def join_pairs(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the connected part of each of `count` rows; parts are numbered from 0."""
    parent = np.arange(count)

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for one, other in pairs.tolist():
        parent[root(one)] = root(other)
    parts: NDArray[np.int64] = np.unique([root(row) for row in range(count)], return_inverse=True)[
        1
    ]
    return parts


def match(thumbnails: NDArray[np.float32], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the highest correlation of one of each pair (m, 2) with any window of the other."""
    whole = _cells(thumbnails, _axis_windows()[:1])[:, 0]
    mirrored = whole.reshape(-1, CELLS, CELLS)[:, :, ::-1].reshape(len(whole), -1)
    scores = np.zeros(len(pairs), dtype=np.float32)
    for large, small in ((0, 1), (1, 0)):  # either may be the one that was cropped
        order = np.argsort(pairs[:, large], kind="stable")
        pictures, starts = np.unique(pairs[order, large], return_index=True)
        parts = np.split(order, starts[1:])  # the pairs of each picture
        for start in range(0, len(pictures), CHUNK):
            windows = _cells(thumbnails[pictures[start : start + CHUNK]], _axis_windows())
            for window, part in zip(windows, parts[start : start + CHUNK], strict=True):
                others = pairs[part, small]
                found = np.maximum(window @ whole[others].T, window @ mirrored[others].T)
                scores[part] = np.maximum(scores[part], found.max(axis=0))
    return scores


def _axis_windows() -> NDArray[np.float32]:
    """Return what averages SIDE pixels into CELLS cells of each window, (windows, CELLS, SIDE)."""
    found = []
    for scale in SCALES:
        for offset in (0.0, (1 - scale) / 2, 1 - scale) if scale < 1 else (0.0,):
            edges = SIDE * (offset + scale * np.arange(CELLS + 1) / CELLS)
            below = np.clip(edges[:, None] - np.arange(SIDE), 0, 1)  # of each pixel, before an edge
            found.append(np.diff(below, axis=0) * CELLS / (scale * SIDE))
    return np.array(found, dtype=np.float32)


def _cells(thumbnails: NDArray[np.float32], windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return standardised cells (n, windows * windows, CELLS * CELLS)."""
    count, axis = len(thumbnails), len(windows)
    flat = windows.reshape(-1, SIDE)
    cells: NDArray[np.float32] = flat @ thumbnails @ flat.T  # (n, windows * CELLS, same)
    cells = cells.reshape(count, axis, CELLS, axis, CELLS).transpose(0, 1, 3, 2, 4)
    return _standardised(cells.reshape(count, axis * axis, CELLS * CELLS))


def _standardised(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = cells - cells.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    result: NDArray[np.float32] = centred / np.maximum(length, np.float32(1e-3))
    return result
