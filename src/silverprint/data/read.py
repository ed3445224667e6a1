"""The one door to data: a folder, a file, or a dataset's name, to a Dataset."""

import os
from collections.abc import Sequence
from pathlib import Path

from silverprint.data.assembly import renamed
from silverprint.data.download import Progress
from silverprint.data.layouts import read_path
from silverprint.data.manifest_rows import Columns
from silverprint.data.named import read_named
from silverprint.data.registry import NAMED
from silverprint.data.stores import read_store
from silverprint.data.table import SPLITS, Dataset, Split
from silverprint.errors import ConfigError, DataError, closest
from silverprint.runtime.remote import is_address


def read(
    source: str | os.PathLike[str],
    *,
    split: Split | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    label_separator: str | None = None,
    group_column: str | None = None,
    class_names: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Read a folder, a file, or a named dataset; the layout is detected.

    Args:
        source: a path, the address of class folders (s3://bucket/photos), or a name that
            `list_datasets` gives. A path that exists wins over a name.
        split: what the pictures are where no folder, no file name in a folder and no column says
            it; train if None.
        data_dir: where named datasets lie and are downloaded to; if None the folder that
            SILVERPRINT_DATA names, else this user's data folder.
        image_column: a manifest's column of paths, if not one of the usual names.
        label_column: a manifest's column of labels, likewise.
        label_separator: what separates several labels in one cell; found out if None ("|" or
            ";"), and "" says that a cell is one label whatever it holds.
        group_column: a manifest's column that is equal for pictures which belong together, such as
            those of one subject: splits and folds drawn later keep them on one side.
        class_names: what to call the classes of a file that only numbers them, from the lowest
            number on.
        progress: called with a file's name, the bytes so far and in all, while downloading.

    Raises:
        ConfigError: `split` is no split.
        DataError: nothing is there, no layout fits, or the data breaks a rule; the message names
            the file, the rule, what broke it and what to do.
        MissingExtraError: the dataset comes with a package that is not installed.
    """
    if split is not None and split not in SPLITS:
        raise ConfigError(f"split is train, validation or test, not {split!r}.")
    if not isinstance(source, str | os.PathLike):
        raise DataError(
            f"read takes a path or a dataset's name; got {type(source).__name__}. A table of paths "
            "and labels is read from a file, such as a CSV."
        )
    text = os.fspath(source)
    name = text.casefold()
    if is_address(text):
        found = read_store(text, split or "train")
        return found if class_names is None else _called(found, class_names)
    # Absolute, so that a later change of folder does no harm; resolve() would follow links. Path's
    # own methods raise where a name is too long or a user unknown.
    path = Path(os.path.abspath(os.path.expanduser(text)))  # noqa: PTH100, PTH111
    if not text.strip() or not os.path.exists(path):  # noqa: PTH110
        if name not in NAMED:
            looked = "" if text in ("", str(path)) else f" Looked for {str(path)!r}."
            raise DataError(
                f"{text!r} is neither a folder or file that exists nor a dataset's name.{looked}"
                f"{closest(name, NAMED)} `silverprint datasets` lists the names."
            )
        found = read_named(name, split=split or "train", data_dir=data_dir, progress=progress)
        return found if class_names is None else _called(found, class_names)
    columns = Columns(image_column, label_column, label_separator, group_column)
    dataset = read_path(path, split or "train", columns)
    if group_column is not None and dataset.groups is None:
        raise DataError(
            f"{text}: group_column is a column of a CSV, JSON Lines or Parquet file, and this is "
            "none. Make such a file, or set groups from Python: Dataset.with_groups."
        )
    if class_names is not None:
        dataset = _called(dataset, class_names)
    if name not in NAMED:
        return dataset
    return dataset.noting(f"{path} was read, not the dataset {name!r}: a path wins over a name.")


def _called(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """Give numbered classes their names."""
    if dataset.task == "multi-label" or not all(name.isdecimal() for name in dataset.classes):
        raise DataError(
            f"{dataset.name}: class_names are for single labels that are numbers; these classes "
            f"are {', '.join(dataset.classes[:3])}, ... Leave class_names out."
        )
    if len(names) != len(dataset.classes) or len(set(names)) != len(names) or not all(names):
        raise DataError(
            f"{dataset.name}: class_names must be {len(dataset.classes)} different names, one a "
            f"class; got {len(names)}: {', '.join(names[:30])}."
        )
    new_names = dict(zip(dataset.classes, names, strict=True))
    return renamed(dataset, dataset.name, new_names)
