import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from silverprint.data.read import read
from silverprint.data.table import Dataset
from silverprint.errors import DataError


def write(root: Path, *names: str) -> Path:
    """Write empty files: a reader lists pictures, it does not look at them."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def notice(dataset: Dataset, word: str) -> str:
    found = [line for line in dataset.notices if word in line]
    assert len(found) == 1, dataset.notices
    return found[0]


def test_class_folders(tmp_path: Path) -> None:
    root = write(tmp_path / "photos", "dog/1.jpg", "cat/2.jpg", "cat/1.jpg", "Bee/1.jpg")
    dataset = read(root)
    assert dataset.name == "photos"
    assert dataset.classes == ("Bee", "cat", "dog")
    assert list(dataset.names) == ["Bee/1.jpg", "cat/1.jpg", "cat/2.jpg", "dog/1.jpg"]
    assert list(dataset.sources) == [root / name for name in dataset.names]
    assert dataset.labels.tolist() == [0, 1, 1, 2]
    assert dataset.labels.dtype == np.int64
    assert dataset.splits.dtype == np.int8
    assert len(dataset.rows("train")) == 4
    assert dataset.notices == ()
    assert dataset.root == root


def test_classes_are_in_natural_order(tmp_path: Path) -> None:
    write(tmp_path, "10/a.jpg", "9/a.jpg", "1/a.jpg", "b/a.jpg", "A/a.jpg")
    assert read(tmp_path).classes == ("1", "9", "10", "A", "b")


def test_split_says_what_plain_folders_are(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg", "dog/1.jpg")
    assert len(read(tmp_path, split="test").rows("test")) == 2


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "photos", "cat/1.jpg", "dog/1.jpg")
    monkeypatch.chdir(tmp_path)
    assert read("photos").sources[0] == tmp_path / "photos/cat/1.jpg"
    monkeypatch.chdir(tmp_path / "photos")
    assert read(".").name == "photos"


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("train", "validation", "test"), ("Training", "VAL", "testing"), ("TRAIN", "dev", "Test")],
)
def test_split_folders(tmp_path: Path, train: str, validation: str, test: str) -> None:
    for part, count in ((test, 1), (train, 3), (validation, 2)):
        write(tmp_path, *[f"{part}/{c}/{i}.jpg" for c in ("a", "b") for i in range(count)])
    dataset = read(tmp_path)
    assert [len(dataset.rows(s)) for s in ("train", "validation", "test")] == [6, 4, 2]
    assert dataset.splits.tolist() == sorted(dataset.splits.tolist())
    assert dataset.names[0] == f"{train}/a/0.jpg"


def test_split_folders_and_others_beside(tmp_path: Path) -> None:
    write(tmp_path, "train/a/1", "train/b/1", "val/a/1", "val/b/1", "masks/1", "happy.jpg")
    dataset = read(tmp_path)
    assert len(dataset) == 4
    assert "(1): masks." in notice(dataset, "folders beside train")
    assert "(1): happy.jpg." in notice(dataset, "files loose beside")


def test_train_can_be_a_class(tmp_path: Path) -> None:
    write(tmp_path, "bus/1.jpg", "car/1.jpg", "train/1.jpg", "train/steam/1.jpg")
    assert read(tmp_path).classes == ("bus", "car", "train")


def test_two_folders_for_one_split(tmp_path: Path) -> None:
    write(tmp_path, "train/a/1", "train/b/1", "val/a/1", "valid/a/1")
    with pytest.raises(DataError, match="the folders val and valid both name the validation split"):
        read(tmp_path)


def test_splits_with_other_classes_are_an_error(tmp_path: Path) -> None:
    write(tmp_path, "train/a/1", "train/b/1", "test/a/1", "test/c/1", "val/a/1", "val/b/1")
    write(tmp_path, "val/c/1")
    with pytest.raises(DataError, match=r"train has no picture of 'c'; test has no picture of 'b'"):
        read(tmp_path)


def test_classes_differing_in_case_only_are_an_error(tmp_path: Path) -> None:
    write(tmp_path, "train/Cat/1", "train/dog/1", "test/cat/1", "test/dog/1")
    with pytest.raises(DataError, match="test has no picture of 'Cat'"):
        read(tmp_path)


def test_splits_inside_classes_are_an_error(tmp_path: Path) -> None:
    write(tmp_path, "cat/train/1.jpg", "cat/test/1.jpg", "dog/train/1.jpg", "dog/test/1.jpg")
    with pytest.raises(DataError, match="cat was taken for a class, but holds the split folders"):
        read(tmp_path)


def test_system_files_are_neither_classes_nor_pictures(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg", "dog/1.jpg", "cat/Thumbs.db", "cat/._1.jpg", ".DS_Store")
    write(tmp_path, "__MACOSX/cat/1.jpg", ".ipynb_checkpoints/1.jpg", "dog/.DS_Store/x")
    dataset = read(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert len(dataset) == 2
    assert "(6)" in notice(dataset, "hidden and system files")


def test_known_other_files_are_named(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg", "dog/1.jpg", "cat/notes.txt", "dog/a.csv", "dog/b.JSON")
    dataset = read(tmp_path)
    assert "(3): cat/notes.txt, dog/a.csv, dog/b.JSON." in notice(dataset, "no pictures")


@pytest.mark.parametrize("name", ["a.webp", "a.bmp", "a.tif", "a.jfif", "a", "a.b.c", "a.HEIC"])
def test_every_other_file_is_a_picture(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"cat/{name}", "dog/1.jpg")
    dataset = read(tmp_path)
    assert dataset.names[0] == f"cat/{name}"
    assert dataset.notices == ()


def test_nested_folders_are_part_of_the_class(tmp_path: Path) -> None:
    write(tmp_path, "cat/2019/summer/1.jpg", "cat/2.jpg", "dog/1.jpg")
    dataset = read(tmp_path)
    assert dataset.class_counts() == {"cat": 2, "dog": 1}
    assert "(2): cat/2019, cat/2019/summer." in notice(dataset, "part of their class")


def test_empty_class_folders_are_named(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg", "dog/1.jpg", "fox/readme.md")
    (tmp_path / "eel").mkdir()
    dataset = read(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert "(2): eel, fox." in notice(dataset, "without any picture")


def test_an_empty_class_in_one_split_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "train/a/1", "train/b/1", "test/a/1")
    (tmp_path / "test/b").mkdir()
    with pytest.raises(DataError, match="test has no picture of 'b'"):
        read(tmp_path)


def test_links_are_followed_and_loops_survived(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", "1.jpg", "2.jpg")
    root = write(tmp_path / "photos", "dog/1.jpg", "dog/more/2.jpg")
    (root / "cat").symlink_to(tmp_path / "elsewhere")
    (root / "dog/up").symlink_to(root)
    (root / "dog/more/self").symlink_to(root / "dog/more")
    (root / "dog/broken.jpg").symlink_to(tmp_path / "nowhere")
    (root / "dog/loop.jpg").symlink_to(root / "dog/loop.jpg")
    (root / "loop").symlink_to(root / "loop")
    (root / "dog/3.jpg").symlink_to(tmp_path / "elsewhere/1.jpg")
    dataset = read(root)
    assert dataset.class_counts() == {"cat": 2, "dog": 3}
    assert "(2): dog/more/self, dog/up." in notice(dataset, "already read")
    assert "(2): dog/broken.jpg, dog/loop.jpg." in notice(dataset, "broken links")
    assert "(1): loop." in notice(dataset, "loose beside")


def test_pipes_are_not_opened(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg", "dog/1.jpg")
    os.mkfifo(tmp_path / "cat/pipe.jpg")
    assert "cat/pipe.jpg" in notice(read(tmp_path), "no regular file")


def test_names_that_are_no_utf8_can_be_printed(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg", "dog/1.jpg")
    odd = os.fsencode(tmp_path / "cat") + b"/\xff.jpg"
    try:
        Path(os.fsdecode(odd)).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    dataset = read(tmp_path)
    assert "cat/\ufffd.jpg" in dataset.names
    assert all(Path(str(source)).exists() for source in dataset.sources)
    "".join(dataset.names).encode()


def test_one_class_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg", "cat/2.jpg")
    with pytest.raises(DataError, match="at least two classes, but all 2 pictures found are 'cat'"):
        read(tmp_path)


def test_no_pictures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    write(tmp_path, "dog/notes.txt")
    with pytest.raises(
        DataError, match=r"no pictures in the class folders cat, dog.*dog/notes.txt"
    ):
        read(tmp_path)


def test_split_folders_without_class_folders(tmp_path: Path) -> None:
    write(tmp_path, "train/1.jpg", "test/1.jpg")
    with pytest.raises(DataError, match=r"nor class folders.*train/1\.jpg"):
        read(tmp_path)


def test_a_folder_that_vanishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "cat/1.jpg", "dog/1.jpg", "dog/more/2.jpg")
    real = os.stat

    def stat(path: str, *arguments: object, **options: object) -> os.stat_result:
        if str(path).endswith("more"):
            raise FileNotFoundError(2, "No such file or directory", path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat)
    with pytest.raises(DataError, match=r"dog/more: cannot be listed \(No such file"):
        read(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg", "dog/1.jpg")
    (tmp_path / "cat").chmod(0)
    try:
        with pytest.raises(DataError, match="cannot be listed"):
            read(tmp_path)
    finally:
        (tmp_path / "cat").chmod(0o700)


def test_a_letter_is_the_same_however_it_is_stored(tmp_path: Path) -> None:
    as_macos, as_others = unicodedata.normalize("NFD", "Hüte"), unicodedata.normalize("NFC", "Hüte")
    assert as_macos != as_others
    write(tmp_path, f"train/{as_macos}/1.jpg", "train/Schuhe/1.jpg")
    write(tmp_path, f"test/{as_others}/2.jpg", "test/Schuhe /2.jpg")
    dataset = read(tmp_path)
    assert dataset.classes == (as_others, "Schuhe")
    assert dataset.labels.tolist() == [0, 1, 0, 1]
    assert list(dataset.sources)[2:] == [
        tmp_path / f"test/{as_others}/2.jpg",
        tmp_path / "test/Schuhe /2.jpg",
    ]


def test_folders_of_one_name_are_one_class(tmp_path: Path) -> None:
    dataset = read(write(tmp_path, "hat/1.jpg", "hat /2.jpg", "shoe/3.jpg"))
    assert dataset.classes == ("hat", "shoe")
    assert dataset.labels.tolist() == [0, 0, 1]
    assert read(write(tmp_path, "  /4.jpg")).classes == ("  ", "hat", "shoe")


def test_classes_that_only_capitals_tell_apart_are_said(tmp_path: Path) -> None:
    dataset = read(write(tmp_path / "a", "Hat/1.jpg", "hat/2.jpg", "shoe/3.jpg"))
    assert dataset.classes == ("Hat", "hat", "shoe")
    assert notice(dataset, "capitals") == (
        "Only capitals tell 'Hat' and 'hat' apart; if they are one class, spell them alike."
    )
    write(
        tmp_path / "b", "train/Hat/1.jpg", "train/shoe/1.jpg", "test/hat/1.jpg", "test/shoe/1.jpg"
    )
    with pytest.raises(
        DataError, match=r"no picture of 'hat'; .* splits\. Only capitals tell 'Hat'"
    ):
        read(tmp_path / "b")


def test_a_folder_around_all_class_folders_is_told(tmp_path: Path) -> None:
    write(tmp_path, "photos/cat/1.jpg", "photos/dog/1.jpg", "__MACOSX/photos/._cat")
    told = rf"one folder in it, 'photos', and in that 2: photos/cat, .* folder {tmp_path}/photos"
    with pytest.raises(DataError, match=told):
        read(tmp_path)
    assert read(tmp_path / "photos").classes == ("cat", "dog")
    write(tmp_path, "other/1.jpg")
    assert read(tmp_path).classes == ("other", "photos")
