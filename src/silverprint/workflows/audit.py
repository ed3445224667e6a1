"""`audit`: look once, then say what is wrong with files, copies, labels and classes.

Everything after the look is arithmetic on what was seen: a few seconds for some thousand pictures.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from silverprint.backbones.cache import FeatureCache, trim
from silverprint.backbones.look import Look
from silverprint.data.audit.copies import Copies, find_copies
from silverprint.data.audit.duplicates import duplicate_findings
from silverprint.data.audit.facts import DIMENSION, VERSION, Facts, measure
from silverprint.data.audit.findings import Action, Finding, Proposal, in_order
from silverprint.data.audit.labels import Suspect, suspect_labels, suspect_tags
from silverprint.data.audit.plan import label_of
from silverprint.data.audit.quality import imbalances, poor_pictures, unlike_others
from silverprint.data.conventions import first_few
from silverprint.data.splits import folds
from silverprint.data.table import Dataset, Source
from silverprint.errors import DataError, ImageError, RefusedError
from silverprint.models.stacked_heads import HeadConfig
from silverprint.recipes.heads import FitSettings, HeadData, Link, cross_validate_heads
from silverprint.runtime.images import read_file
from silverprint.runtime.paths import cache_folder
from silverprint.training.metrics import sigmoid, softmax
from silverprint.training.progress import Progress
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.shortcuts import find_shortcuts
from silverprint.workflows.train import look_once

FOLDS = 5
WEIGHT_DECAY = 0.3  # of the exact linear head that judges labels
# Probabilities of the given label and of another from which the plan proposes the other.
UNBELIEVABLE, LIKELY = 0.02, 0.5
NEAREST = 10  # pictures that tell how far a picture lies from all others
FAR = 2.2  # robust deviations; of 3,781 photos 2 lie farther, of 30 dogs among them all


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        dataset: all pictures, as they were read.
        findings: the gravest kind first; their rows are rows of the dataset.
        looked: how many pictures went through the network now.
        notices: what the user should know.
    """

    dataset: Dataset
    findings: list[Finding]
    looked: int
    notices: list[str]

    def __repr__(self) -> str:
        kinds = Counter(finding.kind for finding in self.findings)
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "nothing"
        return f"<Audit of {len(self.dataset):,} pictures: {told}>"


def audit(dataset: Dataset, settings: TrainSettings, progress: Progress) -> Audit:
    """Look at every picture once and list what is, or may be, wrong.

    Args:
        dataset: pictures with labels, or all in one class where there are none.
        settings: the engine, the seed and the cache's limit; as for `train`.
        progress: shows stages, and keeps their times.

    Raises:
        SilverprintError: no picture can be looked at.
    """
    seen, _, _ = look_once(dataset, settings, progress)
    measured, facts, refused = measure_all(dataset, seen, progress)
    rows = seen.rows[measured]
    if not len(rows):
        file, reason = refused[0]
        raise DataError(
            f"{dataset.name}: none of {len(dataset)} pictures can be read; the first: "
            f"{file}: {reason}."
        )
    pictures, notices, judged = dataset.take(rows), list(seen.notices), None
    with progress.stage("compare"):
        features = seen.features(measured)
        digests = [seen.digests[position] for position in measured]
        copies = find_copies(digests, features, facts)
        found = [*outliers(copies), *poor(pictures, facts)]
    if len(dataset.classes) > 1:
        with progress.stage("judge"):
            judged = hold_out(pictures, features, copies.groups, settings.seed)
            notices += judged.notices
            found += [*wrong_labels(pictures, judged), *unequal(pictures)]
            found += shortcuts(pictures, facts, judged, settings.seed)
    found += duplicate_findings(pictures, copies, judged.prefer if judged else None)
    found = [_in_rows_of(rows, finding) for finding in found]
    found += unreadable(dataset, refused)
    trim(cache_folder(), settings.cache_limit)
    return Audit(dataset, in_order(found), seen.looked, notices)


# ---- Looking and measuring ----


def measure_all(
    dataset: Dataset, seen: Look, progress: Progress
) -> tuple[NDArray[np.int64], Facts, list[tuple[str, str]]]:
    """Measure what was seen, one thread a core; facts that are known are not measured again.

    Returns:
        Which of `seen.rows` were measured, their facts, and name and reason of every picture of
        the dataset that cannot be read.
    """
    cache = FeatureCache(cache_folder(), "facts", {"facts": VERSION}, DIMENSION)
    unknown = {digest: i for i, digest in enumerate(seen.digests) if digest not in cache}
    reasons: dict[bytes, str] = {}

    def work(position: int) -> NDArray[np.float32] | str:
        row = int(seen.rows[position])
        try:
            return _measure(dataset.sources[row], dataset.names[row], seen.digests[position])
        except ImageError as error:
            return error.reason

    text = f"measuring {len(unknown):,} pictures"
    with (
        progress.stage("measure", len(unknown) or None, text) as advance,
        ThreadPoolExecutor(max(2, os.cpu_count() or 1), "measure") as pool,
    ):
        for digest, found in zip(unknown, pool.map(work, unknown.values()), strict=True):
            if isinstance(found, str):
                reasons[digest] = found
            else:
                cache.add([digest], [found])
            advance(1)
        measured = [i for i, digest in enumerate(seen.digests) if digest not in reasons]
        facts = Facts(cache.gather([seen.digests[i] for i in measured]))
    refused = list(seen.refused)
    for row, digest in zip(seen.rows.tolist(), seen.digests, strict=True):
        if digest in reasons:
            refused.append((dataset.names[row], reasons[digest]))
    return np.array(measured, dtype=np.int64), facts, refused


def _measure(source: Source, name: str, digest: bytes) -> NDArray[np.float32]:
    if isinstance(source, np.ndarray):
        return measure(source, name)
    try:
        content = read_file(source)
    except RefusedError as refused:
        raise ImageError(name, str(refused)) from None
    if hashlib.sha256(content).digest() != digest:
        raise ImageError(name, "changed while it was looked at; run again")
    return measure(content, name)


# ---- Judging labels ----


@dataclass(frozen=True)
class Judged:
    """What models say of pictures that they had not seen.

    Attributes:
        classes: their names.
        probabilities: (n, classes).
        fold_of: (n,) the fold in which each picture was held out.
        known: (classes,) whether there is enough of a class to be held out and yet known.
        notices: what the user should know.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    fold_of: NDArray[np.int64]
    known: NDArray[np.bool_]
    notices: list[str]

    def prefer(self, rows: Sequence[int], labels: Sequence[str]) -> str | None:
        """Return the likeliest of several labels of one picture; none where one is not a class."""
        if not set(labels) <= set(self.classes):
            return None
        means = self.probabilities[list(rows)].mean(axis=0)
        return max(labels, key=lambda label: means[self.classes.index(label)])


def hold_out(
    pictures: Dataset, features: NDArray[np.float32], groups: NDArray[np.int64], seed: int
) -> Judged:
    """Cross-validate an exact linear head; copies of a picture are held out together."""
    several = pictures.task == "multi-label"
    member = pictures.labels if several else np.eye(len(pictures.classes))[pictures.labels]
    in_groups = np.array([len(np.unique(groups[column > 0])) for column in member.T])
    known = in_groups >= FOLDS
    notices = []
    if not known.all():
        few = first_few(np.array(pictures.classes)[~known].tolist())
        notices.append(f"Labels of {few} are not judged: fewer than {FOLDS} different pictures.")
    count = min(FOLDS, len(np.unique(groups)))
    probabilities = np.full(member.shape, 1 / len(known), dtype=np.float32)
    if count < 2 or known.sum() < 2 - several:
        return Judged(
            pictures.classes, probabilities, np.zeros_like(groups), known & False, notices
        )
    fold_of = folds(pictures.labels, count, seed=seed, groups=groups)
    settings = FitSettings(class_weights="none", seed=seed)
    link: Link = "sigmoid" if several else "softmax"
    data = HeadData.of(features, pictures.labels, len(known), link, settings)
    head = HeadConfig(weight_decay=WEIGHT_DECAY)
    (fitted,) = cross_validate_heads([head], data, fold_of, settings)
    assert fitted.held_out is not None
    probabilities = (sigmoid if several else softmax)(fitted.held_out)
    return Judged(pictures.classes, probabilities, fold_of, known, notices)


# ---- Findings, about rows of the pictures that can be read ----


def outliers(copies: Copies) -> Iterator[Finding]:
    """Yield the pictures that the network sees as unlike all others."""
    for content, far in unlike_others(copies.neighbours.cosines, NEAREST, FAR):
        detail = f"unlike all other pictures: {far:.1f} robust deviations farther than usual"
        yield Finding("outlier", (int(copies.first[content]),), detail, far)


def poor(pictures: Dataset, facts: Facts) -> Iterator[Finding]:
    """Yield tiny, dark, blank, blurred, odd-shaped and misnamed pictures."""
    for row, detail, gravity in poor_pictures(facts, pictures.names):
        yield Finding("quality", (row,), detail, gravity)


def wrong_labels(pictures: Dataset, judged: Judged) -> Iterator[Finding]:
    """Yield the labels that are probably wrong, each with the class that it seems to be."""
    if pictures.task == "multi-label":
        yield from _wrong_tags(pictures, judged)
        return
    labels = pictures.labels.astype(np.int64)
    for suspect in suspect_labels(judged.probabilities, labels):
        if not judged.known[[suspect.given, suspect.likely]].all():
            continue
        given, likely = pictures.classes[suspect.given], pictures.classes[suspect.likely]
        detail = (
            f"labelled {given} ({suspect.believed:.0%}); looks like {likely} ({suspect.rival:.0%})"
        )
        proposal = {suspect.row: Proposal(_repair(suspect), likely)}
        yield Finding("label", (suspect.row,), detail, 1 - suspect.believed, proposal)


def _repair(suspect: Suspect) -> Action:
    sure = suspect.believed < UNBELIEVABLE and suspect.rival >= LIKELY
    return "relabel" if sure else "keep"


def _wrong_tags(pictures: Dataset, judged: Judged) -> Iterator[Finding]:
    tags = pictures.labels.astype(np.uint8)
    by_row: dict[int, list[Suspect]] = {}
    for suspect in suspect_tags(judged.probabilities, tags):
        if judged.known[suspect.given]:
            by_row.setdefault(suspect.row, []).append(suspect)
    for row, suspects in by_row.items():
        changed = tags[row].copy()
        changed[[suspect.given for suspect in suspects]] ^= 1
        seems = [
            f"{pictures.classes[one.given]} seems {'missing' if changed[one.given] else 'wrong'}"
            for one in suspects
        ]
        label = "|".join(np.array(pictures.classes)[changed > 0])
        detail = f"labelled {label_of(pictures, row) or 'nothing'}; {', '.join(seems)}"
        proposal = {row: Proposal(_repair(suspects[0]), label)}
        yield Finding("label", (row,), detail, 1 - suspects[0].believed, proposal)


def unequal(pictures: Dataset) -> Iterator[Finding]:
    """Yield what is wrong with the sizes of the classes that train."""
    counts = pictures.class_counts("train" if pictures.has("train") else None)
    for detail, ratio in imbalances(counts):
        yield Finding("imbalance", (), detail, ratio)


def shortcuts(pictures: Dataset, facts: Facts, judged: Judged, seed: int) -> Iterator[Finding]:
    """Yield the metadata that tell classes apart; of pictures with several labels, none."""
    if pictures.task == "single-label" and judged.known.any():
        for detail, score in find_shortcuts(pictures, facts, judged.fold_of, seed):
            yield Finding("shortcut", (), detail, score)


def unreadable(dataset: Dataset, refused: list[tuple[str, str]]) -> Iterator[Finding]:
    """Yield the files that cannot be read; their rows are rows of the whole dataset."""
    rows = {name: row for row, name in enumerate(dataset.names)}
    for name, reason in refused:
        row = rows[name]
        yield Finding("unreadable", (row,), reason, 1.0, {row: Proposal("drop")})


def _in_rows_of(rows: NDArray[np.int64], finding: Finding) -> Finding:
    """Return a finding about readable pictures as one about rows of the whole dataset."""
    return replace(
        finding,
        rows=tuple(int(rows[row]) for row in finding.rows),
        proposals={int(rows[row]): proposal for row, proposal in finding.proposals.items()},
    )
