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
        train: how many training pictures to keep, drawn evenly; None for all. As many of a
            validation split are kept at most.
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
    kept = [_draw(found.rows("train"), train), _draw(found.rows("validation"), train),
            _draw(found.rows("test"), test)]  # fmt: skip
    return found.take(np.sort(np.concatenate(kept)))


def _draw(rows: np.ndarray, most: int | None) -> np.ndarray:
    return np.random.default_rng(0).permutation(rows)[: len(rows) if most is None else most]


def path(name: str) -> Path | None:
    """Return a file or folder of the data folder, such as "text/anna.txt", if it is there."""
    found = data_folder() / name
    return found if found.exists() else None


def show(pictures: Any, titles: Sequence[object] = (), columns: int = 8, side: float = 1.4) -> None:
    """Draw pictures in rows.

    Args:
        pictures: (H, W), (H, W, 3) or (C, H, W) each, uint8 or floats of 0 to 1; arrays, tensors
            or files.
        titles: what stands above each.
        columns: pictures in a row.
        side: inches of one.
    """
    pictures = list(pictures)
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    high = side * (1.25 if len(titles) else 1)
    _, axes = plt.subplots(rows, columns, figsize=(columns * side, rows * high), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture in zip(axes.flat, pictures, strict=False):
        array = _drawable(picture)
        axis.imshow(array, cmap="gray", vmin=0, vmax=255 if array.dtype == np.uint8 else 1)
    for axis, title in zip(axes.flat, titles, strict=False):
        axis.set_title(str(title), fontsize=10)
    plt.tight_layout(pad=0.3)
    plt.show()


def _drawable(picture: Any) -> np.ndarray:
    if isinstance(picture, str | Path):
        return sp.decode(picture)
    array = np.asarray(picture)
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = array.transpose(1, 2, 0)
    array = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    return array if array.dtype == np.uint8 else array.clip(0, 1)
