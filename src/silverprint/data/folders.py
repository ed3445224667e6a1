"""Class folders (photos/cat/1.jpg), alone or inside train, validation and test folders."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from silverprint.data.assembly import assemble
from silverprint.data.conventions import (
    class_named,
    first_few,
    is_hidden,
    is_known_other,
    natural_key,
    split_named,
)
from silverprint.data.table import SPLITS, Dataset, FilesBelow, Split
from silverprint.errors import DataError


@dataclass(frozen=True)
class Level:
    """Class folders of one split: at `root/prefix`, where prefix is "" or ends with a slash."""

    split: Split
    prefix: str
    classes: list[str]


@dataclass(frozen=True)
class Leftovers:
    """Everything met on the way that is not simply a picture in its class folder."""

    nested: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    other_files: list[str] = field(default_factory=list)
    irregular: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)

    def notices(self) -> tuple[str, ...]:
        """Return a line for each kind that occurred."""
        lines = (
            (self.nested, "Read as part of their class: folders inside class folders"),
            (self.empty, "Left out: class folders without any picture"),
            (self.loose, "Left out: files loose beside the class folders, having no class"),
            (self.beside, "Left out: folders beside train, validation and test"),
            (self.other_files, "Left out: files whose ending says they are no pictures"),
            (self.irregular, "Left out: broken links and what is no regular file"),
            (self.loops, "Left out: links to a folder already read"),
            (self.hidden, "Left out: hidden and system files"),
        )
        return tuple(
            f"{what} ({len(names):,}): {first_few(map(_printable, sorted(names)))}."
            for names, what in lines
            if names
        )


def is_class_layout(root: Path) -> bool:
    """Say whether a folder looks like this layout: two class folders, or splits holding some."""
    folders = subfolders(root)
    splits = _splits_of(folders, root)
    if splits:
        return any(subfolders(root / name) for name in splits)
    return len(folders) > 1


def splits_among(
    folders: Sequence[str], root: Path | str, holds_folders: Callable[[str], bool]
) -> dict[str, Split]:
    """Return which of the folders at `root` are splits; none where they are classes.

    A class may be called "train", among cars and buses. So the folders are splits where every one
    is, or where train stands beside another split and itself holds folders.

    Raises:
        DataError: two folders name one split.
    """
    named = {name: split for name in folders if (split := split_named(name))}
    if len(named) < len(folders):
        training = [name for name, split in named.items() if split == "train"]
        if len(named) < 2 or not training or not holds_folders(training[0]):
            return {}
    for split in set(named.values()):
        same = [name for name in named if named[name] == split]
        if len(same) > 1:
            raise DataError(
                f"{root}: the folders {' and '.join(same)} both name the {split} split. "
                "Put their pictures together in one."
            )
    return named


def _splits_of(folders: Sequence[str], root: Path) -> dict[str, Split]:
    return splits_among(folders, root, lambda name: bool(subfolders(root / name)))


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders inside, without hidden ones, in natural order."""
    names = [
        entry.name
        for entry in _entries(os.fspath(folder))
        if not is_hidden(entry.name) and is_folder(entry)
    ]
    return sorted(names, key=natural_key)


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Say whether an entry is a folder or a link to one; a link that points at itself is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def read_folders(root: Path, split: Split) -> Dataset:
    """Read class folders; `split` is what they are where no folder names a split.

    Every file in a class folder is taken for a picture, whatever its ending or none, except hidden
    files and the endings in `OTHER_SUFFIXES`. A notice counts and names all that is left out.

    Raises:
        DataError: a folder cannot be read, holds no pictures, or its splits or classes do not fit
            (see `splits_among` and `check_classes`).
    """
    left = Leftovers()
    levels = _levels(root, split, left)
    labels = sorted(
        {class_named(name) for level in levels for name in level.classes}, key=natural_key
    )
    codes_by_label = {label: code for code, label in enumerate(labels)}
    names: list[str] = []
    codes: list[int] = []
    splits: list[int] = []
    for level in levels:
        for folder in level.classes:
            found = sorted(_pictures(root, level.prefix, folder, left))
            if not found:
                left.empty.append(f"{level.prefix}{folder}")
            names += found
            codes += [codes_by_label[class_named(folder)]] * len(found)
            splits += [SPLITS.index(level.split)] * len(found)
    refuse_splits_inside(root, left.nested)
    _refuse_wrapped(root, levels, left.nested)
    if not names:
        raise DataError(_nothing_found(root, labels, left))
    return assemble(
        root=root,
        sources=FilesBelow(root, names),
        names=[_printable(name) for name in names],
        codes=np.array(codes, np.int64),
        labels={code: _printable(label) for code, label in enumerate(labels)},
        splits=np.array(splits, np.int8),
        notices=left.notices(),
    )


def _levels(root: Path, split: Split, left: Leftovers) -> list[Level]:
    """Return the class folders, split by split."""
    folders = _folders_of_level(root, "", left)
    splits = _splits_of(folders, root)
    if not splits:
        return [Level(split, "", folders)]
    left.beside.extend(name for name in folders if name not in splits)
    return [
        Level(part, f"{name}/", _folders_of_level(root, f"{name}/", left))
        for name, part in sorted(splits.items(), key=lambda item: SPLITS.index(item[1]))
    ]


def _folders_of_level(root: Path, prefix: str, left: Leftovers) -> list[str]:
    """Return the folders in natural order, noting the files beside them."""
    folders = []
    for entry in _entries(f"{root}/{prefix}"):
        if is_hidden(entry.name):
            left.hidden.append(f"{prefix}{entry.name}")
        elif is_folder(entry):
            folders.append(entry.name)
        else:
            left.loose.append(f"{prefix}{entry.name}")
    return sorted(folders, key=natural_key)


def _pictures(root: Path, prefix: str, label: str, left: Leftovers) -> Iterator[str]:
    """Yield the name below the root of every picture in a class folder and in folders inside."""
    start = f"{prefix}{label}"
    seen = {_identity(f"{root}/{above}") for above in ("", prefix, start)}
    waiting = [start]
    while waiting:
        folder = waiting.pop()
        for entry in _entries(f"{root}/{folder}"):
            name = f"{folder}/{entry.name}"
            if is_hidden(entry.name):
                left.hidden.append(name)
            elif is_folder(entry):
                identity = _identity(entry.path)
                (left.loops if identity in seen else left.nested).append(name)
                if identity not in seen:
                    seen.add(identity)
                    waiting.append(name)
            elif not _is_file(entry):
                left.irregular.append(name)
            elif is_known_other(entry.name):
                left.other_files.append(name)
            else:
                yield name


def refuse_splits_inside(root: Path | str, nested: Sequence[str]) -> None:
    """Refuse photos/cat/train and photos/cat/test: read as one class, they would mix the splits.

    Raises:
        DataError: a folder in a class folder holds folders of two splits.
    """
    inside: dict[str, dict[Split, str]] = {}
    for name in nested:
        parent, _, last = name.rpartition("/")
        if split := split_named(last):
            inside.setdefault(parent, {})[split] = last
    for parent, named in inside.items():
        if len(named) > 1:
            raise DataError(
                f"{root}: {parent} was taken for a class, but holds the split folders "
                f"{' and '.join(sorted(named.values()))}. Splits go outside and classes inside, as "
                f"in train/cat; or pass the folder {root}/{parent} itself."
            )


def _refuse_wrapped(root: Path, levels: Sequence[Level], nested: Sequence[str]) -> None:
    """Refuse photos/photos/cat and photos/photos/dog, which is how some archives are unpacked.

    Raises:
        DataError: there is one folder, and folders in it.
    """
    only = levels[0].classes if len(levels) == 1 and not levels[0].prefix else []
    inside = sorted(name for name in nested if name.count("/") == 1)
    if len(only) == 1 and len(inside) > 1:
        raise DataError(
            f"{root}: there is one folder in it, {only[0]!r}, and in that {len(inside):,}: "
            f"{first_few(map(_printable, inside))}. If those are the classes, pass the folder "
            f"{root}/{only[0]} itself."
        )


def _entries(folder: str) -> Iterator["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        raise DataError(_unlistable(folder, error)) from error


def _unlistable(folder: str, error: OSError) -> str:
    return f"{folder}: cannot be listed ({error.strerror or error}). Check its permissions."


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that points at itself
        return False


def _identity(folder: str) -> tuple[int, int]:
    """Return what two paths to one folder have in common, whatever links lead there."""
    try:
        status = os.stat(folder)  # noqa: PTH116 - a hot loop over plain strings
    except OSError as error:
        raise DataError(_unlistable(folder, error)) from error
    return status.st_dev, status.st_ino


def _printable(name: str) -> str:
    """Return a file name with the bytes that are no UTF-8 replaced, fit for a message."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", errors="replace")


def _nothing_found(root: Path, labels: Sequence[str], left: Leftovers) -> str:
    where = f"the class folders {first_few(labels)}" if labels else "it, nor class folders"
    return (
        f"{root}: there are no pictures in {where}. Put each class's pictures into a folder with "
        f"its name. {' '.join(left.notices())}"
    ).rstrip()
