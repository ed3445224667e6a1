"""Pictures without labels: every picture below a folder, whatever its folders mean."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from silverprint.data.conventions import (
    counted,
    first_few,
    is_hidden,
    is_known_other,
    natural_key,
    split_named,
)
from silverprint.data.table import SPLITS, Dataset
from silverprint.errors import DataError

NO_CLASS = "(no label)"


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
