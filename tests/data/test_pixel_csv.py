import gzip
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from silverprint.data import pixel_csv
from silverprint.data.read import read
from silverprint.errors import DataError

HEADER = "label," + ",".join(f"pixel{i}" for i in range(1, 17))
ROW = ",".join(map(str, range(100, 116)))


def table(labels: list[int], images: NDArray[np.uint8]) -> str:
    rows = [
        ",".join(map(str, [label, *image.ravel().tolist()]))
        for label, image in zip(labels, images, strict=True)
    ]
    names = ",".join(f"pixel{i + 1}" for i in range(images[0].size))
    return f"label,{names}\n" + "\n".join(rows) + "\n"


def write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["signs.csv", "signs.csv.gz", "SIGNS.CSV"])
def test_one_file(tmp_path: Path, name: str) -> None:
    dataset = read(write(tmp_path / name, f"{HEADER}\n10,{ROW}\n9,{ROW}\n"))
    assert dataset.classes == ("9", "10")
    assert dataset.labels.tolist() == [1, 0]
    assert dataset.names[1] == f"{name}[1]"
    first, second = dataset.sources
    assert isinstance(first, np.ndarray)
    assert isinstance(second, np.ndarray)
    assert first.tolist() == np.arange(100, 116).reshape(4, 4).tolist()
    assert first.dtype == np.uint8
    assert first.base is second.base is not None


def test_folder(tmp_path: Path) -> None:
    write(tmp_path / "sign_mnist_test.csv", f"{HEADER}\n0,{ROW}\n1,{ROW}")
    write(tmp_path / "sign_mnist_train.csv.gz", f"{HEADER}\n1,{ROW}\n0,{ROW}\n1,{ROW}")
    write(tmp_path / "chart.png", "")
    dataset = read(tmp_path)
    assert dataset.splits.tolist() == [0, 0, 0, 2, 2]
    assert dataset.labels.tolist() == [1, 0, 1, 0, 1]
    assert dataset.notices == ("Left out: files beside the pixel CSVs (1): chart.png.",)


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\r\n3,{ROW}\r\n4,{ROW}\r\n\r\n",
        f"\ufeff{HEADER}\n3,{ROW}\n4,{ROW}",
        f"{HEADER}\n003,{ROW}\n4,{ROW}\n\n\n",
        ",".join(f"pixel{i:04}" for i in range(16)) + f",label\n{ROW},3\n{ROW},4\n",
        "label," + ",".join(f"{i}x{j}" for i in range(4) for j in range(4)) + f"\n3,{ROW}\n4,{ROW}",
    ],
    ids=["crlf", "bom", "zeros", "label last", "1x1 names"],
)
def test_ways_to_write_it(tmp_path: Path, text: str) -> None:
    dataset = read(write(tmp_path / "a.csv", text))
    assert dataset.classes == ("3", "4")
    assert np.asarray(dataset.sources[1]).ravel().tolist() == list(range(100, 116))
    assert dataset.notices == ()


def test_without_a_header(tmp_path: Path) -> None:
    dataset = read(write(tmp_path / "a.csv", f"3,{ROW}\n4,{ROW}\n"))
    assert dataset.classes == ("3", "4")
    assert "no header line" in dataset.notices[0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "no line below the header"),
        (f"1,{ROW}\n2,{ROW[:-4]}\n", "line 3: 16 values where 17 belong"),
        (f"1,{ROW}\n2,{ROW},5\n", "line 3: 18 values where 17 belong"),
        (f"1,{ROW}\n2,{ROW},5\n{ROW}\n", "line 3: 18 values where 17 belong"),
        (f"1,{ROW}\n\n2,{ROW}\n", "line 3: 1 values where 17 belong"),
        (f"1,{ROW[:-3]}256\n", "line 2, column 17: a pixel is a whole number .* not '256'"),
        (f"1,{ROW[:-3]}-1\n", "line 2, column 17: .* not '-1'"),
        (f"1,{ROW[:-3]}1.5\n", "line 2, column 17: .* not '1.5'"),
        (f"1,{ROW[:-3]}\n", "line 2, column 17: .* not ''"),
        (f"1,{ROW[:-3]} 15\n", "line 2, column 17: .* not ' 15'"),
        (f"1,{ROW}\ncat,{ROW}\n", "line 3, column 1: a label is .* from 0 to 999, not 'cat'"),
        (f"1,{ROW}\n1000,{ROW}\n", "line 3, column 1: a label is .* not '1000'"),
    ],
)
def test_broken_files(tmp_path: Path, rows: str, message: str) -> None:
    path = write(tmp_path / "a.csv", f"{HEADER}\n{rows}")
    with pytest.raises(DataError, match=message):
        read(path)


def test_lines_are_counted_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_csv, "BLOCK", 100)
    good = "".join(f"{i % 3},{ROW}\n" for i in range(20))
    assert len(read(write(tmp_path / "a.csv", f"{HEADER}\n{good}"))) == 20
    with pytest.raises(DataError, match=r"line 22, column 2: .* not 'x'"):
        read(write(tmp_path / "a.csv", f"{HEADER}\n{good}1,x{ROW[3:]}\n{good}"))


def test_pictures_must_be_square(tmp_path: Path) -> None:
    text = f"{HEADER},pixel17\n1,{ROW},0\n"
    with pytest.raises(DataError, match="17 pixels are no square number; the nearest is 16"):
        read(write(tmp_path / "a.csv", text))


def test_truncated_gzip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (100, 8, 8), dtype=np.uint8)
    path = write(tmp_path / "a.csv.gz", table([0, 1] * 50, images))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"a\.csv\.gz: the gzip data is damaged or cut off"):
        read(path)


@given(st.integers(1, 40), st.integers(4, 7), st.integers(0, 2**32 - 1), st.integers(20, 3000))
@settings(max_examples=40, deadline=None)
def test_round_trip(count: int, side: int, seed: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count + 1, side, side), dtype=np.uint8)
    labels = [0, *rng.integers(0, 1000, count - 1).tolist(), 999]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixel_csv, "BLOCK", block)
        dataset = read(write(Path(folder, "a.csv"), table(labels, images)))
    np.testing.assert_array_equal(np.stack(list(map(np.asarray, dataset.sources))), images)
    assert [int(dataset.classes[label]) for label in dataset.labels] == labels


@given(
    st.one_of(st.binary(max_size=120), st.text("0123456789,\n\r.- ", max_size=120).map(str.encode)),
    st.sampled_from(["", f"{HEADER}\n", f"{HEADER}\n0,{ROW}\n1,{ROW}\n", f"1,{ROW}\n", "label,"]),
)
@settings(max_examples=150, deadline=None)
def test_any_bytes_raise_only_data_errors(data: bytes, start: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        path.write_bytes(start.encode() + data)
        try:
            read(path)
        except DataError as error:
            assert "a.csv" in str(error)  # noqa: PT017 - nothing need be raised
