"""What the functions share: data, settings and lists of values, as people give them."""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from silverprint.data.read import read
from silverprint.data.table import Dataset
from silverprint.errors import MissingExtraError

Data = Dataset | str | PathLike[str]


def dataset_of(data: Data) -> Dataset:
    """Return what `read` gave, or read it."""
    return data if isinstance(data, Dataset) else read(data)


def plain(value: Any) -> Any:
    """Return a value in Python's own types: settings are often taken from an array."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return tuple(map(plain, value)) if isinstance(value, tuple) else value


def listed(values: Any) -> list[Any]:
    """Return the values of a list, an array, a column, ...; a single one is a list of itself."""
    several = isinstance(values, Iterable) and not isinstance(values, str)
    return [plain(one) for one in values] if several else [plain(values)]


@contextlib.contextmanager
def needing(what: str) -> Iterator[None]:
    """Say which extra is missing, where what trains networks is imported.

    Raises:
        MissingExtraError: it cannot be imported.
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(what, "train") from error


@contextlib.contextmanager
def folder(out: str | PathLike[str] | None) -> Iterator[Path]:
    """Give the folder to write into; where none is named, one that goes when it is left."""
    if out is not None:
        yield Path(out)
        return
    with tempfile.TemporaryDirectory(prefix="silverprint-") as name:
        yield Path(name)
