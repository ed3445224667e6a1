"""Settle what is trained on: drop the pictures that cannot be read, and split off validation."""

from typing import NamedTuple

import numpy as np

from silverprint.backbones.look import Look
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
    if folds or not drawn:
        return Settled(readable, folds, copies)
    fraction = settings.validation_fraction or min(VALIDATION_FRACTION, VALIDATION_PICTURES / count)
    split = split_validation(readable, fraction=fraction, seed=settings.seed, groups=copies.groups)
    return Settled(split, 0, copies)


def leaks(dataset: Dataset, seen: Look) -> list[str]:
    """Say which held-out files have the same bytes as a training file, which flatters figures."""
    contents = exact_groups(seen.digests)
    of_split = [np.unique(contents[dataset.rows(split)]) for split in SPLITS]
    said = []
    for name, mine in zip(SPLITS[1:], of_split[1:], strict=True):
        if shared := int(np.isin(mine, of_split[0]).sum()):
            said.append(
                f"{shared:,} of the {name} files are training files too, byte for byte, so the "
                f"{name} figures are too good; `silverprint audit` names them."
            )
    return said


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
        raise DataError(
            f"{dataset.name}: no training picture of {', '.join(emptied)} can be read; "
            f"the first refused file: {seen.refused[0][0]}: {seen.refused[0][1]}."
        )
    return kept
