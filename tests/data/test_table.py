from pathlib import Path

import numpy as np
import pytest

from silverprint.data.assembly import renamed
from silverprint.data.table import Dataset, FilesBelow
from silverprint.errors import DataError


def small() -> Dataset:
    return Dataset(
        name="photos",
        classes=("0", "1", "2"),
        sources=[np.full((1, 1), i, np.uint8) for i in range(4)],
        names=list("wxyz"),
        labels=np.array([0, 1, 2, 1]),
        splits=np.array([0, 0, 2, 2], np.int8),
        notices=("one",),
    )


def pairs() -> Dataset:
    return Dataset(
        "photos", ("a", "b"), [np.zeros((1, 1), np.uint8)] * 6, list("012345"),
        np.array([0, 0, 0, 1, 1, 1]), np.zeros(6, np.int8),
    )  # fmt: skip


def test_rows_and_counts() -> None:
    dataset = small()
    assert dataset.rows("test").tolist() == [2, 3]
    assert dataset.has("train")
    assert not dataset.has("validation")
    assert dataset.class_counts() == {"0": 1, "1": 2, "2": 1}
    assert dataset.class_counts("test") == {"0": 0, "1": 1, "2": 1}


def test_take() -> None:
    taken = small().take(np.array([3, 0]), "two")
    assert list(taken.names) == ["z", "w"]
    assert taken.labels.tolist() == [1, 0]
    assert taken.splits.tolist() == [2, 0]
    assert taken.notices == ("one", "two")
    assert taken.noting("three").notices[-1] == "three"


def test_columns_must_be_as_long() -> None:
    with pytest.raises(
        DataError, match="x: 0 pictures but 1 names; every picture needs exactly one"
    ):
        Dataset("x", ("a",), [], ["1"], np.empty(0, np.int64), np.empty(0, np.int8))


def test_renamed_classes_are_in_order_again() -> None:
    dataset = renamed(small(), "animals", {"0": "zebra", "1": "ant"})
    assert dataset.name == "animals"
    assert dataset.classes == ("2", "ant", "zebra")
    assert dataset.labels.tolist() == [2, 1, 0, 1]
    assert [dataset.classes[label] for label in dataset.labels] == ["zebra", "ant", "2", "ant"]


def test_files_below_a_folder_are_paths_wherever_they_are_taken() -> None:
    files = FilesBelow(Path("photos"), ["a/1.jpg", "b/2.jpg", "b/3.jpg"])
    paths = [Path("photos/a/1.jpg"), Path("photos/b/2.jpg"), Path("photos/b/3.jpg")]
    assert list(files) == paths
    assert (len(files), files[-1], list(files[::2])) == (3, paths[2], paths[::2])
    dataset = Dataset(
        "photos", ("a", "b"), files, list("123"), np.array([0, 1, 1]), np.zeros(3, np.int8)
    )
    taken = dataset.take(np.array([2, 0]))
    assert list(taken.sources) == [paths[2], paths[0]]
    assert list(taken.take(np.array([1])).sources) == [paths[0]]
    with pytest.raises(IndexError):
        files[3]


def test_a_dataset_is_shown_in_a_line_however_many_pictures_it_has() -> None:
    labels, splits = np.array([0, 1, 0]), np.array([0, 0, 2], np.int8)
    dataset = Dataset(
        "pets", ("cat", "dog"), [np.zeros((9, 9), np.uint8)] * 3, "123", labels, splits
    )
    assert repr(dataset) == "<Dataset 'pets': 2 train, 1 test pictures of 2 classes>"
    assert repr(dataset.take(np.array([], int))) == "<Dataset 'pets': no pictures of 2 classes>"


def test_splits_of_ones_own() -> None:
    names = ["train", "valid", "test", "train", "validation", "test"]
    dataset = pairs()
    chosen = dataset.with_splits(names)
    assert chosen.splits.tolist() == [0, 1, 2, 0, 1, 2]
    assert chosen.labels is dataset.labels
    assert (chosen.with_splits(np.array(names)).splits == chosen.splits).all()
    assert dataset.splits.tolist() == [0] * 6


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (["train"] * 5, "photos: 6 pictures but 5 splits; every picture needs exactly one"),
        (["train"] * 4 + ["tset"] * 2, "^4: a split is train, validation or test, not 'tset'"),
        ([None] * 6, "^0: a split is train, validation or test, not None"),
        (np.zeros(6, np.int8), "^0: a split is train, validation or test, not "),
        (["train"] * 5 + ["test"], "photos: every split needs the same classes, but test has no"),
    ],
)
def test_splits_that_cannot_be(splits, message) -> None:
    with pytest.raises(DataError, match=message):
        pairs().with_splits(splits)


def test_groups_follow_their_pictures() -> None:
    dataset = pairs().with_groups(["x", "y", "y", "z", "x", "x"])
    assert dataset.groups.tolist() == [0, 1, 1, 2, 0, 0]
    assert repr(dataset) == "<Dataset 'photos': 6 train pictures of 2 classes in 3 groups>"
    taken = dataset.take(np.array([3, 1, 2]))
    assert taken.groups.tolist() == [2, 1, 1]
    assert taken.noting("seen").groups.tolist() == [2, 1, 1]
    assert renamed(dataset, "pets", {"a": "cat"}).groups.tolist() == dataset.groups.tolist()
    assert dataset.with_groups(np.arange(6)).groups.tolist() == list(range(6))


@pytest.mark.parametrize("missing", [None, float("nan"), "", np.datetime64("NaT")])
def test_a_picture_without_a_group_is_named(missing) -> None:
    with pytest.raises(DataError, match=r"^2: its group is missing .* such as its name\.$"):
        pairs().with_groups(["x", "y", missing, "z", "x", "x"])
    with pytest.raises(DataError, match="photos: 6 pictures but 2 groups"):
        pairs().with_groups(["x", missing])
