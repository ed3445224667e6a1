"""Features that stay on disk: read a few blocks at a time, in order or mixed.

Mixed means: blocks come in random order, MIXED of them (32,768 rows) are in memory at once, and
their rows are shuffled. Neighbours in a block are pictures whose digests follow one another among
the 16,384 that were packed together, so what lies side by side in a folder is scattered over 64
blocks. A minibatch is then as good as drawn at random, as long as no class is so rare, or fills so
long a run of the folder, that 128 blocks drawn at random are a poor sample of it.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from silverprint.backbones.packs import BLOCK, Array, Packs

MIXED = 128  # blocks whose rows are shuffled together
IN_ORDER = 16  # blocks that are read together in order


class FeatureStream:
    """Features of chosen rows of packs; 9 bytes of memory a row.

    Attributes:
        shape: (n, d).
    """

    def __init__(self, packs: Packs, places: NDArray[np.int64], dimension: int) -> None:
        """Plan the reading of rows by their numbers (n,), in any order and as often as wanted."""
        self.shape = (len(places), dimension)
        self._packs = packs
        firsts = [
            np.arange(start, start + pack.rows, BLOCK)
            for start, pack in zip(packs.starts[:-1], packs.packs, strict=True)
        ]
        self._starts = np.concatenate([*firsts, packs.starts[-1:]])
        self._order = np.argsort(places, kind="stable")
        ordered = places[self._order]
        self._cuts = np.searchsorted(ordered, self._starts)
        counts = np.diff(self._cuts)
        ordered -= np.repeat(self._starts[:-1], counts)
        self._within = ordered.astype(np.uint8)
        self._blocks = np.flatnonzero(counts)

    def __len__(self) -> int:
        return self.shape[0]

    def parts(self) -> Iterator[tuple[NDArray[np.int64], Array]]:
        """Yield each row once, as numbers (k,) of rows asked for and their features (k, d).

        Raises:
            FeaturesGoneError: another process evicted some, or the disk damaged them.
        """
        for start in range(0, len(self._blocks), IN_ORDER):
            yield self._read(self._blocks[start : start + IN_ORDER])

    def mixed_parts(self, seed: int) -> Iterator[tuple[NDArray[np.int64], Array]]:
        """Yield each row once, blocks in random order; raises as `parts`. Rows are not shuffled."""
        blocks = np.random.default_rng(seed).permutation(self._blocks)
        for start in range(0, len(blocks), MIXED):
            yield self._read(np.sort(blocks[start : start + MIXED]))

    def _read(self, blocks: NDArray[np.int64]) -> tuple[NDArray[np.int64], Array]:
        sizes = self._starts[blocks + 1] - self._starts[blocks]
        whole = np.empty((int(sizes.sum()), self.shape[1]), dtype=np.float32)
        offsets = np.cumsum(sizes) - sizes
        rows, positions = [], []
        for block, offset, size in zip(blocks, offsets, sizes, strict=True):
            self._packs.read(int(self._starts[block]), whole[offset : offset + size])
            asked = slice(self._cuts[block], self._cuts[block + 1])
            rows.append(self._order[asked])
            positions.append(self._within[asked] + offset)
        taken = np.concatenate(positions)
        if len(taken) == len(whole) and (taken == np.arange(len(whole))).all():
            return np.concatenate(rows), whole
        return np.concatenate(rows), whole[taken]
