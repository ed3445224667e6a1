"""Copies of one picture: the same bytes, or re-encoded, resized, cropped or mirrored.

    groups = near_duplicate_groups(digests, features, facts)    # for splits and folds
    pairs = confirmed(likely, count, thumbnails_of)             # quickly, if there are few

A network proposes: pictures whose features are alike. Pixels decide: one of the two, whole, is laid
over the other's best window, first coarsely (16 x 16 grey cells on 256 windows, mirrored too), then
finely, and the edges have to agree there, in every part of the picture: what a camera that stands
still sees twice is no copy if something moved. Only neighbours are compared, so the work grows with
the number of pictures, not of pairs.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from silverprint.data.audit.facts import SIDE, Facts
from silverprint.data.audit.similar import Neighbours, directions, find_neighbours

LEAST_SIDE = 32  # pixels on the shorter side, under which a copy cannot be told from its like
NEIGHBOURS = 10  # of each picture, that are known
NEAREST = 4  # of these, that may be copies if they are alike; the others have to be very much so
ALIKE, VERY_ALIKE = 0.8, 0.9  # least cosines of two copies' features
SIMILAR = 0.8  # least correlation of grey cells, for a closer look
PROMISING = 0.5  # least correlation of edges after the first step of that
SAME = 0.85  # least correlation of edges in the end
EVERYWHERE = 0.83  # and in each of PARTS x PARTS parts that has edges
PARTS = 3
FAINT = 0.25  # share of the mean energy under which a part has no edges
CELLS, FINE_CELLS = 16, 32
HALF = SIDE // 2  # pixels are enough for the coarse look
SCALES = (1.0, 0.94, 0.88, 0.82, 0.76, 0.7)  # sides of the windows, as shares of the picture's
STEPS = (0.04, 0.02, 0.01)  # by which a window's edges are moved
CHUNK = 128  # pairs in a thread's memory at once, of about half a megabyte each
THREADS = min(4, os.cpu_count() or 1)
BATCH = 64  # likely pairs; if none of so many is a copy, less likely ones are not compared

# A window is (top, bottom, left, right), shares of the picture's height and width.
WHOLE = np.array([[0.0, 1.0, 0.0, 1.0]])
# Ways to move it: each edge, or two that are opposite.
MOVES = np.array([
    [1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 1, 1],
])  # fmt: skip


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
    digests: Sequence[bytes], features: NDArray[np.float32], facts: Facts
) -> NDArray[np.int64]:
    """Return a group for each picture; copies of one picture, or of copies of it, share theirs.

    It is what `folds`, `split_validation` and `split_test` take as `groups`.

    Args:
        digests: of each picture's bytes.
        features: (n, d) what a frozen network saw.
        facts: of each picture. Of those under LEAST_SIDE only the same bytes are copies: two
            digits of 8 x 8 pixels may look the same and be different ones.
    """
    return find_copies(digests, features, facts).groups


def find_copies(digests: Sequence[bytes], features: NDArray[np.float32], facts: Facts) -> Copies:
    """Return exact and near copies; arguments as of `near_duplicate_groups`."""
    _, first, content = np.unique(
        np.array(digests, dtype="S32"), return_index=True, return_inverse=True
    )
    neighbours = find_neighbours(directions(features[first]), NEIGHBOURS)
    pairs, matches = near_duplicates(neighbours, facts.take(first))
    groups = join_pairs(pairs.tolist(), len(first))[content]
    return Copies(content, first, pairs, matches, groups, neighbours)


def near_duplicates(
    neighbours: Neighbours, facts: Facts
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return pairs of rows (m, 2) that show one picture, and how well they match, (m,) up to 1."""
    count, k = neighbours.rows.shape
    least = np.where(np.arange(k) < NEAREST, ALIKE, VERY_ALIKE)
    pairs = np.stack([np.repeat(np.arange(count), k), neighbours.rows.ravel()], axis=1)
    pairs = np.unique(np.sort(pairs[(neighbours.cosines >= least).ravel()], axis=1), axis=0)
    detailed = np.minimum(facts["width"], facts["height"]) >= LEAST_SIDE
    pairs = pairs[detailed[pairs].all(axis=1)]
    scores = match(facts.thumbnails, pairs)
    same = scores >= EVERYWHERE
    return pairs[same], scores[same]


def confirmed(
    likely: NDArray[np.int64],
    count: int,
    thumbnails_of: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
) -> list[tuple[int, int]]:
    """Return pairs that show one picture, enough of them to join all that do.

    The work hangs on how many copies there are: likely pairs are compared until of BATCH none is a
    copy. That needs no threshold of a cosine, whose scale is another for each network.

    Args:
        likely: (m, 2) rows, the likeliest pair first.
        count: of rows.
        thumbnails_of: rows (n,) to grey thumbnails (n, SIDE, SIDE); black ones match nothing.
    """
    parts = Parts(count)
    apart = (
        pair for pair in map(tuple, likely.tolist()) if parts.root(pair[0]) != parts.root(pair[1])
    )
    same: list[tuple[int, int]] = []
    while batch := list(islice(apart, BATCH)):
        rows, places = np.unique(batch, return_inverse=True)
        scores = match(thumbnails_of(rows), places.reshape(-1, 2))
        found = [pair for pair, score in zip(batch, scores, strict=True) if score >= EVERYWHERE]
        if not found:
            break
        for pair in found:
            parts.join(*pair)
        same += found
    return same


class Parts:
    """Rows of a table, some of which are joined."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def root(self, row: int) -> int:
        """Return the row that stands for all that are joined with this one."""
        parent = self._parent
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    def join(self, one: int, other: int) -> None:
        """Join two rows, and all that are joined with either."""
        self._parent[self.root(one)] = self.root(other)


def join_pairs(pairs: Iterable[Sequence[int]], count: int) -> NDArray[np.int64]:
    """Return the connected part of each of `count` rows; parts are numbered from 0."""
    joined = Parts(count)
    for one, other in pairs:
        joined.join(one, other)
    roots = [joined.root(row) for row in range(count)]
    parts: NDArray[np.int64] = np.unique(roots, return_inverse=True)[1]
    return parts


def match(thumbnails: NDArray[np.uint8], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return how well the edges of one of each pair agree with the best window of the other.

    It is the agreement of the part of the picture where it is worst.

    Args:
        thumbnails: (n, SIDE, SIDE) grey.
        pairs: (m, 2) rows.

    Returns:
        (m,) correlations, up to 1; 0 where the picture as a whole rules a copy out.
    """

    def match_some(start: int) -> NDArray[np.float32]:
        one, other = pairs[start : start + chunk].T
        return _match(thumbnails[one].astype(np.float32), thumbnails[other].astype(np.float32))

    chunk = min(CHUNK, max(1, -(-len(pairs) // THREADS)))  # a thread each, if there are few
    with ThreadPoolExecutor(THREADS, "match") as pool:
        parts = list(pool.map(match_some, range(0, len(pairs), chunk)))
    return np.concatenate([*parts, np.zeros(0, np.float32)])


def _match(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `match` of (m, SIDE, SIDE) with as many."""
    # Either may be the larger one, and either way round.
    flipped = one[:, :, ::-1], other[:, :, ::-1]
    ways = [(one, other), (one, flipped[1]), (other, one), (other, flipped[0])]
    found = [*_best_windows(one, ways[0][1], ways[1][1]), *_best_windows(other, one, flipped[0])]
    best, here = np.argmax([correlation for correlation, _ in found], axis=0), np.arange(len(one))
    correlation = np.array([correlation for correlation, _ in found])[best, here]
    window = np.array([window for _, window in found])[best, here]
    large = np.where((best < 2)[:, None, None], one, other)
    small = np.array([small for _, small in ways])[best, here]
    scores = np.zeros(len(one), dtype=np.float32)
    left = np.flatnonzero(correlation >= SIMILAR)
    for step in STEPS:
        if not len(left):
            break
        edges, window[left] = _adjusted(large[left], small[left], window[left], step)
        scores[left] = edges
        left = left[edges >= (PROMISING if step > STEPS[-1] else SAME)]
    scores[:] = 0
    scores[left] = _worst_part(large[left], small[left], window[left])
    return scores


def _best_windows(
    large: NDArray[np.float32], *smalls: NDArray[np.float32]
) -> list[tuple[NDArray[np.float32], NDArray[np.float64]]]:
    """Return, for each small, its best correlation (m,) with a window of large, and it (m, 4)."""
    count, axis = len(large), _axis_windows()
    flat = _averages(axis[:, 0], axis[:, 1], CELLS, HALF).reshape(-1, HALF).T
    # Two large products, not a small one for each picture: those would wait for one another.
    half = large.reshape(count, HALF, 2, HALF, 2).mean(axis=(2, 4))
    across = (half.reshape(-1, HALF) @ flat).reshape(count, HALF, -1)
    cells = across.transpose(0, 2, 1).reshape(-1, HALF) @ flat
    cells = cells.reshape(count, len(axis), CELLS, len(axis), CELLS).transpose(0, 3, 1, 4, 2)
    windows = np.ascontiguousarray(cells).reshape(count, len(axis) ** 2, CELLS * CELLS)
    squares = np.einsum("mwc,mwc->mw", windows, windows)
    length = np.sqrt(np.maximum(squares - windows.sum(axis=2) ** 2 / CELLS**2, 1))
    found = []
    for small in smalls:
        cells = small.reshape(count, CELLS, SIDE // CELLS, CELLS, SIDE // CELLS).mean(axis=(2, 4))
        whole = _standardised(cells.reshape(count, -1))
        correlation = np.einsum("mwc,mc->mw", windows, whole) / length
        best = correlation.argmax(axis=1)
        window = np.concatenate([axis[best // len(axis)], axis[best % len(axis)]], axis=1)
        found.append((correlation.max(axis=1), window))
    return found


def _axis_windows() -> NDArray[np.float64]:
    """Return where windows begin and end along one axis, (some, 2)."""
    return np.array([
        (offset, offset + scale)
        for scale in SCALES
        for offset in ((0.0, (1 - scale) / 2, 1 - scale) if scale < 1 else (0.0,))
    ])  # fmt: skip


def _adjusted(
    large: NDArray[np.float32],
    small: NDArray[np.float32],
    window: NDArray[np.float64],
    step: float,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the correlation of edges (m,), and the window (m, 4) moved to where it is higher."""
    wanted = _edges(_cells(small, WHOLE, FINE_CELLS))
    best = (_edges(_cells(large, window, FINE_CELLS)) * wanted).sum(axis=1)
    for move in np.concatenate([MOVES, -MOVES] * 2):
        moved = np.clip(window + step * move, 0, 1)
        found = (_edges(_cells(large, moved, FINE_CELLS)) * wanted).sum(axis=1)
        better = found > best
        best, window = np.where(better, found, best), np.where(better[:, None], moved, window)
    return best, window


def _worst_part(
    large: NDArray[np.float32], small: NDArray[np.float32], window: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the lowest correlation (m,) of edges in any part that has some."""
    one = _parts(_cells(large, window, FINE_CELLS))
    other = _parts(_cells(small, WHOLE, FINE_CELLS))
    energy = np.maximum((one * one).sum(axis=2), (other * other).sum(axis=2))
    length = np.sqrt((one * one).sum(axis=2) * (other * other).sum(axis=2))
    agreement = (one * other).sum(axis=2) / np.maximum(length, 1)
    faint = energy < FAINT * energy.mean(axis=1, keepdims=True)
    result: NDArray[np.float32] = np.where(faint, 1, agreement).min(axis=1).astype(np.float32)
    return result


def _parts(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return differences of neighbouring cells by part, (m, PARTS * PARTS, some)."""
    side = (FINE_CELLS - 1) // PARTS
    whole = side * PARTS
    down = np.diff(cells, axis=1)[:, :whole, :whole]
    across = np.diff(cells, axis=2)[:, :whole, :whole]
    both = np.stack([down, across], axis=1).reshape(-1, 2, PARTS, side, PARTS, side)
    return both.transpose(0, 2, 4, 1, 3, 5).reshape(-1, PARTS**2, 2 * side**2)


def _cells(
    pictures: NDArray[np.float32], window: NDArray[np.float64], cells: int
) -> NDArray[np.float32]:
    """Return the mean grey of a window's cells, (m, cells, cells); one window for each, or all."""
    rows = _averages(window[:, 0], window[:, 1], cells)
    columns = _averages(window[:, 2], window[:, 3], cells)
    return np.asarray(rows @ pictures @ columns.transpose(0, 2, 1), dtype=np.float32)


def _averages(
    low: NDArray[np.float64], high: NDArray[np.float64], cells: int, side: int = SIDE
) -> NDArray[np.float32]:
    """Return what averages `side` pixels into the cells between low and high, (m, cells, side)."""
    width = np.maximum(high - low, 1 / side)[:, None]
    edges = (side * (low[:, None] + width * np.arange(cells + 1) / cells)).astype(np.float32)
    pixels = np.arange(side, dtype=np.float32)
    below = np.clip(edges[:, :, None] - pixels, 0, 1)  # of each pixel, before an edge
    result: NDArray[np.float32] = np.diff(below, axis=1)
    result *= (cells / (side * width)).astype(np.float32)[:, :, None]
    return result


def _edges(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return differences of neighbouring cells, down and across, standardised, (m, some)."""
    down, across = np.diff(cells, axis=1), np.diff(cells, axis=2)
    both = [down.reshape(len(cells), -1), across.reshape(len(cells), -1)]
    return _standardised(np.concatenate(both, axis=1))


def _standardised(values: NDArray[np.float32], axis: int = -1) -> NDArray[np.float32]:
    """Return values less their mean, of length 1; nearly constant ones become small instead."""
    centred = values - values.mean(axis=axis, keepdims=True)
    length = np.linalg.norm(centred, axis=axis, keepdims=True)
    result: NDArray[np.float32] = centred / np.maximum(length, np.float32(1))
    return result
