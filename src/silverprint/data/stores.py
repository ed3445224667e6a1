"""Class folders in an object store, such as s3://bucket/photos/cat/1.jpg, through fsspec."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from silverprint.data.assembly import assemble
from silverprint.data.conventions import class_named, is_hidden, is_known_other, natural_key
from silverprint.data.folders import Leftovers, refuse_splits_inside, splits_among
from silverprint.data.table import SPLITS, Dataset, Split
from silverprint.errors import DataError
from silverprint.runtime.remote import WEB, open_store, scheme_of, words


def read_store(address: str, split: Split) -> Dataset:
    """Read class folders at an address, alone or inside train, validation and test folders.

    The store is asked for its names once; no picture is fetched.

    Args:
        address: of the folder that holds them.
        split: what the pictures are where no folder names a split.

    Raises:
        DataError: the address cannot be listed, holds no pictures, or its splits or classes do not
            fit.
    """
    files = _listed(address.rstrip("/"))
    folders = _folders(files)
    tops = sorted({name.partition("/")[0] for name in folders}, key=natural_key)
    inside = {name.partition("/")[0] for name in folders if "/" in name}
    splits = splits_among(tops, address, inside.__contains__)
    left = Leftovers(
        nested=sorted(name for name in folders if _in_class(name, splits)),
        beside=[name for name in tops if splits and name not in splits],
    )
    rows = [row for name in files if (row := _row(name, splits, split, left))]
    refuse_splits_inside(address.rstrip("/"), left.nested)
    if not rows:
        raise DataError(
            f"{address}: there are no pictures in class folders. Put each class's pictures into a "
            f"folder with its name. {' '.join(left.notices())}".rstrip()
        )
    labels = sorted({label for _, label, _ in rows}, key=natural_key)
    codes = {label: code for code, label in enumerate(labels)}
    rows.sort(key=lambda row: (row[0], codes[row[1]], row[2]))
    found = assemble(
        root=Path(address.rstrip("/").rpartition("/")[2]),
        sources=[files[name] for _, _, name in rows],
        names=[name for _, _, name in rows],
        codes=np.array([codes[label] for _, label, _ in rows], np.int64),
        labels=dict(enumerate(labels)),
        splits=np.array([place for place, _, _ in rows], np.int8),
        notices=left.notices(),
    )
    return replace(found, root=None)


def _listed(address: str) -> dict[str, str]:
    """Return the address of every file below a folder, by its name there, in order."""
    if scheme_of(address) in WEB:
        raise DataError(
            f"{address}: a web server does not list folders. Write a CSV of path,label whose paths "
            "are such addresses, and name that."
        )
    system, root = open_store(address)
    try:
        paths = sorted(system.find(root))
    except Exception as error:  # each store raises errors of its own
        raise DataError(f"{address}: cannot be listed: {words(error)}.") from None
    if not paths or paths == [root]:
        raise DataError(
            f"{address}: is {'a file' if paths else 'no folder, or an empty one'}. Name the folder "
            "that holds one folder a class; copy a CSV, JSONL or Parquet file here to read it."
        )
    start = len(root.rstrip("/")) + 1
    return {path[start:]: system.unstrip_protocol(path) for path in paths}


def _row(
    name: str, splits: Mapping[str, Split], split: Split, left: Leftovers
) -> tuple[int, str, str] | None:
    """Return a picture's split, class and name; None for what is none, which `left` then has."""
    parts = name.split("/")
    if splits and len(parts) > 1 and parts[0] not in splits and not is_hidden(parts[0]):
        return None
    hidden = next((end for end, part in enumerate(parts, 1) if is_hidden(part)), None)
    if hidden:
        left.hidden.extend({"/".join(parts[:hidden])} - set(left.hidden))
        return None
    if splits:
        split = splits.get(parts[0], split)
        parts = parts[1:]
    if len(parts) < 2:
        left.loose.append(name)
    elif is_known_other(parts[-1]):
        left.other_files.append(name)
    else:
        return SPLITS.index(split), class_named(parts[0]), name
    return None


def _folders(files: Iterable[str]) -> set[str]:
    """Return every folder on the way to a file, up to the first hidden one."""
    found: set[str] = set()
    for name in files:
        parts = name.split("/")[:-1]
        shown = [*map(is_hidden, parts), True].index(True)
        found.update("/".join(parts[:end]) for end in range(1, shown + 1))
    return found


def _in_class(folder: str, splits: Mapping[str, Split]) -> bool:
    top = folder.partition("/")[0]
    return folder.count("/") > bool(splits) and (not splits or top in splits)
