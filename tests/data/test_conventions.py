import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint.data.conventions import (
    counted,
    first_few,
    is_hidden,
    is_known_other,
    natural_key,
    one_per_split,
    split_named,
    split_within,
)
from silverprint.errors import DataError


def test_natural_order() -> None:
    names = ["10", "b", "2", "A", "a", "1", "img12", "IMG3", "img 1", "01"]
    wanted = ["01", "1", "2", "10", "A", "a", "b", "IMG3", "img12", "img 1"]
    assert sorted(names, key=natural_key) == wanted


@settings(deadline=None)
@given(st.lists(st.text(max_size=8), max_size=12, unique=True), st.randoms())
def test_natural_order_is_total(names: list[str], shuffler: random.Random) -> None:
    shuffled = names.copy()
    shuffler.shuffle(shuffled)
    assert sorted(names, key=natural_key) == sorted(shuffled, key=natural_key)


def test_natural_order_of_very_long_numbers() -> None:
    long = "1" * 5000
    assert sorted([long + "0", long, "9"], key=natural_key) == ["9", long, long + "0"]


@pytest.mark.parametrize(
    ("word", "split"),
    [
        *[("train", "train"), ("Training", "train"), (" TRAIN ", "train")],
        *[("val", "validation"), ("Valid", "validation"), ("dev", "validation")],
        *[("test", "test"), ("testing", "test"), ("cat", None), ("trains", None)],
    ],
)
def test_words_for_splits(word: str, split: str | None) -> None:
    assert split_named(word) == split


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *[("sign_mnist_train.csv", "train"), ("sign_mnist_test.csv.gz", "test")],
        *[("t10k-images-idx3-ubyte.gz", "test"), ("Val.csv", "validation")],
        *[("labels.csv", None), ("train_test.csv", None), ("contest.csv", None)],
    ],
)
def test_splits_within_file_names(name: str, split: str | None) -> None:
    assert split_within(name) == split


def test_names_that_are_no_pictures() -> None:
    hidden = [".DS_Store", "__MACOSX", "Thumbs.db", ".ipynb_checkpoints", "._1.jpg", "DESKTOP.INI"]
    assert all(map(is_hidden, hidden))
    assert not is_hidden("1.jpg")
    assert all(map(is_known_other, ["a.txt", "a.CSV", "a.json", "a.md"]))
    pictures = ["a.webp", "a.bmp", "a.tif", "a.jfif", "a", "a.heic", "a.unheard-of", "a.jpg"]
    assert not any(map(is_known_other, pictures))


def test_texts() -> None:
    assert first_few("abcdefg") == "a, b, c, d, e and 2 more"
    assert first_few(iter("ab")) == "a, b"
    assert counted(1, "class", "classes") == "1 class"
    assert counted(2000, "picture") == "2,000 pictures"


def test_one_file_a_split() -> None:
    files = [Path("d/a_test.csv"), Path("d/a_train.csv")]
    assert list(one_per_split(files, "train").items()) == [("train", files[1]), ("test", files[0])]
    assert one_per_split([Path("d/a.csv")], "validation") == {"validation": Path("d/a.csv")}
    with pytest.raises(DataError, match=r"a\.csv.*must say its split"):
        one_per_split([Path("d/a.csv"), Path("d/train.csv")], "train")
    with pytest.raises(DataError, match=r"both train_1\.csv and train_2\.csv name the train split"):
        one_per_split([Path("d/train_1.csv"), Path("d/train_2.csv")], "train")
