import gzip
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from silverprint.data.idx import read_array
from silverprint.data.read import read
from silverprint.errors import DataError

TRAIN = "train-images-idx3-ubyte"


def idx(values: NDArray[np.uint8]) -> bytes:
    head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.tobytes()


def some_images(count: int, height: int = 3, width: int = 4) -> NDArray[np.uint8]:
    return np.arange(count * height * width, dtype=np.uint8).reshape(count, height, width)


def write_pair(
    folder: Path, part: str, labels: list[int], *, packed: bool = False, dot: str = "-"
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in (
        (f"{part}-images{dot}idx3-ubyte", some_images(len(labels))),
        (f"{part}-labels{dot}idx1-ubyte", np.array(labels, np.uint8)),
    ):
        data = idx(values)
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(data) if packed else data)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dot", ["-", "."])
def test_folder(tmp_path: Path, packed: bool, dot: str) -> None:
    write_pair(tmp_path, "train", [7, 10, 7], packed=packed, dot=dot)
    write_pair(tmp_path, "t10k", [10, 7], packed=packed, dot=dot)
    dataset = read(tmp_path)
    assert dataset.classes == ("7", "10")
    assert dataset.labels.tolist() == [0, 1, 0, 1, 0]
    assert dataset.splits.tolist() == [0, 0, 0, 2, 2]
    suffix = ".gz" if packed else ""
    assert dataset.names[4] == f"t10k-images{dot}idx3-ubyte{suffix}[1]"
    np.testing.assert_array_equal(np.stack(dataset.sources[:3]), some_images(3))


def test_sources_are_views(tmp_path: Path) -> None:
    write_pair(tmp_path, "train", [0, 1])
    first, second = read(tmp_path).sources
    assert isinstance(first, np.ndarray)
    assert isinstance(second, np.ndarray)
    assert first.base is second.base is not None
    assert not first.flags.writeable


def test_one_file(tmp_path: Path) -> None:
    write_pair(tmp_path, "t10k", [0, 1])
    path = tmp_path / "t10k-images-idx3-ubyte"
    assert len(read(path).rows("train")) == 2
    assert len(read(path, split="test").rows("test")) == 2
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"labels are missing. Put t10k-labels-idx1-ubyte or"):
        read(path)


def test_the_same_file_packed_and_unpacked(tmp_path: Path) -> None:
    write_pair(tmp_path, "train", [0, 1])
    write_pair(tmp_path, "train", [0, 1], packed=True)
    dataset = read(tmp_path)
    assert len(dataset) == 2
    assert dataset.notices == (f"Left out, being there unpacked too: {TRAIN}.gz.",)


def test_two_sets_in_one_folder(tmp_path: Path) -> None:
    write_pair(tmp_path, "digits-train", [0, 1])
    write_pair(tmp_path, "letters-train", [0, 1])
    with pytest.raises(DataError, match=r"both .* name the train split"):
        read(tmp_path)


def test_counts_that_differ(tmp_path: Path) -> None:
    write_pair(tmp_path, "train", [0, 1, 2])
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.array([0, 1], np.uint8)))
    with pytest.raises(DataError, match=r"holds 3 images but train-labels-idx1-ubyte 2 labels"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins with the bytes 0 0 8 3, this one with nothing"),
        (b"\0\0\x08\x01\0\0\0\0", "begins with the bytes 0 0 8 3, this one with 0 0 8 1"),
        (b"\0\0\x0d\x03" + bytes(12), "this one with 0 0 13 3"),
        (b"\0\0\x08\x03\0\0\0\1\0", "ends within its header"),
        (idx(some_images(2))[:-1], r"2 x 3 x 4 = 24 values, but the file holds 23\."),
        (idx(some_images(2)) + b"x", "24 values, but the file holds more than that"),
        (b"\0\0\x08\x03" + b"\xff" * 12 + b"abc", r"values, but the file holds 3\."),
        (b"\0\0\x08\x03" + struct.pack(">3I", 2, 0, 4), "0 x 4 pixels"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 0, 3, 4), "0 images but .* 2 labels"),
    ],
)
def test_broken_files(tmp_path: Path, data: bytes, message: str) -> None:
    write_pair(tmp_path, "train", [0, 1])
    (tmp_path / TRAIN).write_bytes(data)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_no_pictures(tmp_path: Path) -> None:
    write_pair(tmp_path, "train", [])
    with pytest.raises(DataError, match="holds no pictures"):
        read(tmp_path)


def test_damaged_gzip(tmp_path: Path) -> None:
    write_pair(tmp_path, "train", [0, 1] * 500, packed=True)
    path = tmp_path / f"{TRAIN}.gz"
    whole = path.read_bytes()
    for data in (whole[:-9], whole[: len(whole) // 2], b"no gzip", whole[:40] + b"x" * 40):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"train-images.*the gzip data is damaged or cut off"):
            read(tmp_path)


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6)),
    st.integers(0, 255),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_round_trip(shape: tuple[int, int, int], seed: int, packed: bool) -> None:
    values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.gz" if packed else "x")
        path.write_bytes(gzip.compress(idx(values)) if packed else idx(values))
        np.testing.assert_array_equal(read_array(path, 3), values)


@given(
    st.sampled_from([b"", b"\0\0\x08\x03", idx(some_images(2))[:20], idx(some_images(2))]),
    st.binary(max_size=60),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_any_bytes_raise_only_data_errors(start: bytes, data: bytes, packed: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_pair(Path(folder), "train", [0, 1])
        path = Path(folder, TRAIN)
        path.write_bytes(start + data)
        if packed:
            path.rename(f"{path}.gz")
        try:
            read(folder)
        except DataError as error:
            assert "train-images" in str(error)  # noqa: PT017 - nothing need be raised
