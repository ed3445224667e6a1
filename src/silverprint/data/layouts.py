"""Which layout a folder or file has, decided by names and first lines, and the reader for it."""

import os
from pathlib import Path

from silverprint.data.cifar import is_cifar_folder, read_cifar
from silverprint.data.conventions import counted, first_few, is_hidden, natural_key
from silverprint.data.folders import is_class_layout, is_folder, read_folders
from silverprint.data.idx import is_idx_name, read_idx_file, read_idx_folder
from silverprint.data.manifest_rows import Columns, is_manifest, is_manifest_name
from silverprint.data.manifests import read_manifest_file, read_manifest_folder
from silverprint.data.pixel_csv import (
    is_pixel_csv_name,
    pixel_header,
    read_pixel_csv_file,
    read_pixel_csv_folder,
)
from silverprint.data.table import Dataset, Split
from silverprint.errors import DataError

LAYOUTS = (
    "class folders (photos/cat/1.jpg), those inside train, validation and test folders, a CSV, "
    "JSONL or Parquet file of path,label, IDX files (train-images-idx3-ubyte.gz), a pixel CSV "
    "(label,pixel1,...), CIFAR's .bin files"
)


def read_path(path: Path, split: Split, columns: Columns) -> Dataset:
    """Read a folder or file, whatever its layout.

    Args:
        path: an existing folder or file, absolute.
        split: what its pictures are where nothing in it names a split.
        columns: what the caller says about a manifest's columns.

    Raises:
        DataError: no layout fits, or its reader finds a fault.
    """
    if path.is_dir():
        return _read_folder(path, split, columns)
    name = path.name
    if is_idx_name(name):
        return read_idx_file(path, split)
    if is_pixel_csv_name(name) and pixel_header(path):
        return read_pixel_csv_file(path, split)
    if is_manifest_name(name):
        return read_manifest_file(path, split, columns)
    raise DataError(
        f"{path}: a single file must be a CSV, JSONL or Parquet file of path,label, a pixel CSV, "
        "or an IDX file of images (train-images-idx3-ubyte). For pictures pass the folder that "
        "holds their class folders; unpack an archive first. `silverprint predict` says what is in "
        "a picture."
    )


def _read_folder(root: Path, split: Split, columns: Columns) -> Dataset:
    folders, files = _contents(root)
    if any(is_idx_name(path.name) for path in files):
        return read_idx_folder(root, split)
    if is_cifar_folder(path.name for path in files):
        return read_cifar(root)
    pixels = [path for path in files if is_pixel_csv_name(path.name) and pixel_header(path)]
    if pixels:
        return read_pixel_csv_folder(root, pixels, split)
    # Class folders win over a manifest, or a table of predictions saved among them would be read.
    if is_class_layout(root):
        return read_folders(root, split)
    manifests = [
        path for path in files if is_manifest_name(path.name) and is_manifest(path, columns)
    ]
    if manifests:
        return read_manifest_folder(root, manifests, split, columns)
    if folders:
        return read_folders(root, split)
    held = f"{counted(len(files), 'file')}: {first_few(path.name for path in files)}"
    raise DataError(
        f"{root}: none of the known layouts is here. Looked for: {LAYOUTS}. "
        f"Found: no folders, {held if files else 'no files'}. Put the pictures of each class "
        "into a folder named after it."
    )


def _contents(root: Path) -> tuple[list[str], list[Path]]:
    """Return the folders' names and the files, without hidden ones, in natural order."""
    try:
        with os.scandir(root) as entries:
            names = {entry.name: is_folder(entry) for entry in entries if not is_hidden(entry.name)}
    except OSError as error:
        raise DataError(f"{root}: cannot be listed ({error.strerror or error}).") from error
    ordered = sorted(names, key=natural_key)
    return [name for name in ordered if names[name]], [
        root / name for name in ordered if not names[name]
    ]
