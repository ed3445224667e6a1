"""The last step of every reader: class order, and the checks that any dataset has to pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from silverprint.data.conventions import counted, first_few, natural_key
from silverprint.data.table import SPLITS, Dataset, Source, Split
from silverprint.errors import DataError


@dataclass(frozen=True)
class Part:
    """The pictures of one file that holds many.

    Attributes:
        file: its name, which with a number in brackets names each picture.
        images: (n, H, W) or (n, H, W, 3) uint8.
        codes: (n,) int64, the labels as the file has them.
        split: where all of them belong.
    """

    file: str
    images: NDArray[np.uint8]
    codes: NDArray[np.int64]
    split: Split


def assemble_parts(
    parts: Sequence[Part], labels: Mapping[int, str], root: Path, notices: Sequence[str] = ()
) -> Dataset:
    """Make a dataset of files of arrays; its sources are views into them.

    Args:
        parts: one a file, in the order wanted.
        labels: what each code is called; a code that is missing here is called by its number.
        root: the folder or file that was read.
        notices: what the reader has to say.

    Raises:
        DataError: there is no picture, or `check_classes` finds a fault.
    """
    if not any(len(part.codes) for part in parts):
        raise DataError(f"{root}: {first_few(part.file for part in parts)} holds no pictures.")
    codes = np.concatenate([part.codes for part in parts])
    return assemble(
        root=root,
        sources=list(chain.from_iterable(part.images for part in parts)),
        names=[f"{part.file}[{row}]" for part in parts for row in range(len(part.codes))],
        codes=codes,
        labels={int(code): labels.get(int(code), str(code)) for code in np.unique(codes)},
        splits=np.concatenate(
            [np.full(len(part.codes), SPLITS.index(part.split), np.int8) for part in parts]
        ),
        notices=notices,
    )


def assemble(
    *,
    root: Path,
    sources: Sequence[Source],
    names: Sequence[str],
    codes: NDArray[np.int64],
    labels: Mapping[int, str],
    splits: NDArray[np.int8],
    notices: Sequence[str],
) -> Dataset:
    """Make a single-label dataset with its classes in natural order.

    Args:
        root: the folder or file that was read; its name is the dataset's.
        sources: one a picture, as are `names`, `codes` and `splits`.
        names: how to call each picture.
        codes: (n,) int64, a key of `labels`.
        labels: class names; those that no picture has are left out.
        splits: (n,) int8, an index into SPLITS.
        notices: what the reader has to say.

    Raises:
        DataError: `check_classes` finds a fault.
    """
    used = sorted(np.unique(codes).tolist(), key=lambda code: natural_key(labels[code]))
    table = np.zeros(max(used) + 1, np.int64)
    table[used] = np.arange(len(used))
    dataset = Dataset(
        name=root.resolve().name or str(root),
        classes=tuple(labels[code] for code in used),
        sources=sources,
        names=names,
        labels=table[codes],
        splits=splits,
        root=root,
        notices=tuple(notices),
    )
    check_classes(dataset)
    alike = _alike(dataset.classes)
    return dataset.noting(alike) if alike else dataset


def renamed(dataset: Dataset, name: str, new_names: Mapping[str, str], *notices: str) -> Dataset:
    """Return the dataset under another name, with some classes called otherwise."""
    classes = dict(enumerate(new_names.get(label, label) for label in dataset.classes))
    order = sorted(classes, key=lambda code: natural_key(classes[code]))
    table = np.argsort(np.array(order))
    return replace(
        dataset,
        name=name,
        classes=tuple(classes[code] for code in order),
        labels=table[dataset.labels],
        notices=(*dataset.notices, *notices),
    )


def check_classes(dataset: Dataset) -> None:
    """Check that there is something to tell apart, and the same in every split.

    Raises:
        DataError: two classes have one name, there is only one class, or a split lacks some.
    """
    where = dataset.root or dataset.name
    if len(set(dataset.classes)) < len(dataset.classes):
        twice = {name for name in dataset.classes if dataset.classes.count(name) > 1}
        raise DataError(
            f"{where}: two classes are both called {first_few(sorted(twice))}. Rename one."
        )
    if len(dataset.classes) < 2:
        raise DataError(
            f"{where}: a dataset needs at least two classes, but all "
            f"{counted(len(dataset), 'picture')} found are {dataset.classes[0]!r}. Pass the folder "
            "that holds one folder a class, or add another class."
        )
    faults = []
    for split in filter(dataset.has, SPLITS):
        lacking = [repr(name) for name, count in dataset.class_counts(split).items() if not count]
        if lacking:
            faults.append(f"{split} has no picture of {first_few(lacking)}")
    if faults:
        raise DataError(
            f"{where}: every split needs the same classes, but {'; '.join(faults)}. "
            "Add pictures there, or take the class out of the other splits. "
            f"{_alike(dataset.classes)}".rstrip()
        )


def _alike(classes: Sequence[str]) -> str:
    """Say which classes are the same word but for capitals; nothing if none are."""
    spellings: dict[str, list[str]] = {}
    for name in classes:
        spellings.setdefault(name.casefold(), []).append(repr(name))
    same = [" and ".join(names) for names in spellings.values() if len(names) > 1]
    if not same:
        return ""
    return f"Only capitals tell {first_few(same)} apart; if they are one class, spell them alike."
