"""Pictures that a network made, side by side in one picture."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PAPER = 255  # the brightness between pictures
SHEET_SIDE = 1600  # pixels up to which small pictures are enlarged


def to_bytes(pictures: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return (n, S, S, 3) uint8 of pictures (n, 1 or 3, S, S) in 0..1; outside is cut."""
    pixels = np.rint(255 * pictures.clip(0, 1)).astype(np.uint8).transpose(0, 2, 3, 1)
    return np.repeat(pixels, 3 // pixels.shape[-1], axis=-1)


def in_rows(pictures: NDArray[np.float32], columns: int) -> list[NDArray[np.float32]]:
    """Cut pictures (n, C, S, S) into rows for `sheet`; the last is filled up with paper."""
    missing = -len(pictures) % min(columns, len(pictures))
    paper = np.ones((missing, *pictures.shape[1:]), np.float32)
    whole = np.concatenate([pictures, paper])
    return np.split(whole, len(whole) // min(columns, len(pictures)))


def sheet(
    rows: Sequence[NDArray[np.float32]],
    *,
    columns: int = 16,
    gap: int = 2,
    enlarge: int | None = None,
) -> NDArray[np.uint8]:
    """Lay rows of pictures under one another, wrapped together after so many columns.

    Args:
        rows: each (n, 1 or 3, S, S) in 0..1, with the same n: originals, reconstructions, ...
        columns: most pictures side by side.
        gap: pixels of paper between pictures; between wrapped groups of rows it is four times that.
        enlarge: how many times each pixel is repeated; None for what fills SHEET_SIDE, at most 4.

    Returns:
        (height, width, 3) uint8.
    """
    tiles = np.stack([to_bytes(row) for row in rows])  # (rows, n, S, S, 3)
    count, side = tiles.shape[1:3]
    across = min(columns, count)
    if enlarge is None:
        enlarge = int(np.clip(SHEET_SIDE // (across * (side + gap)), 1, 4))
    tiles = tiles.repeat(enlarge, axis=2).repeat(enlarge, axis=3)
    side, groups = side * enlarge, -(-count // across)
    step, block = side + gap, len(rows) * (side + gap) + 3 * gap
    shape = (groups * block - 4 * gap, across * step - gap, 3)
    result: NDArray[np.uint8] = np.full(shape, PAPER, np.uint8)
    for number in range(count):
        group, column = divmod(number, across)
        for row in range(len(rows)):
            top, left = group * block + row * step, column * step
            result[top : top + side, left : left + side] = tiles[row, number]
    return result
