"""What copies mean for a dataset: wasted pictures, leaks between splits, contradicting labels."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from silverprint.data.audit.copies import Copies
from silverprint.data.audit.findings import Finding, Proposal
from silverprint.data.audit.plan import label_of
from silverprint.data.conventions import first_few
from silverprint.data.table import SPLITS, Dataset

# Rows that show one picture and the labels they have, to the label that is right; None: unknown.
Prefer = Callable[[Sequence[int], Sequence[str]], str | None]


@dataclass(frozen=True)
class Link:
    """Two pictures that are copies; `match` is 1 for the same bytes."""

    one: int
    other: int
    match: float
    exact: bool


def duplicate_findings(
    dataset: Dataset, copies: Copies, prefer: Prefer | None = None
) -> list[Finding]:
    """Return exact and near duplicates, leaks and contradictions.

    A group of copies is found once as duplicates; where it crosses splits or labels, the pictures
    that do so are found again, as a leak or a contradiction.

    Args:
        dataset: n pictures.
        copies: theirs.
        prefer: which of several labels of one picture is right, where anything can tell.
    """
    links = _links(dataset, copies)
    return [
        *_exact(dataset, copies),
        *_near(copies),
        *_leaks(dataset, links, copies),
        *_contradictions(dataset, links, copies, prefer),
    ]


def _links(dataset: Dataset, copies: Copies) -> list[Link]:
    """Return every pair of near copies; exact ones are each linked with the one to keep."""
    members: dict[int, list[int]] = defaultdict(list)
    for row, content in enumerate(copies.content.tolist()):
        members[content].append(row)
    links = []
    for rows in members.values():
        kept = _kept(dataset, rows)
        links += [Link(kept, row, 1.0, True) for row in rows if row != kept]
    for (one, other), match in zip(copies.pairs.tolist(), copies.matches.tolist(), strict=True):
        links += [Link(a, b, match, False) for a in members[one] for b in members[other]]
    return links


def _kept(dataset: Dataset, rows: list[int]) -> int:
    """Return the one of several equals to keep: one that measures rather than one that teaches."""
    return min(rows, key=lambda row: (-int(dataset.splits[row]), row))


def _exact(dataset: Dataset, copies: Copies) -> Iterator[Finding]:
    for content in np.flatnonzero(np.bincount(copies.content) > 1):
        rows = np.flatnonzero(copies.content == content).tolist()
        kept = _kept(dataset, rows)
        proposals = {row: Proposal("drop") for row in rows if row != kept}
        yield Finding(
            "exact_duplicate", tuple(rows), f"{len(rows)} files with the same bytes", 1.0, proposals
        )


def _near(copies: Copies) -> Iterator[Finding]:
    parts = copies.groups[copies.first]
    weakest = np.full(len(parts), np.inf)
    np.minimum.at(weakest, parts[copies.pairs[:, 0]], copies.matches)
    for part in np.flatnonzero(np.bincount(parts) > 1):
        rows = np.sort(copies.first[parts == part]).tolist()
        detail = f"{len(rows)} pictures that are nearly the same"
        yield Finding("near_duplicate", tuple(rows), detail, float(weakest[part]))


def _leaks(dataset: Dataset, links: list[Link], copies: Copies) -> Iterator[Finding]:
    splits = dataset.splits.tolist()
    crossing = [link for link in links if splits[link.one] != splits[link.other]]
    for group in _by_group(crossing, copies):
        rows = _rows(group)
        behind = {min(link.one, link.other, key=splits.__getitem__) for link in group}
        names = [SPLITS[split] for split in sorted({splits[row] for row in rows})]
        detail = (
            f"{_words(group)} in {' and '.join(names)}: what is measured on {names[-1]} is too good"
        )
        proposals = {row: Proposal("drop") for row in behind}
        yield Finding("leak", rows, detail, _best(group), proposals)


def _contradictions(
    dataset: Dataset, links: list[Link], copies: Copies, prefer: Prefer | None
) -> Iterator[Finding]:
    labels = [label_of(dataset, row) for row in range(len(dataset))]
    crossing = [link for link in links if labels[link.one] != labels[link.other]]
    for group in _by_group(crossing, copies):
        rows = _rows(group)
        held = sorted({labels[row] for row in rows})
        right = prefer(rows, held) if prefer else None
        proposals = {
            row: Proposal("relabel", right)
            for row in rows
            if right is not None and labels[row] != right
        }
        detail = f"{_words(group)} labelled {first_few(held)}"
        yield Finding("contradiction", rows, detail, _best(group), proposals)


def _by_group(links: list[Link], copies: Copies) -> Iterable[list[Link]]:
    by_group: dict[int, list[Link]] = defaultdict(list)
    for link in links:
        by_group[int(copies.groups[link.one])].append(link)
    return by_group.values()


def _rows(links: list[Link]) -> tuple[int, ...]:
    return tuple(sorted({row for link in links for row in (link.one, link.other)}))


def _best(links: list[Link]) -> float:
    return max(link.match for link in links)


def _words(links: list[Link]) -> str:
    exact = all(link.exact for link in links)
    return "the same picture is" if exact else "nearly the same picture is"
