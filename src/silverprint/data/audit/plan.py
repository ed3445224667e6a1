"""A plan of repairs: a CSV that a person edits, and the new dataset that comes of it.

    file,finding,action,new_label,score,detail
    shirt/17.jpg,label,relabel,t-shirt,0.97,labelled shirt; looks like t-shirt
    train/cat/3.jpg,leak,drop,,1.0,the same bytes as test/cat/9.jpg

Pictures are never touched: the new dataset is a CSV of path, label and split, which every verb
reads. A plan or CSV that is there already is never overwritten.
"""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from silverprint.data.audit.findings import ACTIONS, Finding, Proposal
from silverprint.data.audit.unlabelled import NO_CLASS
from silverprint.data.files import opened
from silverprint.data.manifest_rows import Columns
from silverprint.data.manifests import read_manifest_file
from silverprint.data.table import SPLITS, Dataset, Source
from silverprint.errors import ConfigError, DataError, closest

COLUMNS = ("file", "finding", "action", "new_label", "score", "detail")
SEPARATOR = "|"


def check_new(path: Path, option: str) -> None:
    """Refuse a path that is taken: it may hold a person's edits, or the data itself.

    Raises:
        ConfigError: something is there, or its folder is not.
    """
    if os.path.lexists(path):
        raise ConfigError(
            f"{option} {path}: it exists already and is not overwritten, for it may hold your "
            "edits. Name a new file, or move the old one away."
        )
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{option} {path}: the folder {path.absolute().parent} does not exist.")


def check_files(dataset: Dataset) -> None:
    """Refuse a dataset whose pictures are not files, which no CSV of paths can name.

    Raises:
        DataError: a picture lies inside a file of many, or two have one name.
    """
    for name, source in zip(dataset.names, dataset.sources, strict=True):
        if isinstance(source, np.ndarray):
            raise DataError(
                f"{dataset.name}: {name} lies inside a file of many pictures, and a plan is about "
                "picture files. Leave --fix and --apply out."
            )
    if len(set(dataset.names)) < len(dataset):
        raise DataError(f"{dataset.name}: two pictures have one name, so a plan cannot tell them.")


def write_plan(findings: Sequence[Finding], names: Sequence[str], path: Path) -> int:
    """Write a line for each picture of each finding; return how many.

    Raises:
        ConfigError: the file exists, or cannot be written.
    """
    check_new(path, "--fix")
    lines = []
    for finding in findings:
        for row in finding.rows:
            proposal = finding.proposals.get(row, Proposal())
            lines.append(
                (names[row], finding.kind, proposal.action, proposal.label,
                 f"{finding.score:.4g}", finding.detail)
            )  # fmt: skip
    _write(path, COLUMNS, lines, "--fix")
    return len(lines)


def read_plan(path: Path, dataset: Dataset) -> dict[int, Proposal]:
    """Return what a plan says of each row that it does not keep.

    A picture may have several lines: one that drops it wins over all others, one that relabels it
    over those that keep it.

    Raises:
        DataError: the plan is no such CSV, names an unknown picture, action or class, or gives a
            picture two labels. The message names the line.
    """
    rows = {name: row for row, name in enumerate(dataset.names)}
    found: dict[int, Proposal] = {}
    for place, line in _plan_lines(path):
        row = rows.get(line["file"])
        if row is None:
            raise DataError(
                f"{place}: {line['file']!r} is not among the {len(dataset):,} pictures of "
                f"{dataset.name}.{closest(line['file'], dataset.names)}"
            )
        proposal = _proposal(place, line, dataset)
        before = found.get(row, Proposal())
        if before.action == proposal.action == "relabel" and before.label != proposal.label:
            raise DataError(
                f"{place}: {line['file']} becomes {proposal.label!r} here but {before.label!r} in "
                "an earlier line. Keep one of them."
            )
        found[row] = max(before, proposal, key=lambda one: ACTIONS.index(one.action))
    return {row: proposal for row, proposal in found.items() if proposal.action != "keep"}


def _plan_lines(path: Path) -> list[tuple[str, dict[str, str]]]:
    with opened(path) as file:
        content = file.read()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: a plan is UTF-8. Save it again as 'CSV UTF-8'.") from None
    delimiter = ";" if ";" in text.split("\n", 1)[0] else ","  # some spreadsheets save it so
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=delimiter, restkey="more", restval=""
    )
    lacking = [name for name in COLUMNS[:4] if name not in (reader.fieldnames or ())]
    if lacking:
        raise DataError(
            f"{path}: a plan has the columns {', '.join(COLUMNS[:4])}, but {', '.join(lacking)} "
            "is missing. `silverprint audit PHOTOS --fix PLAN.csv` writes one."
        )
    try:
        lines = [(f"{path}, line {reader.line_num}", line) for line in reader]
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: not readable as CSV ({error})."
        ) from error
    return lines


def _proposal(place: str, line: Mapping[str, str], dataset: Dataset) -> Proposal:
    action, label = line["action"].strip().lower(), line["new_label"].strip()
    if action not in ACTIONS:
        raise DataError(
            f"{place}: an action is {', '.join(ACTIONS[:-1])} or {ACTIONS[-1]}, not "
            f"{line['action']!r}.{closest(action, ACTIONS)}"
        )
    if action != "relabel":
        return Proposal("drop") if action == "drop" else Proposal()
    parts = label.split(SEPARATOR) if dataset.task == "multi-label" and label else [label]
    for part in parts:
        if part not in dataset.classes and not (dataset.task == "multi-label" and not label):
            raise DataError(
                f"{place}: relabel needs a class of {dataset.name} in new_label, not {part!r}."
                f"{closest(part, dataset.classes)}"
            )
    return Proposal("relabel", label)


def apply_plan(dataset: Dataset, plan: Mapping[int, Proposal], out: Path) -> int:
    """Write the repaired dataset as a CSV of path, label and split; return its pictures.

    Paths are relative to the CSV where the pictures lie below its folder, else absolute. What was
    written is read again and compared before it gets its name.

    Raises:
        ConfigError: the file exists, or cannot be written.
        DataError: too little is left for a dataset, or a name or label cannot stand in a CSV.
    """
    check_new(out, "--out")
    home = out.absolute().parent
    kept = [row for row in range(len(dataset)) if plan.get(row, Proposal()).action != "drop"]
    labels = {row: plan[row].label if row in plan else label_of(dataset, row) for row in kept}
    lines = [
        (_path(dataset.sources[row], home), labels[row], SPLITS[dataset.splits[row]])
        for row in kept
    ]  # fmt: skip
    part = home / f".{os.getpid()}-{out.name}"
    try:
        _write(part, ("path", "label", "split"), lines, "--out")
        _check_same(part, out, dataset, kept, labels)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return len(kept)


def label_of(dataset: Dataset, row: int) -> str:
    """Return a picture's label; several are joined by "|"."""
    if dataset.task == "single-label":
        return dataset.classes[int(dataset.labels[row])]
    return SEPARATOR.join(dataset.classes[i] for i in np.flatnonzero(dataset.labels[row]))


def _path(source: Source, home: Path) -> str:
    if isinstance(source, str):  # an address
        return source
    assert isinstance(source, Path)
    return source.relative_to(home).as_posix() if source.is_relative_to(home) else str(source)


def _check_same(
    part: Path, out: Path, dataset: Dataset, kept: Sequence[int], labels: Mapping[int, str]
) -> None:
    if dataset.classes == (NO_CLASS,):
        return  # it is for a person or another program: nothing here trains without labels
    separator = SEPARATOR if dataset.task == "multi-label" else ""
    try:
        again = read_manifest_file(part, "train", Columns(None, None, separator))
    except DataError as error:
        raise DataError(str(error).replace(str(part), str(out))) from None
    wanted = {str(dataset.sources[row]): labels[row] for row in kept}
    for row, source in enumerate(again.sources):
        if wanted.get(str(source)) != label_of(again, row):
            raise DataError(
                f"{out}: {source} has a name or a label that a CSV cannot hold unchanged; rename "
                "it. Nothing was written."
            )


def _write(path: Path, header: Sequence[str], lines: Sequence[Sequence[str]], option: str) -> None:
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(lines)
    except UnicodeEncodeError:
        path.unlink(missing_ok=True)
        raise DataError(
            "a picture's name is not valid text, so no CSV can hold it; rename the file."
        ) from None
    except OSError as error:
        raise ConfigError(f"{option} {path}: cannot be written ({error.strerror}).") from error
