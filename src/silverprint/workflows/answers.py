"""Answers for many pictures as a CSV file, where a stopped run goes on.

While it is written, the file is called answers.csv.unfinished-KEY, the key being of everything that
decides the answers: the same command goes on after the last whole row.
"""

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from silverprint.errors import ConfigError
from silverprint.runtime.bundle import MANIFEST, Bundle
from silverprint.runtime.client import RemoteModel
from silverprint.runtime.disk import writing_to
from silverprint.runtime.predictor import Prediction
from silverprint.training.progress import Progress
from silverprint.workflows.predict import list_pictures, predict_pictures

FLUSHED = 64  # answers after which they are on the disk
ANY = "surrogateescape"  # file names may hold bytes that are no UTF-8


@dataclass(frozen=True)
class Answers:
    """What was written.

    Attributes:
        path: the file.
        count: how many answers it holds.
        refused: how many of them are pictures that could not be read.
        resumed: how many an earlier, stopped run had written.
    """

    path: Path
    count: int
    refused: int
    resumed: int


def write_answers(
    bundle: Bundle | RemoteModel, files: Sequence[str], out: Path, progress: Progress,
    *, on: str | None = None, **asked: Any,
) -> Answers:  # fmt: skip
    """Write an answer for each picture to a CSV file, or go on where a stopped run was.

    Args:
        bundle: the model, here or at a server.
        files: as for `list_pictures`, except "-".
        out: the file; one that is there is replaced once the new one is whole.
        progress: shows how many answers there are.
        on: a Ray cluster that answers.
        **asked: top, groups, accept and coverage, as for `predict_pictures`.

    Raises:
        ConfigError: the file cannot be written, or standard input is asked for.
        SilverprintError: as for `list_pictures` and `predict_pictures`.
    """
    if "-" in files:
        raise ConfigError("--out is for files and folders, not for a picture on standard input.")
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise ConfigError(f"{out} cannot be written: name a file in a folder that can be.")
    names = list_pictures(files)
    with_sets = asked.get("coverage") is not None
    unfinished = out.with_name(f"{out.name}.unfinished-{_key(bundle, names, asked)}")
    done = _whole_rows(unfinished, columns(with_sets))
    rest = names[len(done) :]
    answers: Iterable[Prediction] = ()
    if rest:
        found = predict_pictures(bundle, rest, on=on, **asked)
        answers = chain([next(found)], found)  # what is wrong is said before anything is written
    refused = sum(bool(row[-1]) for row in done)
    with (
        writing_to(f"--out {out}"),
        unfinished.open("w", newline="", encoding="utf-8", errors=ANY) as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([columns(with_sets), *done])
        text = f"answering {len(names):,} pictures"
        with progress.stage("predict", len(names), text) as advance:
            advance(len(done))
            for number, answer in enumerate(answers, 1):
                writer.writerow(cells(answer, with_sets))
                refused += answer.error is not None
                advance(1)
                if number % FLUSHED == 0:
                    file.flush()
    unfinished.replace(out)
    return Answers(out, len(names), refused, len(done))


def columns(with_sets: bool) -> tuple[str, ...]:
    """Return the header of a CSV of answers."""
    return ("file", "label", "probability", *(("labels",) if with_sets else ()), "error")


def cells(answer: Prediction, with_sets: bool) -> tuple[str, ...]:
    """Return an answer's row under `columns`."""
    shown = "" if answer.error is not None else f"{answer.probability:.6f}"
    held = ("|".join(answer.labels or ()),) if with_sets else ()
    return (answer.file, answer.label, shown, *held, answer.error or "")


def _key(bundle: Bundle | RemoteModel, names: Sequence[str], asked: dict[str, Any]) -> str:
    """Return what tells apart runs whose answers may differ."""
    if isinstance(bundle, Bundle):
        model = hashlib.sha256((bundle.path / MANIFEST).read_bytes()).hexdigest()
    else:
        model = f"{bundle.address} {bundle.name}"
    whole = json.dumps([model, list(names), asked], default=list)
    return hashlib.sha256(whole.encode("utf-8", ANY)).hexdigest()[:12]


def _whole_rows(path: Path, header: Sequence[str]) -> list[list[str]]:
    """Return the rows of an unfinished file without its header; what was cut off is left out."""
    try:
        with path.open(newline="", encoding="utf-8", errors=ANY) as file:
            text = file.read()
    except FileNotFoundError:
        return []
    rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines(keepends=True)))
    whole = next((place for place, row in enumerate(rows) if len(row) != len(header)), len(rows))
    return rows[1:whole]
