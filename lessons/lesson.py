"""What the lessons share: how much to do, data by name, and pictures in a row.

SILVERPRINT_LESSONS=fast makes every lesson small, which is how `make lessons` tests them.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import matplotlib.pyplot as plt
import numpy as np

import silverprint as sp
from silverprint.runtime.paths import data_folder

T = TypeVar("T")

GAP = 0.08  # inches between pictures
FAST = os.environ.get("SILVERPRINT_LESSONS") == "fast"

# So that `!silverprint` in a cell is the one that this notebook imports.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
plt.rcParams.update({"figure.dpi": 72, "savefig.bbox": "tight", "axes.spines.top": False,
                     "axes.spines.right": False, "font.size": 11})  # fmt: skip


def few(full: T, fast: T) -> T:
    """Return the first, or the second where the lessons are tested."""
    return fast if FAST else full


def data(name: str, train: int | None = None, test: int | None = None) -> sp.Dataset:
    """Return a dataset by name, or handwritten digits and a line that says so.

    Args:
        name: one that `silverprint datasets` lists; downloaded where it can be.
        train: how many training pictures to keep, of each class its share; None for all. As many of
            a validation split are kept at most.
        test: how many test pictures to keep.
    """
    here = {one.name for one in sp.list_datasets() if one.found}
    try:
        if FAST and name not in here:
            raise sp.DataError(f"{name} is not on this machine.")
        found = sp.read(name)
    except sp.DataError:
        other = "mnist" if "mnist" in here else "digits"
        print(f"{name} is not on this machine; this lesson goes on with {other}. "
              "`silverprint datasets` says how to get it.")  # fmt: skip
        found = sp.read(other)
    kept = [_draw(found, "train", train), _draw(found, "validation", train),
            _draw(found, "test", test)]  # fmt: skip
    return found.take(np.sort(np.concatenate(kept)))


def _draw(found: sp.Dataset, split: Any, most: int | None) -> np.ndarray:
    """Return rows of a split in which each class has its share."""
    rows = np.random.default_rng(1).permutation(found.rows(split))
    labels = found.labels[rows]
    turn = np.empty(len(rows))  # from 0 to 1, spread evenly over the rows of each class
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        turn[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return rows[np.argsort(turn, kind="stable")[:most]]


def path(name: str) -> Path | None:
    """Return a file or folder of the data folder, such as "text/anna.txt", if it is there."""
    found = data_folder() / name
    return found if found.exists() else None


def show(pictures: Any, titles: Sequence[object] = (), columns: int = 8, side: float = 1.4) -> None:
    """Draw pictures in rows, those of a row equally high.

    Args:
        pictures: (H, W), (H, W, 3) or (C, H, W) each, uint8 or floats of 0 to 1; arrays, tensors
            or files.
        titles: what stands above each.
        columns: pictures in a row.
        side: inches of one, and of its width where a row holds others.
    """
    arrays = [_drawable(picture) for picture in pictures]
    columns = min(columns, len(arrays))
    rows = [arrays[start : start + columns] for start in range(0, len(arrays), columns)]
    head = 0.2 * (1 + max(str(title).count("\n") for title in titles)) if len(titles) else 0.0
    highs = [min((side - GAP) / np.mean([_width(one) for one in row]), 2 * side) for row in rows]
    wide, high = columns * side, sum(highs) + len(rows) * (head + GAP)
    figure, titled = plt.figure(figsize=(wide, high)), iter(titles)
    bottom = high
    for row, height in zip(rows, highs, strict=True):
        left, bottom = 0.0, bottom - head - GAP - height
        for array in row:
            width = height * _width(array)
            place = left / wide, bottom / high, width / wide, height / high
            axis = figure.add_axes(place)
            axis.imshow(array, cmap="gray", vmin=0, vmax=255 if array.dtype == np.uint8 else 1)
            axis.set_title(str(next(titled, "")), fontsize=10, pad=3)
            axis.axis("off")
            left += width + GAP
    plt.show()


def _width(array: np.ndarray) -> float:
    """Return a picture's width by its height."""
    return array.shape[1] / array.shape[0]


def _drawable(picture: Any) -> np.ndarray:
    if isinstance(picture, str | Path):
        return sp.decode(picture)
    array = np.asarray(picture)
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = array.transpose(1, 2, 0)
    array = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    return array if array.dtype == np.uint8 else array.clip(0, 1)
