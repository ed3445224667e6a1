"""Pictures as one array: the graph that ships decides what they look like."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from silverprint.backbones.reading import PictureReader
from silverprint.data.table import Dataset
from silverprint.errors import ConfigError
from silverprint.runtime.preprocessing import Preprocessing
from silverprint.training.pixels import CHUNK, is_grey, load_pixels

SIZE = 20


def array(number: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)


def dataset_of(sources) -> Dataset:
    count = len(sources)
    return Dataset(
        "made", ("a", "b"), sources, [f"picture {i}" for i in range(count)],
        np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int8),
    )  # fmt: skip


def as_the_graph_gives(dataset: Dataset, preprocessing: Preprocessing) -> np.ndarray:
    reader = PictureReader(preprocessing, dataset.sources, dataset.names)
    return np.stack([reader.see(row, ()).pixels for row in range(len(dataset))])


def test_a_full_disk_is_said_before_it_is_full(tmp_path, monkeypatch) -> None:
    class Little:
        free = 1000

    monkeypatch.setattr("shutil.disk_usage", lambda _: Little)
    dataset = dataset_of([np.zeros((SIZE, SIZE), np.uint8)] * 9)
    with pytest.raises(ConfigError, match=r"9 pictures of .* take 0\.00 GiB in .*, where 0\.00"):
        load_pixels(dataset, Preprocessing(SIZE), every_row(dataset), file=tmp_path / "pixels")
    assert list(tmp_path.iterdir()) == []


def every_row(dataset: Dataset) -> np.ndarray:
    return np.arange(len(dataset))


@pytest.mark.parametrize("shape", [(SIZE, SIZE), (SIZE, SIZE, 3)])
@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(SIZE), Preprocessing(SIZE, "squash"), Preprocessing(SIZE, "crop"),
        Preprocessing(SIZE, "crop", crop=0.8),
    ],
    ids=["pad", "squash", "crop", "crop 0.8"],
)  # fmt: skip
def test_arrays_of_that_size_equal_what_the_graph_gives(shape, preprocessing) -> None:
    dataset = dataset_of([array(i, *shape) for i in range(5)])
    found = load_pixels(dataset, preprocessing, every_row(dataset))
    np.testing.assert_array_equal(found.values, as_the_graph_gives(dataset, preprocessing))


def test_other_sizes_files_and_kinds_in_one_dataset(tmp_path) -> None:
    Image.fromarray(array(1, 30, 40, 3)).save(tmp_path / "a.png")
    sources = [
        array(0, SIZE, SIZE), tmp_path / "a.png", array(2, 25, 25), array(3, SIZE, SIZE, 3),
        array(4, SIZE, SIZE).astype(bool),
    ]  # fmt: skip
    dataset = dataset_of(sources)
    found = load_pixels(dataset, Preprocessing(SIZE), every_row(dataset))
    np.testing.assert_array_equal(
        found.values, as_the_graph_gives(dataset, Preprocessing(SIZE))
    )  # fmt: skip
    content = (tmp_path / "a.png").read_bytes()
    assert found.digests[1] == hashlib.sha256(content).digest()


def test_rows_keep_their_order_over_many_chunks() -> None:
    dataset = dataset_of([array(i, SIZE, SIZE) for i in range(3 * CHUNK)])
    rows = np.arange(3 * CHUNK)[::-1][: 2 * CHUNK + 7]
    told = []

    def advance(count: int, note: str = "") -> None:
        told.append((count, note))

    found = load_pixels(dataset, Preprocessing(SIZE), rows, channels=1, advance=advance)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.values[:, 0], np.stack([dataset.sources[r] for r in rows]))
    assert sum(count for count, _ in told) == len(rows)
    assert len(set(found.digests)) == len(rows)


def test_what_cannot_be_read_is_named_and_left_out(tmp_path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"not a picture")
    sources = [array(0, 30, 30), tmp_path / "bad.jpg", array(2, 30, 30), tmp_path / "gone.png"]
    dataset = dataset_of(sources)
    found = load_pixels(dataset, Preprocessing(SIZE), every_row(dataset))
    assert found.rows.tolist() == [0, 2]
    assert found.values.shape == (2, 3, SIZE, SIZE)
    assert [name for name, _ in found.refused] == ["picture 1", "picture 3"]
    assert "no such file" in found.refused[1][1]
    expected = as_the_graph_gives(dataset_of([sources[0], sources[2]]), Preprocessing(SIZE))
    np.testing.assert_array_equal(found.values, expected)


def test_nothing_readable_and_nothing_asked_for() -> None:
    dataset = dataset_of([np.zeros((4, 4, 7), dtype=np.uint8)])
    assert load_pixels(dataset, Preprocessing(SIZE), every_row(dataset)).values.shape[0] == 0
    none = load_pixels(dataset, Preprocessing(SIZE), np.arange(0), channels=1)
    assert none.values.shape == (0, 1, SIZE, SIZE)


def test_pixels_may_lie_in_a_file(tmp_path) -> None:
    dataset = dataset_of([array(i, SIZE, SIZE, 3) for i in range(9)])
    file = tmp_path / "pixels"
    found = load_pixels(dataset, Preprocessing(SIZE), every_row(dataset), file=file)
    assert isinstance(found.values, np.memmap)
    assert file.stat().st_size == found.values.nbytes
    np.testing.assert_array_equal(found.values, as_the_graph_gives(dataset, Preprocessing(SIZE)))


def test_grey_is_what_has_no_colour(tmp_path) -> None:
    grey = array(0, SIZE, SIZE)
    Image.fromarray(np.stack([grey] * 3, axis=2)).save(tmp_path / "grey.png")
    Image.fromarray(array(1, SIZE, SIZE, 3)).save(tmp_path / "colour.png")
    (tmp_path / "bad.png").write_bytes(b"")
    without = dataset_of([grey, tmp_path / "grey.png", tmp_path / "bad.png"])
    assert is_grey(without, every_row(without))
    with_colour = dataset_of([grey, tmp_path / "colour.png"])
    assert not is_grey(with_colour, every_row(with_colour))
