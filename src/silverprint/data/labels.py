"""A CSV of labels that grows while a person labels, and that `train` reads.

    path,label
    new/7.jpg,hat

Each label is on disk before it counts as given: the file is written under another name and renamed,
so a kill loses nothing. What the file held before stays as it was, byte for byte; new labels are
lines at its end.
"""

import csv
import io
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from silverprint.data.audit.plan import label_of
from silverprint.data.manifest_rows import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    SPLIT_COLUMNS,
    Columns,
    read_rows,
)
from silverprint.data.manifests import SEPARATORS, read_manifest_file
from silverprint.data.table import SPLITS, Dataset
from silverprint.errors import ConfigError, DataError

LONGEST = 255  # letters of a label, as of a folder's name
JOINERS = str.maketrans("", "", "\u200c\u200d")  # of Persian words and of emoji
Line = tuple[Path, str, str]  # picture, label, split
WORDS = {"path": IMAGE_COLUMNS, "label": LABEL_COLUMNS, "split": SPLIT_COLUMNS}


class LabelFile:
    """The file, and the labels given since it was opened.

    Attributes:
        path: where it is.
        labelled: what it held when it was opened, label by picture.
    """

    def __init__(self, path: Path, joined: Dataset | None = None) -> None:
        """Open a file that is there, or will be at the first label; nothing is written yet.

        Args:
            path: a CSV.
            joined: labelled pictures that are to stand in it too, with their splits.

        Raises:
            ConfigError: the file cannot be written, or is no CSV by name.
            DataError: what is there is no CSV of paths and labels, or `joined` does not fit in.
        """
        if path.suffix.lower() != ".csv":
            raise ConfigError(f"{path}: labels go into a CSV; name one, such as labels.csv.")
        self.path = Path(os.path.realpath(path.absolute()))  # a link stays one
        self._columns, self._delimiter = ["path", "label"], ","
        self.labelled: dict[Path, str] = {}
        self._before = b""
        self._given: dict[Path, str] = {}
        self._state = self._state_on_disk()
        self._check_writable()
        if self._state is not None and self.path.stat().st_size:
            self._read()
        else:
            self._columns += ["split"] if joined is not None else []
            self._before = self._lines([dict(zip(self._columns, self._columns, strict=True))])
        if joined is not None:
            self._join(joined)

    @property
    def given(self) -> Mapping[Path, str]:
        """Labels given since the file was opened, in their order."""
        return self._given

    def put(self, picture: Path, label: str) -> None:
        """Write a picture's label; a second one replaces the first.

        Raises:
            DataError: it cannot be a label, or another program changed the file.
            ConfigError: the file cannot be written; the label is then not given.
        """
        check_label(label)
        self._write({**self._given, picture: label})

    def remove(self, picture: Path) -> None:
        """Take back a label that was given since the file was opened; raises as `put` does."""
        self._write({key: value for key, value in self._given.items() if key != picture})

    def trouble(self) -> str:
        """Return what `train` would say against the file as it is; empty if nothing."""
        try:
            read_manifest_file(self.path, "train", Columns())
        except DataError as error:
            way_out = " Or delete the column of splits, and train divides the pictures itself."
            return f"{error}{way_out if 'every split needs' in str(error) else ''}"
        return ""

    def _read(self) -> None:
        rows, _ = read_rows(self.path, "train", Columns())
        self._before = self.path.read_bytes()
        header = self._before.decode("utf-8-sig").splitlines()[0]
        self._delimiter = next((mark for mark in "\t,;" if mark in header), ",")
        cells = next(csv.reader([header], delimiter=self._delimiter, skipinitialspace=True))
        self._columns = [cell.strip() for cell in cells]
        if not self._before.endswith(b"\n"):
            self._before += self._end.encode()
        for row in rows:
            label = row.label if isinstance(row.label, str) else "|".join(row.label)
            if isinstance(row.path, str):
                raise DataError(
                    f"{row.place}: {row.name} is an address, and here files are labelled. Name "
                    "another file with --out."
                )
            self.labelled[row.path] = label.strip()
        several = [label for label in self.labelled.values() if set(label) & set(SEPARATORS)]
        if several:
            raise DataError(
                f"{self.path} has several labels in one cell ({several[0]!r}), and here each "
                "picture gets one. Name another file with --out."
            )

    def _join(self, joined: Dataset) -> None:
        if joined.task == "multi-label":
            raise DataError(f"{joined.name}: its pictures have several labels, and here one each.")
        if not self._column("split") and joined.splits.any():
            raise ConfigError(
                f"{self.path} was begun without --with, and has no column for splits; name another "
                "file with --out, or leave out --with."
            )
        lines: list[Line] = []
        for row, (source, name) in enumerate(zip(joined.sources, joined.names, strict=True)):
            if not isinstance(source, Path):
                raise DataError(
                    f"{joined.name}: {name} lies inside a file of many pictures, or at an address, "
                    "and here files are labelled; leave out --with."
                )
            if source in self.labelled:
                continue
            label = label_of(joined, row)
            check_label(label)
            if reason := unnameable(source):
                raise DataError(f"{name} {reason}.")
            self.labelled[source] = label
            lines.append((source, label, SPLITS[joined.splits[row]]))
        self._before += self._lines(map(self._cells, lines))

    def _column(self, kind: str) -> str:
        by_name = {name.casefold(): name for name in reversed(self._columns)}
        return next((by_name[word] for word in WORDS[kind] if word in by_name), "")

    def _cells(self, line: Line) -> dict[str, str]:
        picture, label, split = line
        home = self.path.parent
        name = picture.relative_to(home).as_posix() if picture.is_relative_to(home) else picture
        values = {"path": str(name), "label": label, "split": split}
        return {column: value for kind, value in values.items() if (column := self._column(kind))}

    @property
    def _end(self) -> str:
        return "\r\n" if b"\r\n" in self._before else "\n"

    def _lines(self, cells: Iterable[Mapping[str, str]]) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(
            text, self._columns, restval="", delimiter=self._delimiter, lineterminator=self._end
        )
        writer.writerows(cells)
        return text.getvalue().encode()

    def _write(self, given: dict[Path, str]) -> None:
        if self._state_on_disk() != self._state:
            raise DataError(
                f"{self.path} was changed by another program; stop here and start again, so that "
                "nothing is lost."
            )
        lines: list[Line] = [(picture, label, "train") for picture, label in given.items()]
        content = self._before + self._lines(map(self._cells, lines))
        part = self._part()
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if self._state is not None:
                shutil.copymode(self.path, part)
            part.replace(self.path)
        except OSError as error:
            raise self._unwritable(error) from None
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        self._given, self._state = given, self._state_on_disk()

    def _check_writable(self) -> None:
        part = self._part()
        try:
            if self._state is not None:
                with self.path.open("ab"):  # it would be replaced, but a lock on it is a wish
                    pass
            part.touch()
            part.unlink()
        except OSError as error:
            raise self._unwritable(error) from None

    def _part(self) -> Path:
        return self.path.with_name(f".{os.getpid()}-{self.path.name}")

    def _unwritable(self, error: OSError) -> ConfigError:
        reason = (error.strerror or str(error)).lower()
        return ConfigError(f"{self.path} cannot be written: {reason}; name another with --out.")

    def _state_on_disk(self) -> tuple[int, int, int] | None:
        try:
            facts = self.path.stat()
        except OSError:
            return None
        return facts.st_ino, facts.st_size, facts.st_mtime_ns


def check_label(label: str) -> None:
    """Refuse what cannot stand as one label in a CSV.

    Raises:
        DataError: it is empty, too long, or holds what separates labels or lines.
    """
    if not label or label != label.strip():
        raise DataError(f"a label has letters, and no space around them; got {label!r}.")
    if len(label) > LONGEST:
        raise DataError(
            f"a label has at most {LONGEST} letters; {label[:40]!r}... has {len(label)}."
        )
    if set(label) & set(SEPARATORS) or not label.translate(JOINERS).isprintable():
        raise DataError(
            f"a label holds no '|' or ';', which in a CSV separate labels, and nothing that cannot "
            f"be printed; got {label!r}."
        )


def unnameable(picture: Path) -> str:
    """Return why a CSV cannot name a picture; empty if it can."""
    try:
        os.fspath(picture).encode()
    except UnicodeEncodeError:
        return "has a name that is not valid text, so no CSV can hold it; rename it"
    # A reader strips spaces around a path, which may begin at any of its parts.
    if any(part != part.strip() or "\r" in part for part in picture.parts[1:]):
        return "has a name that a CSV cannot hold unchanged; rename it"
    return ""
