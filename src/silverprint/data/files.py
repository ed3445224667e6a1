"""Opening data files, plain or gzip, so that every way they can be broken names the file."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from silverprint.data.conventions import is_hidden
from silverprint.errors import DataError

PIECE = 16 * 2**20


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes, unpacking .gz.

    Raises:
        DataError: here or while reading: the file is missing, unreadable, or damaged gzip data.
    """
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(path, "rb") as unpacked:
                yield cast("BinaryIO", unpacked)
        else:
            with path.open("rb") as plain:
                yield plain
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: the gzip data is damaged or cut off ({error}). Copy or fetch the file again."
        ) from error
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}). Check its name and permissions."
        ) from error


def holds_files(folder: Path) -> bool:
    """Say whether a folder is there, readable, and holds more than hidden and system files."""
    try:
        return any(not is_hidden(path.name) for path in folder.iterdir())
    except OSError:
        return False


def read_at_most(file: BinaryIO, count: int) -> bytes:
    """Read up to `count` bytes; memory follows what the file holds, not what a header claims."""
    pieces = []
    while count > 0 and (piece := file.read(min(count, PIECE))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def first_line(path: Path) -> str:
    """Return a text file's first line, without byte order mark and line end."""
    with opened(path) as file:
        line = file.readline(2**20)
    return line.decode("utf-8-sig", errors="replace").rstrip("\r\n")
