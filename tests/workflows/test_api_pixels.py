"""Pictures as arrays, for a network of one's own."""

import numpy as np
import pytest

import silverprint as sp


def test_pixels_of_a_split_and_their_labels() -> None:
    digits = sp.read("digits")
    pixels, labels = sp.pixels(digits, "test", size=16)
    rows = digits.rows("test")
    assert (pixels.shape, pixels.dtype) == ((len(rows), 1, 16, 16), np.uint8)
    assert (labels == digits.labels[rows]).all()
    assert len(sp.pixels(digits)[0]) == len(digits)


def test_pictures_that_cannot_be_read_are_named_and_left_out(tmp_path, make_photos) -> None:
    folder = make_photos(tmp_path / "photos", {"red": 3, "blue": 3})
    (folder / "red" / "0001.jpg").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match=r"1 picture of photos left out: red/0001.jpg: "):
        pixels, labels = sp.pixels(folder)
    assert pixels.shape == (5, 3, 40, 40)
    assert sorted(labels.tolist()) == [0, 0, 0, 1, 1]


def test_wrong_arguments(tmp_path, make_photos) -> None:
    folder = make_photos(tmp_path / "photos", {"red": 2, "blue": 2})
    with pytest.raises(sp.ConfigError, match="split must be one of train, validation, test; got"):
        sp.pixels(folder, "valid")
    with pytest.raises(sp.DataError, match="the test split of photos has no picture that can be"):
        sp.pixels(folder, "test")
    with pytest.raises(sp.ConfigError, match="size must"):
        sp.pixels(folder, size=3)
