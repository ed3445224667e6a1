import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint.data.read import read
from silverprint.errors import DataError


def record(*labels: int, red: int = 1, green: int = 2, blue: int = 3) -> bytes:
    return bytes(labels) + bytes([red]) * 1024 + bytes([green]) * 1024 + bytes([blue]) * 1024


def write_cifar10(folder: Path) -> Path:
    (folder / "batches.meta.txt").write_text("airplane\nautomobile\nbird\n\n")
    (folder / "data_batch_1.bin").write_bytes(record(2, red=7) + record(0))
    (folder / "data_batch_10.bin").write_bytes(record(0))
    (folder / "data_batch_2.bin").write_bytes(record(2))
    (folder / "test_batch.bin").write_bytes(record(0) + record(2))
    (folder / "readme.html").touch()
    return folder


def test_cifar10(tmp_path: Path) -> None:
    dataset = read(write_cifar10(tmp_path))
    assert dataset.classes == ("airplane", "bird")
    assert dataset.labels.tolist() == [1, 0, 1, 0, 0, 1]
    assert dataset.splits.tolist() == [0, 0, 0, 0, 2, 2]
    assert dataset.names[1:4] == [
        "data_batch_1.bin[1]",
        "data_batch_2.bin[0]",
        "data_batch_10.bin[0]",
    ]
    first, second = dataset.sources[:2]
    assert isinstance(first, np.ndarray)
    assert isinstance(second, np.ndarray)
    assert first.shape == (32, 32, 3)
    assert np.unique(first.reshape(-1, 3), axis=0).tolist() == [[7, 2, 3]]
    assert first.base is second.base is not None


def test_pixels_are_in_their_places(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    values = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    (tmp_path / "data_batch_1.bin").write_bytes(b"\0" + values.tobytes())
    picture = read(tmp_path).sources[0]
    np.testing.assert_array_equal(picture, values.transpose(1, 2, 0))


def test_cifar100_takes_the_fine_labels(tmp_path: Path) -> None:
    (tmp_path / "fine_label_names.txt").write_text("apple\nbee\ncrab\n")
    (tmp_path / "coarse_label_names.txt").write_text("fruit\nanimals\n")
    (tmp_path / "train.bin").write_bytes(record(0, 0) + record(1, 2))
    (tmp_path / "test.bin").write_bytes(record(1, 2) + record(0, 0))
    dataset = read(tmp_path)
    assert dataset.classes == ("apple", "crab")
    assert dataset.labels.tolist() == [0, 1, 1, 0]


def test_missing_names(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    (tmp_path / "batches.meta.txt").unlink()
    dataset = read(tmp_path)
    assert dataset.classes == ("0", "2")
    assert "batches.meta.txt is missing" in dataset.notices[0]


def test_broken_files(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    path = tmp_path / "data_batch_2.bin"
    for data in (record(1)[:-1], b"", record(1) + b"x"):
        path.write_bytes(data)
        with pytest.raises(
            DataError, match=rf"_2\.bin: .*3,073 byte records.*has {len(data):,} by"
        ):
            read(tmp_path)
    path.write_bytes(record(0) + record(3))
    with pytest.raises(
        DataError, match=r"_2\.bin: record 1 has label 3, but .* names only 3 classes"
    ):
        read(tmp_path)


@given(st.binary(max_size=40), st.integers(0, 3), st.binary(max_size=20))
@settings(max_examples=60, deadline=None)
def test_any_bytes_raise_only_data_errors(start: bytes, records: int, names: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_cifar10(Path(folder))
        Path(folder, "data_batch_1.bin").write_bytes(record(1) * records + start)
        Path(folder, "batches.meta.txt").write_bytes(names)
        try:
            read(folder)
        except DataError as error:
            assert folder in str(error)  # noqa: PT017 - nothing need be raised
