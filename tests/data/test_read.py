import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from silverprint.data.read import read
from silverprint.data.table import Dataset
from silverprint.errors import ConfigError, DataError


def counts(dataset: Dataset) -> tuple[int, int, int]:
    train, validation, test = (len(dataset.rows(s)) for s in ("train", "validation", "test"))
    return train, validation, test


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere' is neither a folder or file that exists nor"):
        read(tmp_path / "nowhere")
    for empty in ("", "  "):
        with pytest.raises(DataError, match="is neither a folder or file"):
            read(empty)


def test_a_relative_path_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        read("photos")
    assert f" Looked for {str(tmp_path / 'photos')!r}." in str(caught.value)


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 5000, "~no-such-user/photos", "a\0b"])
def test_paths_that_cannot_be(name: str) -> None:
    with pytest.raises(DataError, match="is neither a folder or file that exists"):
        read(name)


def test_no_layout_says_what_was_looked_for_and_found(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"Looked for: class folders .* IDX .* no folders, no files\."
    ):
        read(tmp_path)
    for name in ("1.jpg", "2.jpg", ".DS_Store"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"Found: no folders, 2 files: 1\.jpg, 2\.jpg\. Put the"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["1.jpg", "photos.zip", "labels.txt", "data.json"])
def test_files_that_are_no_dataset(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"a single file must be .*`silverprint predict`"):
        read(tmp_path / name)


def test_split_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="split is train, validation or test, not 'val'"):
        read(tmp_path, split="val")  # type: ignore[arg-type]


def test_reading_imports_little() -> None:
    code = (
        "import sys, silverprint.data.read, silverprint.data.splits; "
        "print([m for m in ('torch', 'sklearn', 'PIL', 'scipy') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "classes", "wanted"),
    [
        ("clothing", 10, (3068, 341, 372)),
        ("doggy-door", 2, (138, 30, 0)),
        ("asl/photos", 24, (24 * 32, 0, 24 * 8)),
        ("asl/pixels", 24, (24 * 160, 0, 24 * 40)),
        ("mnist", 10, (60_000, 0, 10_000)),
        ("cifar10-subset", 10, (6000, 0, 1500)),
    ],
)
def test_shared_folders(
    shared_data: Path, name: str, classes: int, wanted: tuple[int, int, int]
) -> None:
    dataset = read(shared_data / name)
    assert len(dataset.classes) == classes
    assert counts(dataset) == wanted


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("mnist", "0", "9"),
        ("cifar10", "airplane", "truck"),
        ("sign-mnist", "a", "y"),
        ("asl", "a", "y"),
        ("clothing", "dress", "t-shirt"),
        ("doggy-door", "bo", "not_bo"),
    ],
)
def test_shared_datasets_by_name(shared_data: Path, name: str, first: str, last: str) -> None:
    dataset = read(name)
    assert dataset.name == name
    assert (dataset.classes[0], dataset.classes[-1]) == (first, last)
    assert dataset.root is not None
    assert dataset.root.is_relative_to(shared_data)


@pytest.mark.shared
def test_shared_details(shared_data: Path) -> None:
    door = read(shared_data / "doggy-door")
    assert door.class_counts("train") == {"bo": 18, "not_bo": 120}
    assert door.class_counts("validation") == {"bo": 10, "not_bo": 20}
    assert any("happy_dog.jpg, sleepy_cat.jpg" in notice for notice in door.notices)
    pixels = read(shared_data / "asl/pixels")
    assert set(pixels.class_counts("train").values()) == {160}
    assert {np.asarray(source).shape for source in pixels.sources} == {(28, 28)}
    with pytest.raises(DataError, match="photos was taken for a class"):
        read(shared_data / "asl")
    with pytest.raises(DataError, match="Found: no folders, 24 files"):
        read(shared_data / "asl/signs")


def test_numbered_classes_get_names() -> None:
    named = read("digits", class_names=[f"digit {n}" for n in range(10)])
    plain = read("digits")
    assert named.classes == tuple(f"digit {n}" for n in range(10))
    assert (named.labels == plain.labels).all()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b"], r"class_names must be 10 different names, one a class; got 2: a, b\."),
        (["a"] * 10, r"class_names must be 10 different names"),
        (["", *"bcdefghij"], r"class_names must be 10 different names"),
    ],
)
def test_class_names_must_fit(names, message) -> None:
    with pytest.raises(DataError, match=message):
        read("digits", class_names=names)


def test_named_classes_keep_their_names(tmp_path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (20, 20)).save(tmp_path / name / "1.png")
    with pytest.raises(DataError, match=r"cat, dog, \.\.\. Leave class_names out"):
        read(tmp_path, class_names=["a", "b"])
