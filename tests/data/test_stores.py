"""Class folders at an address: as those on a disk, and errors in words."""

import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint.data.read import read
from silverprint.errors import DataError

NAMES = st.sampled_from(["cat", "dog", "train", "val", "test", "a10", "a2", ".git", "notes.txt"])
FILES = st.sampled_from(["1.jpg", "10.jpg", "2.png", "x", "a.csv", ".hidden", "Thumbs.db"])


def result(address):
    """Return all that a reader says, or the words of its error after the place."""
    try:
        found = read(address)
    except DataError as error:
        return type(error)
    left = sorted(line for line in found.notices if "without any picture" not in line)
    return found.classes, list(found.names), found.labels.tolist(), found.splits.tolist(), left


@settings(max_examples=60, deadline=None)
@given(st.sets(st.tuples(st.lists(NAMES, min_size=1, max_size=3).map(tuple), FILES), max_size=12))
def test_an_address_is_read_as_the_same_folder_is(tmp_path_factory, tree) -> None:
    root = tmp_path_factory.mktemp("tree") / "photos"
    for folders, file in tree:
        place = root.joinpath(*folders)
        place.mkdir(parents=True, exist_ok=True)
        (place / file).write_bytes(b"")
    if not (root / "notes.txt").exists():
        root.mkdir(exist_ok=True)
        (root / "notes.txt").write_bytes(b"")
    assert result(f"file://{root}") == result(root)
    shutil.rmtree(root.parent)


def test_pictures_keep_their_addresses(tmp_path, make_photos) -> None:
    folder = make_photos(tmp_path / "photos", {"cat": 2, "dog": 1}, splits=["train", "val"])
    found = read(f"file://{folder}/")
    assert (found.name, found.root, found.classes) == ("photos", None, ("cat", "dog"))
    assert found.sources[0] == f"file://{folder}/train/cat/0000.jpg"
    assert found.class_counts("validation") == {"cat": 2, "dog": 1}


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("https://host/photos", "a web server does not list folders. Write a CSV of path,label"),
        ("file:///no/such", "is no folder, or an empty one. Name the folder that holds"),
        ("nope://bucket/x", "nope:// is no kind of address known here"),
        ("memory://bucket/", "is no folder, or an empty one"),
    ],
)
def test_what_cannot_be_listed(address, message) -> None:
    with pytest.raises(DataError, match=message):
        read(address)


def test_a_file_is_no_folder(tmp_path) -> None:
    (tmp_path / "photos.csv").write_text("path,label\n")
    with pytest.raises(DataError, match=r"is a file\. Name the folder .* copy a CSV, JSONL"):
        read(f"file://{tmp_path}/photos.csv")


def test_files_without_a_class(tmp_path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"no pictures in class folders. .* \(1\): 1.jpg"):
        read(f"file://{tmp_path}")
