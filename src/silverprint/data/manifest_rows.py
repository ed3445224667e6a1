"""From a CSV, JSON Lines or Parquet manifest to rows, every fault named with its line."""

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path

from silverprint.data.conventions import first_few, split_named
from silverprint.data.files import first_line, opened
from silverprint.data.table import Split
from silverprint.errors import DataError, MissingExtraError, closest
from silverprint.runtime.remote import is_address

IMAGE_COLUMNS = (
    *("path", "image", "file", "filename", "file_name", "filepath", "file_path"),
    *("image_path", "image_file", "img", "picture", "photo"),
)
LABEL_COLUMNS = (
    *("label", "labels", "class", "classes", "class_name", "category"),
    *("target", "tag", "tags"),
)
SPLIT_COLUMNS = ("split", "subset", "partition")
JSON_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
PARQUET = (".parquet",)
# What no file name and no printed text can hold, but a JSON escape such as \ud800 can say.
NOT_TEXT = re.compile("[\0\ud800-\udfff]")

Cell = str | tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """What a caller says about a manifest; None is to find out.

    Attributes:
        image: the column with the pictures' paths.
        label: the column with their labels.
        separator: what separates several labels in one cell; "" that nothing does.
        group: the column with what pictures have in common that stay on one side of splits.
    """

    image: str | None = None
    label: str | None = None
    separator: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One picture in a manifest.

    Attributes:
        file: the manifest.
        line: the row's line in it, from 1.
        name: the picture's path as it is written.
        path: the same, made absolute; text where it is an address such as https://...
        label: the cell; a tuple where it is a JSON list.
        split: from the split column, or what the file is.
        group: from the column that was asked for.
    """

    file: Path
    line: int
    name: str
    path: Path | str
    label: Cell
    split: Split
    group: Cell | None = None

    @property
    def place(self) -> str:
        """Say where the row is, for a message."""
        return f"{self.file}, line {self.line}"


def is_manifest_name(name: str) -> bool:
    """Say whether a file is called like a manifest."""
    return name.lower().endswith((*TABLES, *JSON_LINES, *PARQUET))


def is_manifest(path: Path, columns: Columns) -> bool:
    """Say whether a file's first line has an image and a label column."""
    try:
        if path.name.lower().endswith(PARQUET):
            return any(True for _ in read_rows(path, "train", columns)[0])
        line = first_line(path)
        found = json.loads(line) if _is_json_lines(path) else _cells(line)
        _choose(path, list(found), columns)
    except (DataError, csv.Error, ValueError, TypeError, RecursionError):
        return False
    return True


def read_rows(path: Path, split: Split, columns: Columns) -> tuple[list[Row], list[str]]:
    """Return a manifest's rows, and the columns that were not used.

    Args:
        path: the manifest.
        split: what rows are that name no split.
        columns: what the caller says about it.

    Raises:
        DataError: see `read_manifest_file`.
    """
    rows: list[Row] = []
    chosen: dict[tuple[str, ...], tuple[str, str, str | None, str | None]] = {}
    root = str(path.parent)
    for line, cells in _lines(path):
        names = tuple(cells)
        if names not in chosen:
            chosen[names] = _choose(path, names, columns, line)
        image, label, part, group = chosen[names]
        place = f"{path}, line {line}"
        name = _image_name(place, image, cells[image])
        row_split = _split_of(place, cells[part], split) if part else split
        found = name if is_address(name) else _absolute(root, name)
        grouped = cells[group] if group else None
        rows.append(Row(path, line, name, found, cells[label], row_split, grouped))
    unused = [name for names, taken in chosen.items() for name in names if name not in taken]
    return rows, list(dict.fromkeys(unused))


def picture_names(path: Path) -> Iterator[str]:
    """Yield the pictures of a manifest, with labels or without: paths from here, or addresses.

    Raises:
        DataError: it has no column for pictures, or another fault; see `read_manifest_file`.
    """
    for line, cells in _lines(path):
        column = _column(path, line, list(cells), "image", None, IMAGE_COLUMNS)
        name = _image_name(f"{path}, line {line}", column, cells[column])
        yield name if is_address(name) else str(_absolute(str(path.parent), name))


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Cell]]]:
    """Yield the number and the cells by column of every row."""
    if path.name.lower().endswith(PARQUET):
        return _parquet_rows(path)
    return (_json_lines if _is_json_lines(path) else _table_lines)(path, _text(path))


def _is_json_lines(path: Path) -> bool:
    return path.name.lower().endswith(JSON_LINES)


def _text(path: Path) -> str:
    """Return a manifest's text.

    Raises:
        DataError: it is not UTF-8, or no text at all.
    """
    with opened(path) as file:
        data = file.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: a manifest is UTF-8, but byte {data[error.start]:#04x} there is "
            "not. Save it again as UTF-8 (in a spreadsheet: 'CSV UTF-8')."
        ) from error
    if "\0" in text:
        raise DataError(f"{path}: a manifest is text, but this file holds zero bytes.")
    return text


def _delimiter(header: str) -> str:
    """Return what separates columns: the first of tab, comma, semicolon that the header holds."""
    return next((mark for mark in "\t,;" if mark in header), ",")


def _cells(line: str) -> list[str]:
    cells = next(csv.reader([line], delimiter=_delimiter(line), skipinitialspace=True), [])
    return [cell.strip() for cell in cells]


def _table_lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Cell]]]:
    """Yield the line number and the cells by column of every row below the header."""
    delimiter = _delimiter(text.split("\n", 1)[0])
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    try:
        header = [name.strip() for name in next(reader, [])]
        if not header:
            raise DataError(
                f"{path}: the file is empty. It needs a header line such as path,label."
            )
        twice = [name for name, count in Counter(header).items() if name and count > 1]
        if twice:
            raise DataError(
                f"{path}, line 1: two columns are both called {twice[0]!r}. Rename one of them."
            )
        for cells in reader:
            if not any(map(str.strip, cells)):  # spreadsheets write rows of separators alone
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells where the header has "
                    f"{len(header)} columns. Put a cell that holds {delimiter!r} in quotes."
                )
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: not readable as CSV ({error}). Check its quotes."
        ) from error


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Cell]]]:
    """Yield the line number and the values by key of every object."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path}, line {number}: not readable as JSON ({error}). Each line is one object, "
                'such as {"path": "cat/1.jpg", "label": "cat"}.'
            ) from error
        if not isinstance(found, dict):
            raise DataError(
                f"{path}, line {number}: each line is one JSON object, such as "
                f'{{"path": "cat/1.jpg", "label": "cat"}}, not {line[:40]!r}.'
            )
        cells = {str(key).strip(): _json_cell(value) for key, value in found.items()}
        # Only an escape can do it, and most lines have none.
        if "\\u" in line and NOT_TEXT.search("".join(chain.from_iterable(cells.values()))):
            raise DataError(
                f"{path}, line {number}: a value holds a zero character or half a character "
                "(\\ud800 to \\udfff alone). Write that line again, as UTF-8."
            )
        yield number, cells


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Cell]]]:
    """Yield the number, from 1, and the values by column of every row."""
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtraError(f"{path.name}: reading Parquet", "cluster") from None
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for number, row in enumerate(batch.to_pylist(), start=number + 1):  # noqa: B020
                    yield number, {str(key): _json_cell(value) for key, value in row.items()}
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not readable as Parquet ({error}).") from error


def _json_cell(value: object) -> Cell:
    """Return a JSON value as text, numbers as they were written; a list as a tuple of texts."""
    if isinstance(value, list):
        return tuple(str(_json_cell(item)) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _choose(
    path: Path, found: Sequence[str], columns: Columns, line: int = 1
) -> tuple[str, str, str | None, str | None]:
    """Return the names of the image, label, split and group columns; None for those there are not.

    Raises:
        DataError: there is no image or no label column, or one asked for is not there.
    """
    image = _column(path, line, found, "image", columns.image, IMAGE_COLUMNS)
    label = _column(path, line, found, "label", columns.label, LABEL_COLUMNS)
    by_name = {name.casefold(): name for name in reversed(found)}
    split = next((by_name[word] for word in SPLIT_COLUMNS if word in by_name), None)
    group = columns.group and _column(path, line, found, "group", columns.group, ())
    return image, label, split if split not in (image, label) else None, group


def _column(
    path: Path, line: int, found: Sequence[str], what: str, asked: str | None, usual: Sequence[str]
) -> str:
    """Return the name of a column, the one asked for or the first of the usual ones."""
    by_name = {name.casefold(): name for name in reversed(found)}
    name = asked if asked in found else None
    if asked is None:
        name = next((by_name[word] for word in usual if word in by_name), None)
    if name is None:
        want = repr(asked) if asked else f"for the {what}, such as {usual[0]!r},"
        raise DataError(
            f"{path}, line {line}: there is no column {want} among those found: "
            f"{first_few(map(repr, found), 12)}.{closest(asked or usual[0], found)} Name it in "
            f"the header line, or pass {what}_column (--{what}-column)."
        )
    return name


def _image_name(place: str, column: str, cell: Cell) -> str:
    if not isinstance(cell, str) or not cell.strip():
        raise DataError(f"{place}: {column!r} names no picture. Fill it in or remove the row.")
    return cell.strip()


def _split_of(place: str, cell: Cell, default: Split) -> Split:
    if not isinstance(cell, str) or not cell.strip():
        return default
    split = split_named(cell)
    if split is None:
        raise DataError(f"{place}: a split is train, validation or test, not {cell.strip()!r}.")
    return split


def _absolute(root: str, name: str) -> Path:
    """Return where a picture is; a path written on Windows is understood elsewhere too."""
    path = Path(f"{root}/{name}") if not os.path.isabs(name) else Path(name)  # noqa: PTH117
    if "\\" in name and os.sep == "/" and not os.path.exists(path):  # noqa: PTH110 - may not raise
        return _absolute(root, name.replace("\\", "/"))
    return Path(os.path.normpath(path))
