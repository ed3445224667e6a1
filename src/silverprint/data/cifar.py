"""CIFAR-10 and CIFAR-100 in their binary format: a record is the label, then 3 x 32 x 32 bytes.

CIFAR-100 has two labels a record, coarse and fine; the fine one is taken
(https://www.cs.toronto.edu/~kriz/cifar.html).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from silverprint.data.assembly import Part, assemble_parts
from silverprint.data.conventions import natural_key
from silverprint.data.files import opened
from silverprint.data.table import Dataset, Split
from silverprint.errors import DataError

PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Variant:
    """What sets CIFAR-10 and CIFAR-100 apart."""

    names_file: str
    train: str
    test: str
    label_bytes: int


CIFAR_10 = Variant("batches.meta.txt", "data_batch_*.bin", "test_batch.bin", 1)
CIFAR_100 = Variant("fine_label_names.txt", "train.bin", "test.bin", 2)


def is_cifar_folder(names: Iterable[str]) -> bool:
    """Say whether a folder with files of these names holds CIFAR in its binary format."""
    return _variant(names) is not None


def read_cifar(root: Path) -> Dataset:
    """Read the batches of a CIFAR folder; sources are (32, 32, 3) views.

    Raises:
        DataError: a file is unreadable, no whole number of records long, or a label has no name.
    """
    variant = _variant(path.name for path in root.iterdir()) or CIFAR_10
    batches: list[tuple[Path, Split]] = [
        *(
            (path, "train")
            for path in sorted(root.glob(variant.train), key=lambda path: natural_key(path.name))
        ),
        *((path, "test") for path in root.glob(variant.test)),
    ]
    labels, notices = _class_names(root / variant.names_file)
    parts = [_read_batch(path, split, variant.label_bytes) for path, split in batches]
    for part in parts:
        unnamed = np.flatnonzero(part.codes >= len(labels)) if labels else np.empty(0, np.int64)
        if len(unnamed):
            raise DataError(
                f"{root / part.file}: record {unnamed[0]} has label {part.codes[unnamed[0]]}, but "
                f"{variant.names_file} names only {len(labels)} classes. Fetch the files again."
            )
    return assemble_parts(parts, labels, root, notices)


def _variant(names: Iterable[str]) -> Variant | None:
    names = set(names)
    if CIFAR_100.names_file in names and {CIFAR_100.train, CIFAR_100.test} & names:
        return CIFAR_100
    batch = any(name.startswith("data_batch_") and name.endswith(".bin") for name in names)
    return CIFAR_10 if batch or CIFAR_10.test in names else None


def _class_names(path: Path) -> tuple[dict[int, str], list[str]]:
    """Return the class names, one a line; none, and a notice, where the file is missing."""
    if not path.exists():
        return {}, [f"{path.name} is missing; the classes are called by their numbers."]
    with opened(path) as file:
        lines = file.read().decode("utf-8", errors="replace").split("\n")
    return dict(enumerate(line.strip() for line in lines if line.strip())), []


def _read_batch(path: Path, split: Split, label_bytes: int) -> Part:
    with opened(path) as file:
        data = np.frombuffer(file.read(), np.uint8)
    size = label_bytes + PIXELS
    if not len(data) or len(data) % size:
        raise DataError(
            f"{path}: a CIFAR file is a whole number of {size:,} byte records, but this one "
            f"has {len(data):,} bytes. Copy or fetch it again."
        )
    records = data.reshape(-1, size)
    # The planes lie one after another; the transposed view turns them into pixels without a copy.
    images = records[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Part(path.name, images, records[:, label_bytes - 1].astype(np.int64), split)
