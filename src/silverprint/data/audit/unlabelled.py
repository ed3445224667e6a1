"""Pictures without labels: every picture below a folder, whatever its folders mean."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from silverprint.data.conventions import (
    counted,
    first_few,
    is_hidden,
    is_known_other,
    natural_key,
    split_named,
)
from silverprint.data.read import read
from silverprint.data.table import SPLITS, Dataset
from silverprint.errors import DataError, ImageError
from silverprint.runtime.images import decode

NO_CLASS = "(no label)"


def read_pictures(
    source: str | os.PathLike[str], *, unlabelled: bool = False, labelled: bool = True,
    **options: Any,
) -> Dataset:  # fmt: skip
    """Read a dataset for what needs no labels: as for training, or every picture below a folder.

    Args:
        source: as of `read`.
        unlabelled: a folder's folders are no classes.
        labelled: labels are wanted where folders might be classes; else they are left aside where
            something is wrong with them, and a notice says so.
        **options: as of `read`.

    Raises:
        DataError: as of `read`.
    """
    root = Path(source).expanduser()
    if unlabelled:
        return read_unlabelled(root.absolute())
    try:
        return read(source, **options)
    except DataError as error:
        if _is_picture(root):
            raise DataError(f"{root} is one picture; give the folder of all of them.") from None
        if not root.is_dir() or (labelled and has_folders(root)):
            raise
        try:
            found = read_unlabelled(root.absolute())
        except DataError:
            raise error from None
        return found.noting(f"Labels are left aside: {error}") if has_folders(root) else found


def _is_picture(path: Path) -> bool:
    try:
        return path.is_file() and decode(path).size > 0
    except (ImageError, OSError):
        return False


def without_labels(dataset: Dataset, reason: str) -> Dataset:
    """Return the dataset with all its pictures in one class."""
    return replace(
        dataset,
        classes=(NO_CLASS,),
        labels=np.zeros(len(dataset), np.int64),
        task="single-label",
        notices=(*dataset.notices, f"Labels are left aside: {reason}"),
    )


def read_unlabelled(root: Path) -> Dataset:
    """Return all pictures below a folder, in one class; train, validation and test stay apart.

    Raises:
        DataError: it is no folder, or holds no pictures.
    """
    if not root.is_dir():
        raise DataError(f"{root}: pictures without labels are read from a folder; this is none.")
    others: list[str] = []
    names = sorted(_below(root, others), key=natural_key)
    if not names:
        raise DataError(f"{root}: there are no pictures in it.")
    splits = [split_named(name.split("/")[0]) or "train" for name in names]
    left_out = (
        f"Left out: files whose ending says they are no pictures ({len(others):,}): "
        f"{first_few(sorted(others))}."
    )
    return Dataset(
        name=root.resolve().name,
        classes=(NO_CLASS,),
        sources=[root / name for name in names],
        names=[os.fsencode(name).decode("utf-8", errors="replace") for name in names],
        labels=np.zeros(len(names), np.int64),
        splits=np.array([SPLITS.index(split) for split in splits], np.int8),
        root=root,
        notices=(
            f"{counted(len(names), 'picture')} without labels.",
            *((left_out,) if others else ()),
        ),
    )


def has_folders(root: Path) -> bool:
    """Say whether a folder holds folders, which might be classes."""
    try:
        return any(entry.is_dir() for entry in root.iterdir() if not is_hidden(entry.name))
    except OSError:
        return False


def _below(root: Path, others: list[str]) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for file in files:
            name = Path(folder, file).relative_to(root).as_posix()
            if is_hidden(file):
                continue
            if is_known_other(file):
                others.append(name)
            else:
                yield name
