"""IDX files, the format of MNIST and its kin: images in one file, labels in another.

A file is two zero bytes, the type (8 for uint8), the number of dimensions, each dimension as a
big-endian uint32, and then the values (http://yann.lecun.com/exdb/mnist/).
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from silverprint.data.assembly import Part, assemble_parts
from silverprint.data.conventions import first_few, one_per_split
from silverprint.data.files import opened, read_at_most
from silverprint.data.table import Dataset, Split
from silverprint.errors import DataError

IMAGES_NAME = re.compile(r"(.*)images([-.])idx3([-.])ubyte(\.gz)?", re.IGNORECASE)
UNSIGNED_BYTES = 8


def is_idx_name(name: str) -> bool:
    """Say whether a file is called like an IDX file of images: train-images-idx3-ubyte.gz."""
    return IMAGES_NAME.fullmatch(name) is not None


def read_idx_folder(root: Path, split: Split) -> Dataset:
    """Read every pair of IDX files in a folder; `split` is for a lone pair that names none.

    Raises:
        DataError: as for `read_idx_file`, or file names do not tell the splits apart.
    """
    images = {path.name: path for path in sorted(root.iterdir()) if is_idx_name(path.name)}
    packed_twice = [name for name in images if name.endswith(".gz") and name[:-3] in images]
    notices = []
    if packed_twice:
        notices.append(f"Left out, being there unpacked too: {first_few(packed_twice)}.")
    files = [path for name, path in images.items() if name not in packed_twice]
    return _read(root, one_per_split(files, split), notices)


def read_idx_file(path: Path, split: Split) -> Dataset:
    """Read one file of images with the file of labels beside it.

    Raises:
        DataError: a file is missing, damaged, not IDX, or longer or shorter than its header says,
            or there are not as many labels as images.
    """
    return _read(path, {split: path}, [])


def _read(root: Path, files: Mapping[Split, Path], notices: list[str]) -> Dataset:
    parts = []
    for split, path in files.items():
        images, labels_path = read_array(path, dimensions=3), _labels_beside(path)
        labels = read_array(labels_path, dimensions=1)
        if len(images) != len(labels):
            raise DataError(
                f"{path} holds {len(images):,} images but {labels_path.name} {len(labels):,} "
                "labels; each image needs one. Fetch both files from the same place."
            )
        parts.append(Part(path.name, images, labels.astype(np.int64), split))
    return assemble_parts(parts, {}, root, notices)


def _labels_beside(images: Path) -> Path:
    """Return the labels file that belongs to a file of images, plain or packed."""
    start, dash, dot, _ = IMAGES_NAME.fullmatch(images.name).groups()  # type: ignore[union-attr]
    name = f"{start}labels{dash}idx1{dot}ubyte"
    for candidate in (images.with_name(name), images.with_name(f"{name}.gz")):
        if candidate.exists():
            return candidate
    raise DataError(f"{images}: its labels are missing. Put {name} or {name}.gz beside it.")


def read_array(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read one IDX file, (n,) or (n, H, W).

    Raises:
        DataError: it is damaged, no IDX file of uint8, has other dimensions, or its length is not
            what its header says.
    """
    with opened(path) as file:
        magic = read_at_most(file, 4)
        if magic != bytes([0, 0, UNSIGNED_BYTES, dimensions]):
            raise DataError(
                f"{path}: an IDX file of {'images' if dimensions > 1 else 'labels'} begins with "
                f"the bytes 0 0 {UNSIGNED_BYTES} {dimensions}, this one with "
                f"{' '.join(map(str, magic)) or 'nothing'}. Check that it is the right file."
            )
        header = read_at_most(file, 4 * dimensions)
        if len(header) < 4 * dimensions:
            raise DataError(f"{path}: the file ends within its header. Copy or fetch it again.")
        shape = np.frombuffer(header, ">u4").tolist()
        size = math.prod(shape)
        values = read_at_most(file, size + 1)
    if len(values) != size:
        held = "more than that" if len(values) > size else f"{len(values):,}"
        raise DataError(
            f"{path}: the header says {' x '.join(map(str, shape))} = {size:,} values, but the "
            f"file holds {held}. Copy or fetch it again."
        )
    if dimensions > 1 and shape[0] and 0 in shape:
        raise DataError(f"{path}: its images are {shape[1]} x {shape[2]} pixels; nothing to see.")
    return np.frombuffer(values, np.uint8).reshape(shape)
