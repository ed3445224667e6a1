"""Pixel CSV, as Kaggle's MNIST and Sign-Language-MNIST come: label,pixel1,...,pixelN, also .gz.

Pictures are grey and square. Numbers are parsed in blocks of whole lines with array operations:
about ten times as fast as numpy.loadtxt, in flat memory, and strict about every byte.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from silverprint.data.assembly import Part, assemble_parts
from silverprint.data.conventions import first_few, one_per_split
from silverprint.data.files import first_line, opened
from silverprint.data.table import Dataset, Split
from silverprint.errors import DataError

BLOCK = 4 * 2**20
COMMA, NEWLINE, ZERO = b",\n0"
PIXEL_NAME = re.compile(r"(pixel|px)?_?[0-9]+(x[0-9]+)?", re.IGNORECASE)
FEWEST_PIXELS = 16


@dataclass(frozen=True)
class Header:
    """How a pixel CSV's lines are laid out.

    Attributes:
        columns: how many values a line has, with the label.
        label_at: the label's column, the first or (-1) the last.
        is_line: whether the file's first line is this header, and no picture.
    """

    columns: int
    label_at: int
    is_line: bool


def is_pixel_csv_name(name: str) -> bool:
    """Say whether a file is called like a CSV file."""
    return name.lower().endswith((".csv", ".csv.gz"))


def pixel_header(path: Path) -> Header | None:
    """Return a pixel CSV's layout, judged by its first line; None where it is something else.

    Raises:
        DataError: the file cannot be read.
    """
    line = first_line(path)
    cells = [cell.strip().strip('"') for cell in line.split(",")]
    if len(cells) <= FEWEST_PIXELS:
        return None
    if not re.search(r"[a-z]", line, re.IGNORECASE):
        whole_numbers = all(cell.isdecimal() for cell in cells)
        return Header(len(cells), 0, is_line=False) if whole_numbers else None
    for label_at in (0, -1):
        pixels = cells[1:] if label_at == 0 else cells[:-1]
        if not PIXEL_NAME.fullmatch(cells[label_at]) and all(map(PIXEL_NAME.fullmatch, pixels)):
            return Header(len(cells), label_at, is_line=True)
    return None


def read_pixel_csv_folder(root: Path, files: list[Path], split: Split) -> Dataset:
    """Read the pixel CSV files of a folder; `split` is for a lone file that names none.

    Raises:
        DataError: as for `read_pixel_csv_file`, or file names do not tell the splits apart.
    """
    left = sorted(path.name for path in root.iterdir() if path not in files)
    left = [name for name in left if not name.startswith(".")]
    notices = [f"Left out: files beside the pixel CSVs ({len(left)}): {first_few(left)}."]
    parts = [_read_part(path, part) for part, path in one_per_split(files, split).items()]
    return assemble_parts(parts, {}, root, notices if left else [])


def read_pixel_csv_file(path: Path, split: Split) -> Dataset:
    """Read one pixel CSV.

    Raises:
        DataError: the file is damaged, its pictures are not square, or a line (which is named) has
            too few or too many values, or one that is no whole number in range.
    """
    header = pixel_header(path)
    notices = [f"{path.name} has no header line; its first column is taken for the label."]
    part = _read_part(path, split)
    return assemble_parts([part], {}, path, [] if header and header.is_line else notices)


def _read_part(path: Path, split: Split) -> Part:
    header = pixel_header(path)
    if header is None:
        raise DataError(
            f"{path}: a pixel CSV begins with the line label,pixel1,...,pixelN, this file with "
            f"{first_line(path)[:60]!r}. Name its columns so."
        )
    labels, images = read_pixels(path, header)
    return Part(path.name, images, labels, split)


def read_pixels(path: Path, header: Header) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return labels, (n,) int64 from 0 to 999, and images, (n, side, side) uint8.

    Raises:
        DataError: as for `read_pixel_csv_file`.
    """
    side = math.isqrt(header.columns - 1)
    if side * side != header.columns - 1:
        raise DataError(
            f"{path}: pictures must be square, but {header.columns - 1} pixels are no square "
            f"number; the nearest is {side * side} for {side} x {side}. Check the columns."
        )
    labels, pixels = [], []
    with opened(path) as file:
        if header.is_line:
            file.readline()
        for values in _blocks(file, path, header):
            labels.append(values[:, header.label_at].astype(np.int64))
            first = 1 if header.label_at == 0 else 0
            pixels.append(values[:, first : first + side * side].astype(np.uint8))
    if not labels:
        raise DataError(f"{path}: there is no line below the header, so no picture.")
    return np.concatenate(labels), np.concatenate(pixels).reshape(-1, side, side)


def _blocks(file: BinaryIO, path: Path, header: Header) -> Iterator[NDArray[np.uint16]]:
    """Yield the values of some millions of bytes' worth of whole lines at a time, (n, columns)."""
    line, rest = 1 + header.is_line, b""
    for piece in chain(iter(lambda: file.read(BLOCK), b""), [b""]):
        text = (rest + piece).replace(b"\r\n", b"\n")
        # Empty lines wait for what follows: at the file's end they are no fault.
        block = text[: text.rfind(b"\n") + 1 if piece else None].rstrip(b"\n")
        rest = text[len(block) + 1 :] if block else text
        if block:
            yield _numbers(block + b"\n", path, header, line)
            line += block.count(b"\n") + 1


def _numbers(block: bytes, path: Path, header: Header, line: int) -> NDArray[np.uint16]:
    """Parse whole lines of numbers of one to three digits, (n, columns)."""
    raw = np.frombuffer(block, np.uint8)
    digits = raw - np.uint8(ZERO)
    ends = np.flatnonzero((raw == COMMA) | (raw == NEWLINE))
    lengths = np.diff(ends, prepend=-1) - 1
    newlines = raw[ends] == NEWLINE
    if (
        len(ends) % header.columns
        or not newlines[header.columns - 1 :: header.columns].all()
        or newlines.sum() * header.columns != len(ends)
        or np.count_nonzero(digits > 9) != len(ends)
        or lengths.min() < 1
        or lengths.max() > 3
    ):
        raise DataError(_first_fault(block, path, header, line))
    values = digits[ends - 1].astype(np.uint16)
    values += np.where(lengths > 1, digits[ends - 2], 0).astype(np.uint16) * np.uint16(10)
    values += np.where(lengths > 2, digits[ends - 3], 0).astype(np.uint16) * np.uint16(100)
    table = values.reshape(-1, header.columns)
    largest = table.max(axis=0)
    largest[header.label_at] = 0
    if largest.max() > 255:
        raise DataError(_first_fault(block, path, header, line))
    return table


def _first_fault(block: bytes, path: Path, header: Header, first: int) -> str:
    """Return what is wrong in the first faulty line of a block."""
    for number, text in enumerate(block.removesuffix(b"\n").split(b"\n"), start=first):
        cells = text.decode("latin-1").split(",")
        if len(cells) != header.columns:
            return (
                f"{path}, line {number}: {len(cells):,} values where {header.columns:,} belong. "
                "The file may be cut off; copy it again or remove the line."
            )
        label_column = header.label_at % header.columns
        for column, cell in enumerate(cells):
            most = 999 if column == label_column else 255
            if not re.fullmatch("[0-9]{1,3}", cell) or int(cell) > most:
                what = "label" if column == label_column else "pixel"
                return (
                    f"{path}, line {number}, column {column + 1}: a {what} is a whole number from "
                    f"0 to {most}, not {cell[:20]!r}. Correct or remove the line."
                )
    raise AssertionError("a block was refused, but none of its lines is at fault")
