"""Comparing answers: what is found, and what is refused."""

import numpy as np
import pytest

from silverprint.data.read import read
from silverprint.errors import DataError, ExportError
from silverprint.export.parity import PICTURES, Sample, check, compare, photos, samples_of
from silverprint.runtime.bundle import read_bundle
from silverprint.runtime.predictor import Predictor


def bright(images) -> np.ndarray:
    """Answer by the mean of the left half, so that a mirror image answers otherwise."""
    share = images[:, :, : images.shape[2] // 2].mean((1, 2, 3)) / 255
    return np.stack([share, 1 - share], axis=1).astype(np.float32)


def samples(*levels) -> list[Sample]:
    images = [np.zeros((4, 6, 3), dtype=np.uint8) for _ in levels]
    for image, (left, right) in zip(images, levels, strict=True):
        image[:, :3], image[:, 3:] = left, right
    return [Sample(f"{level}", image) for level, image in zip(levels, images, strict=True)]


def test_equal_answers() -> None:
    found = compare(bright, bright, samples((0, 255), (255, 0)), "here")
    assert (found.pictures, found.source, found.largest, found.same_label) == (2, "here", 0, 1)
    check(found)


def test_the_worst_picture_is_named_even_where_only_its_mirror_image_differs() -> None:
    def off(images) -> np.ndarray:
        answers = bright(images)
        answers[1:] += np.float32(0.02) * (images[1:, :1, :1, 0].ravel() == 200)[:, None]
        return answers

    found = compare(bright, off, samples((0, 0), (10, 200), (200, 10)), "here")
    assert found.where == "(10, 200)"
    assert found.largest == pytest.approx(0.02, abs=1e-6)
    with pytest.raises(
        ExportError, match=r"disagrees with the bundle on \(10, 200\): a .* by 0\.0200, more than 0"
    ):
        check(found)


def test_another_likeliest_class_counts() -> None:
    found = compare(bright, lambda images: bright(images)[:, ::-1], samples((0, 255)), "here")
    assert found.same_label == 0
    assert found.largest == 1


@pytest.mark.parametrize("spoil", [lambda a: a * np.nan, lambda a: a[:, :1], lambda a: a[:1]])
def test_answers_that_are_none(spoil) -> None:
    with pytest.raises(ExportError, match=r"answers \(0, 255\) with numbers of shape"):
        compare(bright, lambda images: spoil(bright(images)), samples((0, 255)), "here")


def test_photos_come_in_many_sizes() -> None:
    found = photos(64)
    assert len({sample.image.shape for sample in found}) >= 6
    assert len({sample.name for sample in found}) == len(found)
    assert all(sample.image.dtype == np.uint8 for sample in found)
    assert all(sample.image.std() > 20 for sample in found)


def test_samples_are_of_the_held_out_split_and_spread_over_it(
    make_bundle, make_photos, tmp_path
) -> None:
    root = make_photos(tmp_path / "p", {"cat": 30, "dog": 30}, splits=("train", "test"))
    (root / "test" / "cat" / "0000.jpg").write_bytes(b"no picture")
    predictor = Predictor(read_bundle(make_bundle()))
    found = samples_of(predictor, read(root))
    assert len(found) == PICTURES - 1
    assert {sample.name.split("/")[0] for sample in found} == {"test"}
    assert {sample.name.split("/")[1] for sample in found} == {"cat", "dog"}
    few = samples_of(predictor, read(make_photos(tmp_path / "q", {"cat": 2, "dog": 1})))
    assert [sample.name for sample in few] == ["cat/0000.jpg", "cat/0001.jpg", "dog/0000.jpg"]


def test_no_picture_can_be_read(make_bundle, make_photos, tmp_path) -> None:
    root = make_photos(tmp_path / "p", {"cat": 1, "dog": 1})
    for file in root.rglob("*.jpg"):
        file.write_bytes(b"")
    with pytest.raises(DataError, match="no picture to compare can be read; one of them: "):
        samples_of(Predictor(read_bundle(make_bundle())), read(root))
