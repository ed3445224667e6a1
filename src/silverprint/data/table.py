"""A dataset: a table of labelled pictures, whatever files they came from.

Readers make one; everything after reads only this. A picture's source is a path, an address
(https://..., s3://...) or an array that is already in memory, so a million photos cost a million
paths.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from silverprint.errors import DataError

Task = Literal["single-label", "multi-label"]
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

MISSING = {"", "None", "nan", "NaT", "<NA>"}  # what a table's empty cell becomes
Source = Path | str | NDArray[np.uint8]  # text is an address, such as s3://bucket/picture.jpg


class FilesBelow(Sequence[Path]):
    """Files below a folder, by their names; a Path is made when it is asked for.

    A name takes about 90 bytes of memory, a Path 400 more.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder, self._names = folder, names

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, place: int) -> Path: ...
    @overload
    def __getitem__(self, place: slice) -> "FilesBelow": ...
    def __getitem__(self, place: int | slice) -> "Path | FilesBelow":
        if isinstance(place, slice):
            return FilesBelow(self._folder, self._names[place])
        return Path(f"{self._folder}/{self._names[place]}")

    def take(self, rows: NDArray[np.int64]) -> "FilesBelow":
        """Return the files of these rows."""
        return FilesBelow(self._folder, [self._names[row] for row in rows])


@dataclass(frozen=True)
class Dataset:
    """Pictures with labels and splits, in a fixed order.

    Attributes:
        name: what to call the dataset in reports, for example the folder's name.
        classes: class names in natural order (1, 2, 10); a label is an index into it.
        sources: one path, address or uint8 array, (H, W) grey or (H, W, 3) RGB, a picture.
        names: how to call each picture in a message: a path below the root, or "file.gz[17]".
        labels: (n,) int64 for single-label; (n, classes) uint8 of 0 and 1 for multi-label.
        splits: (n,) int8, an index into SPLITS: 0 train, 1 validation, 2 test.
        task: "single-label" or "multi-label".
        root: the folder or file that was read.
        notices: a line for everything that was found but not taken, and for every choice made.
        groups: (n,) int64, the same for pictures that splits and folds drawn later keep on one
            side, such as those of one subject; None where each picture stands for itself.
    """

    name: str
    classes: tuple[str, ...]
    sources: Sequence[Source]
    names: Sequence[str]
    labels: NDArray[np.int64] | NDArray[np.uint8]
    splits: NDArray[np.int8]
    task: Task = "single-label"
    root: Path | None = None
    notices: tuple[str, ...] = field(default=())
    groups: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        count = len(self.sources)
        columns = {
            "names": self.names, "labels": self.labels, "splits": self.splits,
            "groups": self.groups,
        }  # fmt: skip
        for column, values in columns.items():
            if values is not None and len(values) != count:
                raise DataError(
                    f"{self.name}: {count} pictures but {len(values)} {column}; "
                    "every picture needs exactly one."
                )

    def __len__(self) -> int:
        return len(self.sources)

    def __repr__(self) -> str:
        counts = [f"{len(self.rows(split)):,} {split}" for split in SPLITS if self.has(split)]
        told = f"{', '.join(counts) or 'no'} pictures of {len(self.classes):,} classes"
        if self.groups is not None:
            told += f" in {len(np.unique(self.groups)):,} groups"
        return f"<Dataset {self.name!r}: {told}>"

    def rows(self, split: Split) -> NDArray[np.int64]:
        """Return the row numbers of one split, in order."""
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def has(self, split: Split) -> bool:
        """Say whether any picture is in the split."""
        return bool((self.splits == SPLITS.index(split)).any())

    def take(self, rows: NDArray[np.int64], *notices: str) -> "Dataset":
        """Return the dataset with only these rows, and further notices."""
        return replace(
            self,
            sources=_taken(self.sources, rows),
            names=[self.names[row] for row in rows],
            labels=self.labels[rows],
            splits=self.splits[rows],
            notices=(*self.notices, *notices),
            groups=None if self.groups is None else self.groups[rows],
        )

    def with_splits(self, splits: Iterable[str]) -> "Dataset":
        """Return the dataset with splits of your own.

        Args:
            splits: (n,) "train", "validation" or "test" a picture, in the order of `names`: a list,
                an array, or a column of a data frame.

        Raises:
            DataError: there are not as many as pictures, one is none of the three, or a class has
                pictures in one split and none in another.
        """
        from silverprint.data.assembly import check_classes
        from silverprint.data.conventions import split_named

        given = list(splits)
        named = [split_named(word) if isinstance(word, str) else None for word in given]
        codes = [-1 if split is None else SPLITS.index(split) for split in named]
        chosen = replace(self, splits=np.array(codes, np.int8))
        if -1 in codes:
            row = codes.index(-1)
            raise DataError(
                f"{self.names[row]}: a split is train, validation or test, not {given[row]!r}."
            )
        if self.task == "single-label":
            check_classes(chosen)
        return chosen

    def with_groups(self, groups: Iterable[Hashable]) -> "Dataset":
        """Return the dataset with groups, such as all pictures of one subject or of one film.

        Validation splits and folds that are drawn keep each group on one side. Splits that are
        given stay as they are; where they tear a group, a notice says so.

        Args:
            groups: (n,) one value a picture, in the order of `names`, equal within a group: a list,
                an array, or a column of a data frame.

        Raises:
            DataError: there are not as many as pictures, or one is missing (None, NaN or empty).
        """
        numbers: dict[Hashable, int] = {}
        given = list(groups)
        codes = [numbers.setdefault(value, len(numbers)) for value in given]
        chosen = replace(self, groups=np.array(codes, np.int64))
        for name, value in zip(self.names, given, strict=True):
            if str(value) in MISSING:
                raise DataError(
                    f"{name}: its group is missing ({value!r}); a picture that belongs to no other "
                    "needs a value of its own, such as its name."
                )
        return chosen

    def noting(self, *notices: str) -> "Dataset":
        """Return the dataset with further notices."""
        return replace(self, notices=(*self.notices, *notices))

    def class_counts(self, split: Split | None = None) -> dict[str, int]:
        """Return how many pictures each class has, in one split or in all."""
        labels = self.labels if split is None else self.labels[self.rows(split)]
        if self.task == "multi-label":
            counts = labels.sum(axis=0)
        else:
            counts = np.bincount(labels, minlength=len(self.classes))
        return {name: int(count) for name, count in zip(self.classes, counts, strict=True)}


def _taken(sources: Sequence[Source], rows: NDArray[np.int64]) -> Sequence[Source]:
    return sources.take(rows) if isinstance(sources, FilesBelow) else [sources[row] for row in rows]
