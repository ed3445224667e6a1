"""A whole dataset as one array of uint8 pixels, for networks that see pictures many times."""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.backbones.reading import PictureReader
from silverprint.data.table import Dataset, Source
from silverprint.errors import ImageError
from silverprint.runtime.images import decode
from silverprint.runtime.luma import luma
from silverprint.runtime.preprocessing import Preprocessing
from silverprint.training.progress import Advance
from silverprint.training.room import take_room

CHUNK = 64  # pictures a thread reads at a time
SAMPLE = 64  # pictures that tell whether a dataset is grey


@dataclass(frozen=True)
class PixelData:
    """Pictures in memory and what they show.

    Attributes:
        pixels: (n, C, S, S) uint8, C being 1 or 3.
        targets: (n,) int64 for softmax; (n, c) float32 of 0 and 1 for sigmoid.
    """

    pixels: NDArray[np.uint8]
    targets: NDArray[Any]

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class Pixels:
    """What was read.

    Attributes:
        values: (n, C, S, S) uint8; a window on a file where one was asked for.
        rows: the rows of the dataset that could be read, in order.
        digests: sha256 of each of these pictures' bytes.
        refused: name and reason of each picture that could not be read.
    """

    values: NDArray[np.uint8]
    rows: NDArray[np.int64]
    digests: list[bytes]
    refused: list[tuple[str, str]]


def load_pixels(
    dataset: Dataset, preprocessing: Preprocessing, rows: NDArray[np.int64], *, channels: int = 3,
    file: Path | None = None, advance: Advance = lambda count, note="": None,  # noqa: ARG005
) -> Pixels:  # fmt: skip
    """Read pictures as the network's input, with the very graph that ships.

    Args:
        dataset: where the pictures are.
        preprocessing: its size S and how pictures fit into it.
        rows: which pictures.
        channels: 3, or 1 for luma.
        file: where to keep the pixels; None keeps them in memory.
        advance: called with the number of pictures that are done since the last call.

    Raises:
        ConfigError: the disk has no room for the file.
    """
    shape = (len(rows), channels, preprocessing.size, preprocessing.size)
    values: NDArray[np.uint8]
    if file is None or not len(rows):
        values = np.empty(shape, dtype=np.uint8)
    else:
        what = f"{len(rows):,} pictures of {preprocessing.size} pixels"
        take_room(file, math.prod(shape), what, "or name another cache in SILVERPRINT_CACHE")
        values = np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)
    kept: list[int] = []
    digests: list[bytes] = []
    refused: list[tuple[str, str]] = []
    for count, chunk in _chunks(dataset, preprocessing, rows, channels):
        values[len(kept) : len(kept) + len(chunk.rows)] = chunk.values
        kept += chunk.rows.tolist()
        digests += chunk.digests
        refused += chunk.refused
        advance(count)
    return Pixels(values[: len(kept)], np.array(kept, dtype=np.int64), digests, refused)


def is_grey(dataset: Dataset, rows: NDArray[np.int64]) -> bool:
    """Say whether pictures have no colour, judged by up to SAMPLE of them, evenly drawn.

    Pictures that cannot be read say nothing.
    """
    for row in rows[:: max(1, len(rows) // SAMPLE)]:
        source = dataset.sources[row]
        if isinstance(source, np.ndarray) and source.ndim == 2:
            continue
        try:
            picture = decode(source, name=dataset.names[row], min_side=SAMPLE)
        except ImageError:
            continue
        if (picture != picture[:, :, :1]).any():
            return False
    return True


def _chunks(
    dataset: Dataset, preprocessing: Preprocessing, rows: NDArray[np.int64], channels: int
) -> Iterator[tuple[int, Pixels]]:
    """Yield the pictures in order, read by one thread a core, with how many rows that were."""
    reader = PictureReader(preprocessing, dataset.sources, dataset.names)

    def work(part: NDArray[np.int64]) -> tuple[int, Pixels]:
        ready = _as_they_are([dataset.sources[row] for row in part], preprocessing, channels)
        if ready is not None:
            return len(part), Pixels(ready, part, [reader.digest(int(row)) for row in part], [])
        seen = [reader.see(int(row), ()) for row in part]
        found = [one.pixels for one in seen if one.pixels is not None]
        side = preprocessing.size
        pixels = np.stack(found) if found else np.empty((0, 3, side, side), dtype=np.uint8)
        good = np.array([one.row for one in seen if one.pixels is not None], dtype=np.int64)
        digests = [one.digest for one in seen if one.pixels is not None]
        refused = [(one.error.file, one.error.reason) for one in seen if one.error is not None]
        values = pixels if channels == 3 else luma(pixels)
        return len(part), Pixels(values, good, digests, refused)

    parts = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        yield from threads.map(work, parts)


def _as_they_are(
    sources: Sequence[Source], preprocessing: Preprocessing, channels: int
) -> NDArray[np.uint8] | None:
    """Stack arrays that the graph would leave alone; None where one of them is anything else."""
    side = preprocessing.size
    if preprocessing.fit == "crop" and preprocessing.crop != 1:
        return None
    arrays = [s for s in sources if isinstance(s, np.ndarray) and s.dtype == np.uint8]
    shapes = {array.shape for array in arrays}
    if len(arrays) < len(sources):
        return None
    if shapes == {(side, side)}:
        grey = np.stack(arrays)[:, None]
        return grey if channels == 1 else np.repeat(grey, 3, axis=1)
    if shapes == {(side, side, 3)}:
        colour = np.stack(arrays).transpose(0, 3, 1, 2)
        return colour if channels == 3 else luma(colour)
    return None
