"""Pictures for what needs no labels: what is wrong with labels does no harm, and is told."""

import shutil
from pathlib import Path

import pytest

from silverprint.data.audit.unlabelled import NO_CLASS, read_pictures, without_labels
from silverprint.data.read import read
from silverprint.errors import DataError


@pytest.fixture
def lacking(make_photos, tmp_path: Path) -> Path:
    """Splits of which one lacks a class."""
    root = make_photos(tmp_path / "photos", {"cat": 3, "dog": 2}, splits=("train", "validation"))
    shutil.rmtree(root / "validation" / "dog")
    return root


def test_a_split_that_lacks_a_class_keeps_its_pictures(lacking: Path) -> None:
    with pytest.raises(DataError, match="every split needs the same classes"):
        read_pictures(lacking)
    found = read_pictures(lacking, labelled=False)
    assert found.classes == (NO_CLASS,)
    assert [len(found.rows(split)) for split in ("train", "validation", "test")] == [5, 3, 0]
    assert "Labels are left aside: " in found.notices[-1]
    assert "validation has no picture of 'dog'" in found.notices[-1]


def test_labels_that_are_right_are_kept(make_photos, tmp_path: Path) -> None:
    found = read_pictures(make_photos(tmp_path / "photos"), labelled=False)
    assert found.classes == ("cat", "dog")


def test_one_folder_within_a_folder(make_photos, tmp_path: Path) -> None:
    root = make_photos(tmp_path / "photos", {"cat": 4})
    with pytest.raises(DataError, match="at least two classes"):
        read_pictures(root)
    assert len(read_pictures(root, labelled=False)) == 4


def test_loose_pictures_have_no_labels_and_need_none(make_photos, tmp_path: Path) -> None:
    loose = make_photos(tmp_path / "photos", {"cat": 4}) / "cat"
    for labelled in (True, False):
        found = read_pictures(loose, labelled=labelled)
        assert len(found) == 4
        assert not any("left aside" in notice for notice in found.notices)


def test_a_single_picture_is_called_one(make_photos, tmp_path: Path) -> None:
    photo = make_photos(tmp_path / "photos") / "cat" / "0000.jpg"
    with pytest.raises(DataError, match=r"0000.jpg is one picture; give the folder of all of them"):
        read_pictures(photo, labelled=False)


def test_what_holds_no_picture_is_told_as_ever(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("path\na.jpg\n")
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    with pytest.raises(DataError, match="no column for the label"):
        read_pictures(tmp_path / "table.csv", labelled=False)
    with pytest.raises(DataError, match="empty"):
        read_pictures(tmp_path / "empty", labelled=False)
    with pytest.raises(DataError, match="neither a folder or file that exists"):
        read_pictures(tmp_path / "gone", labelled=False)


def test_without_labels(make_photos, tmp_path: Path) -> None:
    whole = read(make_photos(tmp_path / "photos"))
    found = without_labels(whole, "for a reason.")
    assert found.names == whole.names
    assert found.class_counts() == {NO_CLASS: 9}
    assert found.notices[-1] == "Labels are left aside: for a reason."
