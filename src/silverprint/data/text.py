"""A text to learn from: any UTF-8 file."""

import codecs
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from silverprint.data.files import opened
from silverprint.errors import ConfigError, DataError
from silverprint.runtime.characters import code_points, encode, one_line_end

MARKS = re.compile(r"^\*\*\* ?(START|END) OF TH(?:IS|E) PROJECT GUTENBERG EBOOK.*$", re.MULTILINE)


@dataclass(frozen=True)
class Text:
    """A text and where it is cut.

    Attributes:
        name: of the file.
        content: the text, its lines ending in LF.
        cut: what is learned from ends before this character; what judges begins here.
        left_out: characters of Project Gutenberg's header and licence, which are no part of it.
    """

    name: str
    content: str
    cut: int
    left_out: int = 0

    @cached_property
    def characters(self) -> str:
        """The different characters of the whole text, by code point."""
        return "".join(map(chr, np.unique(code_points(self.content))))

    @property
    def training(self) -> str:
        """What is learned from."""
        return self.content[: self.cut]

    @property
    def validation(self) -> str:
        """What judges."""
        return self.content[self.cut :]

    def places(self, part: str) -> NDArray[np.int64]:
        """Return the place among `characters` of each character of a part, (n,)."""
        return encode(part, self.characters)


def read_text(path: str | os.PathLike[str], held_out: float = 0.1) -> Text:
    """Read a text, gzip or not, and cut off its end to judge by.

    A byte order mark is left out, CRLF and CR become LF. Of books from Project Gutenberg, one or
    several, what stands before a mark of the start and after that of the end is left out: the
    licence is not the author's. Nothing else is changed.

    Args:
        path: of the file.
        held_out: share of the characters, at the end, that nothing is learned from.

    Raises:
        DataError: the file is missing, not UTF-8, empty, or of one character only.
        ConfigError: the share is out of range.
    """
    if not 0 < held_out < 1:
        raise ConfigError(f"held_out must lie within 0..1, both excluded; got {held_out!r}.")
    file = Path(path).expanduser()
    with opened(file) as handle:
        data = handle.read()
    whole = one_line_end(_decoded(data, file))
    content = _the_book(whole)
    cut = round(len(content) * (1 - held_out))
    text = Text(file.name, content, cut, len(whole) - len(content))
    if not content:
        raise DataError(f"{file} is empty; name a file that holds a text.")
    if len(text.characters) == 1:
        raise DataError(
            f"{file} holds one character only, {text.characters!r}, {len(content):,} times: there "
            "is nothing to tell apart; name another text."
        )
    return text


def _the_book(whole: str) -> str:
    first, *rest = MARKS.split(whole)
    marks, parts = ["START", *rest[::2]], [first, *rest[1::2]]
    if rest[:1] == ["START"]:
        marks[0] = "END"  # what stands before the first book
    books = [part.strip("\n") for mark, part in zip(marks, parts, strict=True) if mark == "START"]
    return "\n\n".join(books) + "\n" if rest and any(books) else whole


def _decoded(data: bytes, file: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        if b"\0" in data and not wide:
            raise DataError(
                f"{file} is no plain text: it is not UTF-8 and holds bytes of 0; name a text file."
            ) from None
        raise DataError(
            f"{file} is not UTF-8: byte {error.start:,} is 0x{error.object[error.start]:02x}; "
            f"convert it first, for example with iconv -f {'UTF-16' if wide else 'ISO-8859-1'} "
            "-t UTF-8."
        ) from None
