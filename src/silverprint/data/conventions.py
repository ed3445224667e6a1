"""What names mean: the order of classes, the words for splits, files that are never pictures."""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from silverprint.data.table import SPLITS, Split
from silverprint.errors import DataError

SPLIT_WORDS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "t10k": "test",  # how MNIST and its kin call their 10,000 test pictures
}

HIDDEN_NAMES = {
    "__macosx",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "@eadir",
    "$recycle.bin",
    "system volume information",
    "icon\r",
}

# Files people keep beside pictures. Everything else, known ending or none, is taken for a picture,
# because the decoder judges by content and names the file where it cannot read it.
OTHER_KINDS = """
    aae avi bak csv db doc docx gz htm html ini ipynb js json jsonl log m4a m4v md mkv mov mp3 mp4
    mpg ndjson npy npz parquet pdf pkl pt pth py rar rtf sh tar tex tfrecord tgz toml tsv txt url
    wav webm wmv xls xlsx xml xmp yaml yml zip 3gp 7z
"""
OTHER_SUFFIXES = {f".{kind}" for kind in OTHER_KINDS.split()}


def natural_key(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """Return a sorting key: 1, 2, 10; without regard to case, and then exactly."""
    parts: list[str | tuple[int, str]] = []
    for position, part in enumerate(re.split(r"([0-9]+)", name.casefold())):
        # Digits compare by length and then as text: int() refuses more than 4,300 of them.
        digits = part.lstrip("0")
        parts.append((len(digits), digits) if position % 2 else part)
    return parts, name


def class_named(word: str) -> str:
    """Return the class that a folder's name or a cell stands for.

    Spaces around it are no part of it, and a letter is the same however it is stored: macOS writes
    some names with "u" and two dots, other systems with one letter that has them.
    """
    return unicodedata.normalize("NFC", word).strip() or word


def split_named(word: str) -> Split | None:
    """Return the split that a folder's name or a cell stands for, if it does."""
    return SPLIT_WORDS.get(word.strip().casefold())


def split_within(file_name: str) -> Split | None:
    """Return the one split named by a word of a file's name, as in sign_mnist_train.csv."""
    words = re.findall(r"[a-z]+[0-9]*[a-z]*", file_name.casefold())
    found = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def is_hidden(name: str) -> bool:
    """Say whether a file or folder belongs to the system, not to the dataset."""
    return name.startswith(".") or name.casefold() in HIDDEN_NAMES


def is_known_other(name: str) -> bool:
    """Say whether a file's ending tells that it is no picture."""
    return os.path.splitext(name)[1].casefold() in OTHER_SUFFIXES  # noqa: PTH122 - a hot loop


def first_few(names: Iterable[str], most: int = 5) -> str:
    """Return "a, b, c and 4 more"."""
    names = list(names)
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return "1 picture" or "3,068 pictures"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def one_per_split(files: Sequence[Path], split: Split) -> dict[Split, Path]:
    """Give each file of a folder the split its name says; a lone file without one gets `split`.

    Raises:
        DataError: a file says no split beside others, or two say the same one.
    """
    by_split: dict[Split, Path] = {}
    for file in files:
        named = split_within(file.name) or (split if len(files) == 1 else None)
        if named is None:
            raise DataError(
                f"{file}: among several data files each name must say its split (train, validation "
                "or test), and this one does not. Rename it, or pass the one file you mean."
            )
        if named in by_split:
            raise DataError(
                f"{file.parent}: both {by_split[named].name} and {file.name} name the {named} "
                "split. Keep one of them in the folder, or pass the one file you mean."
            )
        by_split[named] = file
    return {part: by_split[part] for part in SPLITS if part in by_split}
