"""Manifests: a CSV, JSON Lines or Parquet file that names pictures, their labels, maybe splits.

Paths are relative to the manifest; an address such as https://... or s3://... stays what it is. A
cell with several labels, or a list, makes the whole file multi-label; there an empty cell means
that a picture has no label.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from silverprint.data.assembly import assemble
from silverprint.data.conventions import (
    class_named,
    counted,
    first_few,
    natural_key,
    one_per_split,
)
from silverprint.data.manifest_rows import Columns, Row, read_rows
from silverprint.data.table import SPLITS, Dataset, Split
from silverprint.errors import DataError
from silverprint.runtime.remote import check_schemes, is_address

SEPARATORS = "|;"


def read_manifest_file(path: Path, split: Split, columns: Columns) -> Dataset:
    """Read one manifest; `split` is for rows that name none.

    Raises:
        DataError: the file is not readable as CSV or JSON Lines, lacks a column, has an empty or
            unknown cell (its line is named), names a picture twice with different labels or
            splits, or none of its pictures exists; or `check_classes` finds a fault.
    """
    return _read(path, {split: path}, columns)


def read_manifest_folder(root: Path, files: list[Path], split: Split, columns: Columns) -> Dataset:
    """Read the manifests of a folder, whose names say their splits where there are several.

    Raises:
        DataError: as for `read_manifest_file`, or file names do not tell the splits apart.
    """
    return _read(root, one_per_split(files, split), columns)


def _read(root: Path, files: Mapping[Split, Path], columns: Columns) -> Dataset:
    rows: list[Row] = []
    notices: list[str] = []
    for split, path in files.items():
        found, unused = read_rows(path, split, columns)
        rows += found
        if unused:
            notices.append(f"{path.name}: columns not used: {first_few(unused)}.")
    if not rows:
        raise DataError(f"{root}: there is no row below the header, so no picture.")
    separator = _separator(rows, columns.separator)
    labelled = [_Labelled(row, _labels_of(row, separator)) for row in rows]
    labelled, repeated = _without_repeats(labelled)
    if repeated:
        notices.append(f"{counted(repeated, 'row')} left out, repeating an earlier one exactly.")
    _check_some_exist(root, labelled)
    check_schemes(item.row.path for item in labelled)
    if separator is None:
        dataset = _single_label(root, labelled, notices)
    else:
        how = f": labels are separated by {separator!r}." if separator else "."
        dataset = _multi_label(root, labelled, [*notices, f"Multi-label{how}"])
    if columns.group is None:
        return dataset
    return dataset.with_groups(item.row.group for item in labelled)


@dataclass(frozen=True, slots=True)
class _Labelled:
    row: Row
    labels: tuple[str, ...]


def _separator(rows: Sequence[Row], chosen: str | None) -> str | None:
    """Return what separates labels in a cell: None for single-label, "" where JSON lists do."""
    cells = [row.label for row in rows if isinstance(row.label, str)]
    has_lists = len(cells) < len(rows)
    if chosen is not None:
        return chosen or ("" if has_lists else None)
    used = [mark for mark in SEPARATORS if any(mark in cell for cell in cells)]
    if len(used) > 1:
        raise DataError(
            f"{rows[0].file}: label cells hold both '|' and ';', so it is unclear which one "
            "separates labels. Say it with label_separator (--label-separator), or use one of "
            "them only."
        )
    return used[0] if used else ("" if has_lists else None)


def _labels_of(row: Row, separator: str | None) -> tuple[str, ...]:
    if isinstance(row.label, tuple):
        found = row.label
    else:
        found = tuple(row.label.split(separator)) if separator else (row.label,)
    labels = sorted({class_named(label) for label in found if label.strip()}, key=natural_key)
    if separator is None and not labels:
        raise DataError(
            f"{row.place}: the label is empty. Fill it in or remove the row; if pictures may have "
            "several labels or none, pass label_separator (--label-separator), for example '|'."
        )
    return tuple(labels)


def _without_repeats(rows: Sequence[_Labelled]) -> tuple[list[_Labelled], int]:
    """Drop rows that repeat an earlier one.

    Raises:
        DataError: a picture comes twice with different labels or splits.
    """
    first: dict[Path | str, _Labelled] = {}
    for item in rows:
        earlier = first.setdefault(item.row.path, item)
        if earlier.labels != item.labels:
            raise DataError(
                f"{item.row.place}: {item.row.name} is labelled {_said(item.labels)} here but "
                f"{_said(earlier.labels)} in line {earlier.row.line} of {earlier.row.file.name}. "
                "Keep one row a picture; several labels go into one cell, separated by '|'."
            )
        if earlier.row.split != item.row.split:
            raise DataError(
                f"{item.row.place}: {item.row.name} is in {item.row.split} here but in "
                f"{earlier.row.split} in line {earlier.row.line} of {earlier.row.file.name}. "
                "A picture belongs to one split."
            )
    return list(first.values()), len(rows) - len(first)


def _said(labels: tuple[str, ...]) -> str:
    return " and ".join(map(repr, labels)) or "with nothing"


def _check_some_exist(root: Path, rows: Sequence[_Labelled]) -> None:
    """Refuse a manifest whose paths lead nowhere; single missing files are the decoder's to name.

    Raises:
        DataError: none of the pictures exists.
    """
    # Path.exists raises where a name is too long. What lies at an address is known when it is read.
    if not any(is_address(item.row.path) or os.path.exists(item.row.path) for item in rows):  # noqa: PTH110
        folder = rows[0].row.file.parent
        raise DataError(
            f"{root}: none of the {len(rows):,} pictures exists, looked for below {folder}; the "
            f"first are {first_few(item.row.name for item in rows)}. Paths must be relative to the "
            "manifest: move it, or correct them."
        )


def _splits_of(rows: Sequence[_Labelled]) -> NDArray[np.int8]:
    return np.array([SPLITS.index(item.row.split) for item in rows], np.int8)


def _single_label(root: Path, rows: Sequence[_Labelled], notices: Sequence[str]) -> Dataset:
    codes: dict[str, int] = {}
    found = [codes.setdefault(item.labels[0], len(codes)) for item in rows]
    return assemble(
        root=root,
        sources=[item.row.path for item in rows],
        names=[item.row.name for item in rows],
        codes=np.array(found, np.int64),
        labels={code: label for label, code in codes.items()},
        splits=_splits_of(rows),
        notices=notices,
    )


def _multi_label(root: Path, rows: Sequence[_Labelled], notices: Sequence[str]) -> Dataset:
    classes = sorted({label for item in rows for label in item.labels}, key=natural_key)
    if not classes:
        raise DataError(f"{root}: no picture has any label. Fill in the label column.")
    columns = {label: column for column, label in enumerate(classes)}
    labels = np.zeros((len(rows), len(classes)), np.uint8)
    for position, item in enumerate(rows):
        labels[position, [columns[label] for label in item.labels]] = 1
    dataset = Dataset(
        name=root.resolve().name,
        classes=tuple(classes),
        sources=[item.row.path for item in rows],
        names=[item.row.name for item in rows],
        labels=labels,
        splits=_splits_of(rows),
        task="multi-label",
        root=root,
        notices=tuple(notices),
    )
    lacking = [
        f"{split} has no picture with {first_few(absent)}"
        for split in filter(dataset.has, SPLITS)
        if (absent := [name for name, count in dataset.class_counts(split).items() if not count])
    ]
    return dataset.take(np.arange(len(rows)), f"{'; '.join(lacking)}.") if lacking else dataset
