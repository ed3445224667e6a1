"""Settle what is trained on: drop the pictures that cannot be read, and split off validation."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from silverprint.backbones.look import Look
from silverprint.data.audit.copies import join_pairs
from silverprint.data.conventions import counted, first_few
from silverprint.data.splits import split_validation
from silverprint.data.table import SPLITS, Dataset
from silverprint.errors import DataError
from silverprint.workflows.copies import NearCopies, exact_groups, find_near_copies
from silverprint.workflows.settings import TrainSettings

# Under this many training pictures one held-out share says too little; folds use every picture.
FEW_PICTURES = 500
# Of many pictures a smaller share judges as well, and the others are better used to learn from.
VALIDATION_FRACTION = 0.15
VALIDATION_PICTURES = 5000


class Settled(NamedTuple):
    """What is trained on.

    Attributes:
        dataset: the pictures that could be read, with their splits.
        folds: to judge by; 0 where a validation split judges.
        copies: which pictures show the same.
    """

    dataset: Dataset
    folds: int
    copies: NearCopies


def settle(dataset: Dataset, settings: TrainSettings, seen: Look) -> Settled:
    """Settle the splits; copies of a picture stay on one side of those that are drawn here.

    Heads on few pictures are cross-validated (folds > 0); else a validation split is made where
    there is none.

    Raises:
        DataError: no picture of the training split, or of one of its classes, can be read.
    """
    readable = _without_refused(dataset, seen)
    seen.rows = np.arange(len(readable))
    count = len(readable.rows("train"))
    if not count:
        raise DataError(f"{dataset.name} has no training pictures; its splits hold only others.")
    whole_network = settings.scratch is not None or settings.finetuning is not None
    folds = settings.folds if count < FEW_PICTURES and not whole_network else 0
    drawn = bool(folds) or not readable.has("validation")
    copies = find_near_copies(readable, seen, drawn)
    if drawn and readable.groups is not None:
        copies = replace(copies, groups=_together(copies.groups, readable.groups))
        _check_groups(readable, copies.groups, bool(folds))
    if folds or not drawn:
        return Settled(readable, folds, copies)
    fraction = settings.validation_fraction or min(VALIDATION_FRACTION, VALIDATION_PICTURES / count)
    split = split_validation(readable, fraction=fraction, seed=settings.seed, groups=copies.groups)
    return Settled(split, 0, copies)


def leaks(dataset: Dataset, seen: Look) -> list[str]:
    """Say which held-out files have a training file's bytes, or group, which flatters figures."""
    contents = exact_groups(seen.digests)
    of_split = [np.unique(contents[dataset.rows(split)]) for split in SPLITS]
    said = []
    for name, mine in zip(SPLITS[1:], of_split[1:], strict=True):
        if shared := int(np.isin(mine, of_split[0]).sum()):
            said.append(
                f"{shared:,} of the {name} files are training files too, byte for byte, so the "
                f"{name} figures are too good; `silverprint audit` names them."
            )
    if dataset.groups is not None:
        said += _torn_groups(dataset, dataset.groups)
    return said


def _torn_groups(dataset: Dataset, groups: NDArray[np.int64]) -> Iterator[str]:
    """Say which given splits hold a part of a training group."""
    taught = groups[dataset.rows("train")]
    for name in SPLITS[1:]:
        if torn := len(np.intersect1d(taught, groups[dataset.rows(name)])):
            have = "has" if torn == 1 else "have"
            yield (
                f"{counted(torn, 'group')} with {name} pictures {have} training pictures too, so "
                f"the {name} figures may be too good."
            )


def _together(copies: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers (n,) of what is left where groups that share a picture are joined."""
    pairs = []
    for column in (copies, groups):
        first, place = np.unique(column, return_index=True, return_inverse=True)[1:]
        pairs.append(np.stack([first[place], np.arange(len(column))], axis=1))
    return join_pairs(np.concatenate(pairs).tolist(), len(groups))


def _check_groups(dataset: Dataset, groups: NDArray[np.int64], in_folds: bool) -> None:
    """Refuse groups that leave nothing to hold out, or a fold without a class."""
    rows = dataset.rows("train")
    groups, labels = groups[rows], dataset.labels[rows]
    if len(np.unique(groups)) < 2:
        raise DataError(
            f"{dataset.name}: all training pictures are in one group, or in groups that share a "
            "copy, so none can be held out; give groups of which each is a part."
        )
    if not in_folds or labels.ndim > 1:
        return
    alone = [name for number, name in enumerate(dataset.classes)
             if len(np.unique(groups[labels == number])) == 1]  # fmt: skip
    if alone:
        raise DataError(
            f"{dataset.name}: all training pictures of {first_few(alone)} are in one group, or "
            f"in groups that share a copy; with fewer than {FEW_PICTURES} training pictures each "
            "class needs at least 2 to be cross-validated. Give smaller groups, or more pictures."
        )


def _without_refused(dataset: Dataset, seen: Look) -> Dataset:
    """Drop the pictures that could not be read; they are listed by name and reason."""
    if not seen.refused:
        return dataset
    if not len(seen.rows):
        file, reason = seen.refused[0]
        raise DataError(
            f"{dataset.name}: none of {len(dataset)} pictures can be read; the first: "
            f"{file}: {reason}."
        )
    kept = dataset.take(seen.rows)
    before, after = dataset.class_counts("train"), kept.class_counts("train")
    emptied = [name for name in before if before[name] and not after[name]]
    if emptied:
        file, reason = _first_refused(dataset, seen, emptied[0])
        raise DataError(
            f"{dataset.name}: no training picture of {', '.join(emptied)} can be read; the first: "
            f"{file}: {reason}. Replace its pictures, or take the class out."
        )
    return kept


def _first_refused(dataset: Dataset, seen: Look, name: str) -> tuple[str, str]:
    """Return the file and the reason of a class's first picture that could not be read."""
    column = dataset.classes.index(name)
    labels = dataset.labels
    mine = labels == column if labels.ndim == 1 else labels[:, column] > 0
    files = {dataset.names[row] for row in np.flatnonzero(mine).tolist()}
    return next((entry for entry in seen.refused if entry[0] in files), seen.refused[0])
