"""The CSV of labels: nothing of it is ever lost, and `train` reads it."""

import contextlib
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from silverprint.data.labels import LONGEST, LabelFile, unnameable
from silverprint.data.manifest_rows import Columns
from silverprint.data.manifests import read_manifest_file
from silverprint.data.table import Dataset
from silverprint.errors import ConfigError, DataError


def read(path: Path) -> dict[Path, str]:
    dataset = read_manifest_file(path, "train", Columns(separator=""))
    labels = (dataset.classes[label] for label in dataset.labels)
    return dict(zip(dataset.sources, labels, strict=True))


def pictures(root: Path, *names: str) -> list[Path]:
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / name).touch()
    return [root / name for name in names]


def test_labels_are_on_disk_as_soon_as_they_are_given(tmp_path) -> None:
    one, two = pictures(tmp_path / "new", "1.jpg", "2, b.jpg")
    away = pictures(tmp_path.parent / f"{tmp_path.name}-away", "3.jpg")[0]
    file = LabelFile(tmp_path / "labels.csv")
    assert not file.path.exists()
    file.put(one, "cat")
    assert file.path.read_text() == "path,label\nnew/1.jpg,cat\n"
    file.put(two, "dog")
    file.put(away, "cat")
    assert read(file.path) == {one: "cat", two: "dog", away: "cat"}
    file.remove(one)
    file.put(two, "emu")
    assert read(file.path) == {two: "emu", away: "cat"}
    assert file.given == {two: "emu", away: "cat"}
    assert names_in(tmp_path) == ["labels.csv", "new"]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_there_stays_as_it_was(tmp_path) -> None:
    one, two, three = pictures(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    before = "\ufeffnote;File;Class;subset\r\nmine; 1.jpg ;'a' cat;validation\r\n;2.jpg;dog;train"
    path = tmp_path / "labels.csv"
    path.write_bytes(before.encode())
    path.chmod(0o640)
    file = LabelFile(path)
    assert file.labelled == {one: "'a' cat", two: "dog"}
    file.put(three, "dog")
    assert path.read_bytes().decode() == f"{before}\r\n;3.jpg;dog;train\r\n"
    assert path.stat().st_mode & 0o777 == 0o640
    again = LabelFile(path)
    assert again.labelled == {one: "'a' cat", two: "dog", three: "dog"}


def test_an_empty_file_and_a_link(tmp_path) -> None:
    (one,) = pictures(tmp_path, "1.jpg")
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "real.csv").touch()
    (tmp_path / "labels.csv").symlink_to(tmp_path / "far" / "real.csv")
    LabelFile(tmp_path / "labels.csv").put(one, "cat")
    assert (tmp_path / "labels.csv").is_symlink()
    assert (tmp_path / "far" / "real.csv").read_text() == f"path,label\n{one},cat\n"


def test_another_program_changes_the_file(tmp_path) -> None:
    one, two = pictures(tmp_path, "1.jpg", "2.jpg")
    mine, other = LabelFile(tmp_path / "labels.csv"), LabelFile(tmp_path / "labels.csv")
    mine.put(one, "cat")
    for change in (lambda: other.put(two, "dog"), lambda: other.remove(two)):
        with pytest.raises(DataError, match=r"changed by another program; stop here and start"):
            change()
    assert read_text(tmp_path) == "path,label\n1.jpg,cat\n"
    assert other.given == {}


def read_text(root: Path) -> str:
    return (root / "labels.csv").read_text()


def joined(root: Path, **changed) -> Dataset:
    files = pictures(root / "old", "a.jpg", "b.jpg", "c.jpg")
    given = {
        "name": "old", "classes": ("cat", "dog"), "sources": files,
        "names": [file.name for file in files], "labels": np.array([0, 1, 0]),
        "splits": np.array([0, 0, 2], np.int8), **changed,
    }  # fmt: skip
    return Dataset(**given)


def test_what_the_bundle_learned_from_joins(tmp_path) -> None:
    (new,) = pictures(tmp_path, "1.jpg")
    old = joined(tmp_path)
    file = LabelFile(tmp_path / "labels.csv", old)
    assert file.labelled == dict(zip(old.sources, ("cat", "dog", "cat"), strict=True))
    file.put(new, "dog")
    wanted = "path,label,split\nold/a.jpg,cat,train\nold/b.jpg,dog,train\nold/c.jpg,cat,test\n"
    assert read_text(tmp_path) == f"{wanted}1.jpg,dog,train\n"
    again = LabelFile(tmp_path / "labels.csv", old)
    again.put(pictures(tmp_path, "2.jpg")[0], "cat")
    assert read_text(tmp_path) == f"{wanted}1.jpg,dog,train\n2.jpg,cat,train\n"
    assert file.trouble().endswith(
        "every split needs the same classes, but test has no picture of 'dog'. Add pictures "
        "there, or take the class out of the other splits. Or delete the column of splits, and "
        "train divides the pictures itself."
    )


def test_what_cannot_join(tmp_path) -> None:
    path = tmp_path / "labels.csv"
    pixels = [np.zeros((2, 2), np.uint8)] * 3
    with pytest.raises(DataError, match=r"a\.jpg lies inside a file of many pictures"):
        LabelFile(path, joined(tmp_path, sources=pixels))
    with pytest.raises(DataError, match="old: its pictures have several labels, and here one"):
        LabelFile(path, joined(tmp_path, task="multi-label"))
    with pytest.raises(DataError, match=r"got 'c\|t'"):
        LabelFile(path, joined(tmp_path, classes=("c|t", "dog")))
    path.write_text("path,label\nold/a.jpg,cat\n")
    with pytest.raises(ConfigError, match="begun without --with, and has no column for splits"):
        LabelFile(path, joined(tmp_path))
    path.write_text("path,label\nold/a.jpg,cat|dog\n")
    with pytest.raises(DataError, match=r"has several labels in one cell \('cat\|dog'\)"):
        LabelFile(path)


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("", "a label has letters"),
        (" cat", "no space around them; got ' cat'"),
        ("a|b", "holds no '|' or ';'"),
        ("a;b", "holds no '|' or ';'"),
        ("a\nb", "nothing that cannot be printed"),
        ("\ud800", "nothing that cannot be printed"),
        ("a" * (LONGEST + 1), f"at most 255 letters; {'a' * 40!r}... has 256"),
    ],
)
def test_labels_that_are_none(tmp_path, label, told) -> None:
    file = LabelFile(tmp_path / "labels.csv")
    with pytest.raises(DataError) as caught:
        file.put(tmp_path / "1.jpg", label)
    assert told in str(caught.value)
    assert not file.path.exists()


@pytest.mark.parametrize("label", ["x" * LONGEST, "👨\u200d👩\u200d👧", "می\u200cخواهم"])
def test_long_labels_emoji_and_joined_words_are_labels(tmp_path, label) -> None:
    file = LabelFile(tmp_path / "labels.csv")
    file.put(tmp_path / "1.jpg", label)
    assert LabelFile(file.path).labelled == {tmp_path / "1.jpg": label}


def test_files_that_cannot_be_written(tmp_path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    for name, told in (
        ("labels.txt", "labels go into a CSV; name one, such as labels.csv"),
        ("folder.csv", "cannot be written: is a directory; name another with --out"),
        ("missing/labels.csv", "cannot be written: no such file or directory"),
        ("file/labels.csv", "cannot be written: not a directory"),
    ):
        with pytest.raises(ConfigError, match=told):
            LabelFile(tmp_path / name)


def test_a_disk_that_fills_up_keeps_what_was_written(tmp_path, monkeypatch) -> None:
    one, two = pictures(tmp_path, "1.jpg", "2.jpg")
    file = LabelFile(tmp_path / "labels.csv")
    file.put(one, "cat")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("silverprint.data.labels.os.fsync", full)
        with pytest.raises(ConfigError, match="cannot be written: no space left on device"):
            file.put(two, "dog")
    assert read_text(tmp_path) == "path,label\n1.jpg,cat\n"
    assert names_in(tmp_path) == ["1.jpg", "2.jpg", "labels.csv"]
    file.put(two, "dog")
    assert read(file.path) == {one: "cat", two: "dog"}


NAMES = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=20)
LABELS = st.text(min_size=1, max_size=20)


@given(st.dictionaries(NAMES, LABELS, min_size=1, max_size=5))
def test_whatever_is_taken_is_read_again(table) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(os.path.realpath(folder))
        file, wanted = LabelFile(root / "labels.csv"), {}
        for name, label in {".jpg": "first", "x.jpg": "second", **table}.items():
            picture = root / name
            if name in (".", "..", "labels.csv") or unnameable(picture):
                continue
            with contextlib.suppress(DataError):
                picture.touch()
                file.put(picture, label)
                wanted[picture] = label
        assert read(file.path) == wanted
