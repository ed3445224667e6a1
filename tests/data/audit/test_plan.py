"""A plan is written, edited, and carried out on a new CSV; bad ones say where they are wrong."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from silverprint.data.audit.findings import Finding, Proposal
from silverprint.data.audit.plan import (
    apply_plan,
    check_files,
    read_plan,
    write_plan,
)
from silverprint.data.audit.unlabelled import read_unlabelled
from silverprint.data.read import read
from silverprint.data.table import Dataset
from silverprint.errors import ConfigError, DataError

HEADER = "file,finding,action,new_label\n"


@pytest.fixture
def photos(make_photos, tmp_path) -> Dataset:
    make_photos(tmp_path / "photos", {"cat": 3, "dog": 3}, splits=("train", "test"))
    return read(tmp_path / "photos")


@pytest.fixture
def plan(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "plan.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_what_is_planned_is_what_is_read(photos, tmp_path) -> None:
    row = photos.names.index("train/cat/0001.jpg")
    other = photos.names.index("train/dog/0002.jpg")
    findings = [
        Finding("label", (row,), "looks like dog", 0.9, {row: Proposal("relabel", "dog")}),
        Finding("leak", (other, row), "both, with a comma", 1.0, {other: Proposal("drop")}),
    ]  # fmt: skip
    path = tmp_path / "plan.csv"
    assert write_plan(findings, photos.names, path) == 3
    with path.open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["action"] for line in lines] == ["relabel", "drop", "keep"]
    assert lines[1]["detail"] == "both, with a comma"
    assert read_plan(path, photos) == {row: Proposal("relabel", "dog"), other: Proposal("drop")}


def test_a_plan_makes_a_new_csv_and_touches_nothing(photos, plan, tmp_path) -> None:
    before = {path: path.read_bytes() for path in (tmp_path / "photos").rglob("*.jpg")}
    path = plan(
        HEADER
        + "train/cat/0001.jpg,label,relabel,dog\n"
        + "train/dog/0002.jpg,leak,Drop,\n"
        + "train/dog/0002.jpg,label,relabel,cat\n"
        + "test/cat/0000.jpg,outlier,keep,\n"
    )
    out = tmp_path / "new.csv"
    assert apply_plan(photos, read_plan(path, photos), out) == 11
    again = read(out)
    assert again.class_counts("train") == {"cat": 2, "dog": 3}
    assert again.class_counts("test") == {"cat": 3, "dog": 3}
    labels = dict(zip(again.names, again.labels.tolist(), strict=True))
    assert labels["photos/train/cat/0001.jpg"] == again.classes.index("dog")
    assert "photos/train/dog/0002.jpg" not in labels
    assert {path: path.read_bytes() for path in before} == before


def test_pictures_elsewhere_are_named_in_full(photos, tmp_path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    apply_plan(photos, {}, folder / "new.csv")
    again = read(folder / "new.csv")
    assert list(again.sources) == list(photos.sources)
    assert (again.labels == photos.labels).all()


def test_a_plan_from_a_spreadsheet_is_read(photos, tmp_path) -> None:
    path = tmp_path / "plan.csv"
    text = "file;finding;action;new_label\r\ntrain/cat/0001.jpg;label;RELABEL; dog \r\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert list(read_plan(path, photos).values()) == [Proposal("relabel", "dog")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "train/cat/01.jpg,x,drop,",
            "plan.csv, line 2: 'train/cat/01.jpg' is not among the 12 pictures of photos. "
            "Did you mean 'train/cat/0001.jpg'?",
        ),
        (
            "train/cat/0001.jpg,x,delete,",
            "line 2: an action is keep, relabel or drop, not 'delete'",
        ),
        (
            "train/cat/0001.jpg,x,relabel,dogg",
            "relabel needs a class of photos in new_label, not 'dogg'. Did you mean 'dog'?",
        ),
        (
            "train/cat/0001.jpg,x,relabel,",
            "line 2: relabel needs a class of photos in new_label, not ''",
        ),
        (
            "train/cat/0001.jpg,x,relabel,dog\ntrain/cat/0001.jpg,x,relabel,cat",
            "line 3: train/cat/0001.jpg becomes 'cat' here but 'dog' in an earlier line",
        ),
        ("train/cat/0001.jpg", "line 2: an action is keep, relabel or drop, not ''"),
    ],
)
def test_a_wrong_line_is_named(photos, plan, line, message) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        read_plan(plan(HEADER + line + "\n"), photos)


def test_what_is_no_plan_is_refused(photos, plan, tmp_path) -> None:
    with pytest.raises(DataError, match="but action, new_label is missing"):
        read_plan(plan("file,finding\n"), photos)
    with pytest.raises(DataError, match=r"nowhere\.csv: cannot be read"):
        read_plan(tmp_path / "nowhere.csv", photos)
    (tmp_path / "latin.csv").write_bytes(HEADER.encode() + b"caf\xe9.jpg,x,keep,\n")
    with pytest.raises(DataError, match="a plan is UTF-8"):
        read_plan(tmp_path / "latin.csv", photos)


def test_nothing_is_overwritten(photos, plan, tmp_path) -> None:
    path = plan("my edits")
    for write in (lambda: write_plan([], [], path), lambda: apply_plan(photos, {}, path)):
        with pytest.raises(ConfigError, match="exists already and is not overwritten"):
            write()
    assert path.read_text() == "my edits"
    with pytest.raises(ConfigError, match=r"the folder .*nowhere does not exist"):
        apply_plan(photos, {}, tmp_path / "nowhere" / "new.csv")


def test_a_class_that_a_plan_empties_stops_it(photos, tmp_path) -> None:
    rows = [row for row, name in enumerate(photos.names) if name.startswith("test/dog")]
    with pytest.raises(DataError, match=r"new\.csv: every split needs the same classes, but test"):
        apply_plan(photos, dict.fromkeys(rows, Proposal("drop")), tmp_path / "new.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_name_that_no_csv_can_hold_stops_it(make_photos, tmp_path) -> None:
    make_photos(tmp_path / "photos", {"cat": 2, "dog": 2})
    (tmp_path / "photos/cat/0000.jpg").rename(tmp_path / "photos/cat/ 0000.jpg ")
    photos = read(tmp_path / "photos")
    with pytest.raises(DataError, match="a CSV cannot hold unchanged"):
        apply_plan(photos, {}, tmp_path / "photos" / "cat" / "new.csv")
    assert not list(tmp_path.rglob("*.csv"))


def test_a_label_that_looks_like_two_stays_one(make_photos, tmp_path) -> None:
    make_photos(tmp_path / "photos", {"a|b": 2, "c": 2})
    photos = read(tmp_path / "photos")
    apply_plan(photos, {}, tmp_path / "new.csv")
    again = read(tmp_path / "new.csv", label_separator="")
    assert again.classes == ("a|b", "c")


def test_several_labels_are_kept_and_changed(make_photos, tmp_path) -> None:
    make_photos(tmp_path, {"x": 4})
    (tmp_path / "old.csv").write_text(
        "path,label\nx/0000.jpg,cat|dog\nx/0001.jpg,dog\nx/0002.jpg,\nx/0003.jpg,cat\n"
    )
    photos = read(tmp_path / "old.csv")
    (tmp_path / "plan.csv").write_text(
        HEADER + "x/0001.jpg,label,relabel,cat|dog\nx/0003.jpg,label,relabel,\n"
    )
    apply_plan(photos, read_plan(tmp_path / "plan.csv", photos), tmp_path / "new.csv")
    again = read(tmp_path / "new.csv")
    assert again.labels.tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]


def test_pictures_inside_a_file_have_no_plan() -> None:
    array = np.zeros((2, 2), np.uint8)
    inside = Dataset(
        "digits", ("a",), [array], ["d.gz[0]"], np.zeros(1, np.int64), np.zeros(1, np.int8)
    )
    with pytest.raises(DataError, match=r"d.gz\[0\] lies inside a file of many pictures"):
        check_files(inside)


def test_unlabelled_pictures_are_read_from_any_folders(make_photos, tmp_path) -> None:
    make_photos(tmp_path / "p", {"a": 2, "b": 1}, splits=("train", "test"))
    (tmp_path / "p/loose.jpg").write_bytes((tmp_path / "p/train/a/0000.jpg").read_bytes())
    (tmp_path / "p/notes.txt").write_text("x")
    (tmp_path / "p/.hidden.jpg").write_text("x")
    found = read_unlabelled(tmp_path / "p")
    assert len(found) == 7
    assert found.class_counts() == {"(no label)": 7}
    assert len(found.rows("test")) == 3
    assert found.notices == (
        "7 pictures without labels.",
        "Left out: files whose ending says they are no pictures (1): notes.txt.",
    )
    with pytest.raises(DataError, match="there are no pictures in it"):
        read_unlabelled(make_photos(tmp_path / "q", {"empty": 0}))
