"""Near copies in `train`: on one side of splits that are drawn here, told in those that are given.

`audit` measures every picture to find them. Here the features that are at hand propose pairs, and
only pictures of these are decoded once more.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from silverprint.backbones.look import Look
from silverprint.backbones.packs import as_text, digest_table
from silverprint.data.audit.copies import ALIKE, LEAST_SIDE, NEAREST, confirmed, join_pairs
from silverprint.data.audit.facts import SIDE, thumbnail
from silverprint.data.audit.similar import alike_pairs
from silverprint.data.conventions import counted, first_few
from silverprint.data.table import SPLITS, Dataset, Source
from silverprint.errors import ImageError, RefusedError
from silverprint.runtime.images import read_file

Thumbnails = Callable[[NDArray[np.int64]], NDArray[np.uint8]]
KEPT_THUMBNAILS = 2**14  # 64 MB of them
SAMPLE = 64  # files, of which at least one has to be large enough to be compared
MOST = 200_000  # training pictures that are compared with one another
EXAMPLES = 3  # pairs that are named in a notice


@dataclass(frozen=True)
class NearCopies:
    """Which pictures of a dataset show the same.

    Attributes:
        groups: (n,) pictures with the same bytes share one, and so do near copies.
        counts: pictures with near copies: "kept on one side", or by the split that they flatter.
        notices: what the user should know.
    """

    groups: NDArray[np.int64]
    counts: dict[str, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


def exact_groups(digests: Sequence[bytes]) -> NDArray[np.int64]:
    """Return a number for each picture (n,), the same for the same bytes."""
    groups: NDArray[np.int64] = np.unique(as_text(digest_table(digests)), return_inverse=True)[1]
    return groups


def find_near_copies(dataset: Dataset, seen: Look, drawn: bool) -> NearCopies:
    """Find copies among training pictures, if a split is drawn, and of them in other splits.

    Where no network has looked (training from scratch) only the same bytes are copies.

    Args:
        dataset: the pictures that could be read.
        seen: what a network saw in each of them.
        drawn: whether validation or folds are still to be drawn from the training pictures.
    """
    exact = exact_groups(seen.digests)
    if seen.cache is None:
        return NearCopies(exact)
    training = dataset.splits == SPLITS.index("train")
    if (count := int(training.sum())) > MOST:
        return NearCopies(exact, notices=[
            f"Near copies were not sought among {count:,} training pictures: the work grows with "
            f"the square of their number and is done up to {MOST:,}. Pictures with the same bytes "
            "stay on one side; `silverprint audit` on a part of them shows whether there are more."
        ])  # fmt: skip
    thumbnails_of = _thumbnails_of(dataset)
    likely = _likely(dataset, seen, exact, drawn, thumbnails_of)
    pairs = confirmed(likely, len(dataset), thumbnails_of)
    if not pairs:
        return NearCopies(exact)
    groups = join_pairs(exact[np.array(pairs)].tolist(), len(dataset))[exact]
    found = NearCopies(groups)
    if drawn:
        kept, torn = _let_go_of_whole_classes(dataset, groups, exact)
        found = NearCopies(kept)
        _tell_kept(found, dataset, exact, pairs, torn)
    leaking = np.isin(groups, groups[training]) & ~np.isin(exact, exact[training])
    _tell_leaks(found, dataset, leaking, pairs)
    return found


def _likely(
    dataset: Dataset, seen: Look, exact: NDArray[np.int64], drawn: bool, thumbnails_of: Thumbnails
) -> NDArray[np.int64]:
    """Return pairs of rows (m, 2) that the network sees as alike, the most alike first."""
    large = np.array([_may_be_copied(source) for source in dataset.sources])
    training = dataset.splits == SPLITS.index("train")
    taught, held = _once(exact, large & training), _once(exact, large & ~training)
    held = held[~np.isin(exact[held], exact[training])]  # the same bytes are told anyway
    if not (drawn or len(held)) or not _any_shown(taught, thumbnails_of):
        return np.zeros((0, 2), np.int64)
    features = seen.features(taught)
    pairs, cosines = [], []
    if drawn:
        places, likeness = alike_pairs(features, k=NEAREST, least=ALIKE)
        pairs.append(taught[places])
        cosines.append(likeness)
    if len(held):
        places, likeness = alike_pairs(seen.features(held), features, k=NEAREST, least=ALIKE)
        pairs.append(np.stack([held[places[:, 0]], taught[places[:, 1]]], axis=1))
        cosines.append(likeness)
    order = np.argsort(-np.concatenate(cosines), kind="stable")
    return np.concatenate(pairs)[order]


def _may_be_copied(source: Source) -> bool:
    """Say whether a picture may be large enough; of a file that is seen when it is decoded."""
    return not isinstance(source, np.ndarray) or min(source.shape[:2]) >= LEAST_SIDE


def _any_shown(rows: NDArray[np.int64], thumbnails_of: Thumbnails) -> bool:
    """Say whether any of a few pictures is large enough; of most datasets the first is."""
    some = rows[:: max(1, len(rows) // SAMPLE)]
    return any(thumbnails_of(some[place : place + 1]).any() for place in range(len(some)))


def _once(exact: NDArray[np.int64], chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the chosen rows, the first of those with the same bytes."""
    rows = np.flatnonzero(chosen)
    return rows[np.sort(np.unique(exact[rows], return_index=True)[1])]


def _thumbnails_of(dataset: Dataset) -> Thumbnails:
    """Return what decodes rows into thumbnails, one thread a core; black where it cannot."""

    @lru_cache(maxsize=KEPT_THUMBNAILS)
    def decoded(row: int) -> NDArray[np.uint8]:
        source = dataset.sources[row]
        try:
            content = source if isinstance(source, np.ndarray) else read_file(source)
            return thumbnail(content, dataset.names[row], LEAST_SIDE)
        except (RefusedError, ImageError):  # gone since it was looked at
            return np.zeros((SIDE, SIDE), np.uint8)

    def all_decoded(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        with ThreadPoolExecutor(max(2, os.cpu_count() or 1), "thumbnails") as pool:
            return np.stack(list(pool.map(decoded, rows.tolist())))

    return all_decoded


def _let_go_of_whole_classes(
    dataset: Dataset, groups: NDArray[np.int64], exact: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[str]]:
    """Return groups that leave each class more than one, and the classes that had but one.

    All its pictures on one side would leave a class without a figure, or a fold without the class;
    so of these only the same bytes stay together.
    """
    kept, torn = groups.copy(), []
    training = dataset.splits == SPLITS.index("train")
    for number, name in enumerate(dataset.classes):
        column = dataset.labels == number if dataset.labels.ndim == 1 else dataset.labels[:, number]
        rows = np.flatnonzero(training & (column > 0))
        if len(rows) and np.ptp(groups[rows]) == 0 and np.ptp(exact[rows]) > 0:
            kept[rows] = len(dataset) + exact[rows]
            torn.append(name)
    return kept, torn


def _tell_kept(
    found: NearCopies, dataset: Dataset, exact: NDArray[np.int64],
    pairs: Sequence[tuple[int, int]], torn: Sequence[str],
) -> None:  # fmt: skip
    rows = dataset.rows("train")
    contents = np.unique(np.stack([found.groups[rows], exact[rows]], axis=1), axis=0)[:, 0]
    near = contents[1:][contents[1:] == contents[:-1]]  # of more than one content
    if kept := int(np.isin(found.groups[rows], near).sum()):
        found.counts["kept on one side"] = kept
        shown = [pair for pair in pairs if np.isin(found.groups[list(pair)], near).all()]
        found.notices.append(
            f"{counted(kept, 'picture')} that nearly copy others were kept on one side "
            f"({_named(dataset, shown)})."
        )
    if torn:
        found.notices.append(
            f"All training pictures of {first_few(map(repr, torn))} nearly copy one another, so "
            "they were dealt out as if they did not, and the figures of held-out ones are too good."
        )


def _tell_leaks(
    found: NearCopies, dataset: Dataset, leaking: NDArray[np.bool_],
    pairs: Sequence[tuple[int, int]],
) -> None:  # fmt: skip
    for number, split in enumerate(SPLITS[1:], 1):
        mine = leaking & (dataset.splits == number)
        if not (count := int(mine.sum())):
            continue
        found.counts[split] = count
        shown = [pair for pair in pairs if mine[list(pair)].any()]
        copy = "copies a training picture" if count == 1 else "copy training pictures"
        found.notices.append(
            f"{counted(count, f'{split} picture')} nearly {copy} ({_named(dataset, shown)}), so "
            f"the {split} figures are too good; `silverprint audit` shows them."
        )


def _named(dataset: Dataset, pairs: Sequence[tuple[int, int]]) -> str:
    names = (f"{dataset.names[one]} ~ {dataset.names[other]}" for one, other in pairs)
    return first_few(names, EXAMPLES)
