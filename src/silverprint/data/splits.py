"""Setting pictures aside for validation and test, and folds: seeded, stratified, groups together.

Which picture goes where hangs on the seed and the picture's name, not on its place in the list. So
the order of files does not matter, and a folder that grows by ten photos keeps nearly all the rest
where they were.
"""

import hashlib
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from silverprint.data.conventions import counted, first_few
from silverprint.data.table import SPLITS, Dataset, Split
from silverprint.errors import ConfigError, DataError

Labels = NDArray[np.int64] | NDArray[np.uint8]
Groups = NDArray[np.generic]
NO_LABEL = -1  # pictures without any label are spread like a class


def split_validation(
    dataset: Dataset, *, fraction: float = 0.15, seed: int = 0, groups: Groups | None = None
) -> Dataset:
    """Return the dataset with a validation split, taken from train where there is none.

    Each class gives its rounded share: at least one picture, and it keeps at least one. Pictures
    with several labels are dealt out from the rarest label on, without exceeding any label's share,
    in the spirit of iterative stratification (Sechidis et al. 2011), so shares are approximate.

    Args:
        dataset: returned as it is if it has a validation split.
        fraction: the share of train to move, between 0 and 1.
        seed: another seed, another choice.
        groups: (n,) one value a row of the dataset; rows with the same value stay on one side.

    Raises:
        ConfigError: the fraction is not between 0 and 1.
        DataError: there is no train split, there are not as many groups as rows, or nothing can be
            set aside.
    """
    return _set_aside(dataset, "validation", fraction, seed, groups)


def split_test(
    dataset: Dataset, *, fraction: float = 0.15, seed: int = 0, groups: Groups | None = None
) -> Dataset:
    """Return the dataset with a test split; otherwise just as `split_validation`."""
    return _set_aside(dataset, "test", fraction, seed, groups)


def folds(
    labels: Labels, k: int, *, seed: int = 0, groups: Groups | None = None
) -> NDArray[np.int64]:
    """Return a fold from 0 to k - 1 for each row, each class spread evenly.

    Without groups a single-label class has its ideal share in each fold, rounded down or up. Groups
    are dealt out from the largest on, each to the fold that has least of its classes.

    Args:
        labels: (n,) class indices, or (n, classes) of 0 and 1.
        k: how many folds, at least 2.
        seed: another seed, another choice.
        groups: (n,) one value a row; rows with the same value come into one fold.

    Raises:
        ConfigError: k is below 2.
        DataError: there are not as many groups as rows, or fewer rows or groups than folds.
    """
    if k < 2:
        raise ConfigError(f"Cross-validation needs at least 2 folds, not {k}.")
    order = np.random.default_rng(seed).permutation(len(labels))
    members = _members(order.tolist(), groups, len(labels))
    if len(members) < k:
        raise DataError(f"{k} folds need as many pictures or groups, but there are {len(members)}.")
    classes = _classes_of(labels)
    totals = Counter(label for row_classes in classes for label in row_classes)
    members.sort(key=lambda rows: (-len(rows), _rarest(rows, classes, totals)))
    load = np.zeros((k, max(totals, default=0) + 2))  # the last column is NO_LABEL's
    sizes = np.zeros(k)
    result = np.empty(len(labels), np.int64)
    for rows in members:
        held = Counter(label for row in rows for label in classes[row])
        columns = list(held)
        weights = np.array([held[label] / totals[label] for label in columns])
        fullness = (load[:, columns] * weights).sum(axis=1)
        fold = int(np.lexsort((sizes, fullness))[0])
        load[fold, columns] += list(held.values())
        sizes[fold] += len(rows)
        result[rows] = fold
    return result


def _set_aside(
    dataset: Dataset, to: Split, fraction: float, seed: int, groups: Groups | None
) -> Dataset:
    if not 0 < fraction < 1:
        raise ConfigError(f"The {to} fraction lies between 0 and 1, exclusively, not {fraction}.")
    if dataset.has(to):
        return dataset
    train = dataset.rows("train")
    if not len(train):
        raise DataError(
            f"{dataset.name}: there is no train split to take {to} pictures from. "
            "Read the pictures with split='train'."
        )
    if groups is not None:
        _check_groups(groups, len(dataset))
        groups = groups[train]
    ranks = [_rank(dataset.names[row], seed) for row in train]
    order = sorted(range(len(train)), key=ranks.__getitem__)
    classes = _classes_of(dataset.labels[train])
    members = _members(order, groups, len(train))
    moved, lacking = _choose(members, classes, fraction)
    if not moved:
        left = "a class" if len(dataset.classes) > 1 else "the others"
        raise DataError(
            f"{dataset.name}: of {counted(len(train), 'train picture')} none can be set aside for "
            f"{to} without leaving {left} without any. Add pictures."
        )
    splits = dataset.splits.copy()
    splits[train[moved]] = SPLITS.index(to)
    return replace(
        dataset,
        splits=splits,
        notices=(*dataset.notices, *_told(dataset, to, len(moved), len(train), seed, lacking)),
    )


def _choose(
    members: list[list[int]], classes: Sequence[Sequence[int]], fraction: float
) -> tuple[list[int], list[int]]:
    """Return the rows to move, and the classes of which none could be.

    Groups come in random order, those with the rarest label first, and move while no class exceeds
    its share. A class left without any then gives its smallest group, where others allow it.
    """
    totals = Counter(label for row_classes in classes for label in row_classes)
    room = {
        label: min(count - 1, max(1, round(count * fraction))) for label, count in totals.items()
    }
    spare = {label: count - 1 for label, count in totals.items()}
    moved: list[int] = []
    taken: Counter[int] = Counter()
    kept: list[list[int]] = []
    for rows in sorted(members, key=lambda rows: _rarest(rows, classes, totals)):
        held = Counter(label for row in rows for label in classes[row])
        if all(taken[label] + count <= room[label] for label, count in held.items()):
            taken.update(held)
            moved += rows
        else:
            kept.append(rows)
    for label in sorted(room):
        if taken[label] or not room[label]:
            continue
        for rows in sorted(kept, key=len):
            held = Counter(other for row in rows for other in classes[row])
            if label not in held:
                continue
            if all(taken[other] + count <= spare[other] for other, count in held.items()):
                taken.update(held)
                moved += rows
                kept.remove(rows)
                break
    return moved, sorted(label for label in totals if label != NO_LABEL and not taken[label])


def _members(order: Sequence[int], groups: Groups | None, count: int) -> list[list[int]]:
    """Return the rows of each group, in the order given; without groups each row is its own."""
    if groups is None:
        return [[row] for row in order]
    _check_groups(groups, count)
    values = groups.tolist()
    members: dict[Hashable, list[int]] = {}
    for row in order:
        members.setdefault(values[row], []).append(row)
    return list(members.values())


def _check_groups(groups: Groups, count: int) -> None:
    if groups.shape != (count,):
        raise DataError(f"Every picture needs one group: {count} pictures, groups {groups.shape}.")


def _classes_of(labels: Labels) -> list[list[int]]:
    """Return the class indices of each row."""
    if labels.ndim == 1:
        return [[label] for label in labels.tolist()]
    return [np.flatnonzero(row).tolist() or [NO_LABEL] for row in labels]


def _rarest(rows: Sequence[int], classes: Sequence[Sequence[int]], totals: Counter[int]) -> int:
    """Return how often the rarest of these rows' labels occurs in all."""
    return min(totals[label] for row in rows for label in classes[row])


def _rank(name: str, seed: int) -> bytes:
    """Return a random-looking key that only the name and the seed decide."""
    return hashlib.blake2b(f"{seed}:{name}".encode(errors="replace"), digest_size=8).digest()


def _told(
    dataset: Dataset, to: Split, moved: int, count: int, seed: int, lacking: Sequence[int]
) -> list[str]:
    stratified = "stratified by class, " if len(dataset.classes) > 1 else ""
    notices = [
        f"No {to} split was given: {moved:,} of {counted(count, 'train picture')} "
        f"({moved / count:.0%}) were set aside for it, {stratified}seed {seed}."
    ]
    if lacking:
        names = first_few(repr(dataset.classes[label]) for label in lacking)
        notices.append(
            f"No {to} picture of {names}: there is only one, or all are in one group, and what "
            "there is stays in train."
        )
    return notices
