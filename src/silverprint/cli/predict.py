"""`silverprint predict`."""

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from silverprint.cli.common import fail, percent, print_json, table
from silverprint.errors import ConfigError

if TYPE_CHECKING:
    from silverprint.runtime.predictor import Prediction


def predict(
    bundle: Annotated[str, typer.Argument(help="A bundle's folder, imagenet, imagenet:BACKBONE, or a server's http://HOST:PORT.")],
    files: Annotated[list[str], typer.Argument(help="Pictures, addresses, folders, CSV, JSONL or Parquet files of paths, or - for one on stdin.")],
    top: Annotated[int, typer.Option(min=1, help="How many classes to name.")] = 3,
    accept: Annotated[float | None, typer.Option(help="Share of known pictures to answer; the rest is unknown. 1 answers all.", show_default="the bundle's, 0.95")] = None,
    coverage: Annotated[float | None, typer.Option(help="Add to each answer the set of labels that holds the truth for this share of pictures, such as 0.95.", show_default=False)] = None,
    group: Annotated[list[str] | None, typer.Option(help="NAME=CLASSES: answer in groups, as in dog=151-268.")] = None,
    on: Annotated[str | None, typer.Option(help="A Ray cluster that answers: ray (this machine), auto, HOST:PORT or ray://HOST:10001.", show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON list to stdout.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV to stdout.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write CSV to this file instead; a stopped run is gone on with.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the answers, and errors.")] = False,
) -> None:  # fmt: skip
    """Say what is in pictures.

    silverprint predict bundle photo.jpg more/

    silverprint predict imagenet photo.jpg --group dog=151-268 --group cat=281-285

    silverprint predict http://127.0.0.1:8000?model=clothing photo.jpg

    silverprint predict bundle photos.csv --out answers.csv --on ray://head:10001
    """
    from silverprint.workflows.predict import list_pictures, open_model, predict_pictures

    asked: dict[str, Any] = {
        "top": top,
        "groups": group or (),
        "accept": accept,
        "coverage": coverage,
    }
    if out is not None:
        if json or as_csv:
            raise ConfigError("--out is for the answers alone; leave out --json and --csv.")
        count, refused = _write(out, bundle, files, quiet, on=on, **asked)
    else:
        model = open_model(bundle, quiet=quiet)
        answers = predict_pictures(model, list_pictures(files), on=on, **asked)
        if as_csv and not json:  # as they come: there may be millions
            count, refused = _print_csv(answers, coverage is not None)
        else:
            known = list(answers)
            count, refused = len(known), sum(answer.error is not None for answer in known)
            if json:
                print_json([answer.to_json() for answer in known])
            else:
                _print(known)
    if refused:
        fail(f"{refused} of {count} pictures could not be read")
        raise typer.Exit(2)


def _print(answers: "Sequence[Prediction]") -> None:
    sets = ("set",) if _with_sets(answers) else ()
    rows = []
    for answer in answers:
        if answer.error is not None:
            rows.append((answer.file, "", "", *("" for _ in sets), answer.error))
            continue
        top = ", ".join(f"{label} {percent(probability)}" for label, probability in answer.top)
        held = (", ".join(answer.labels or ()) or "none",) if sets else ()
        rows.append((answer.file, answer.label, percent(answer.probability), *held, top))
    table(("file", "answer", "probability", *sets, "top"), rows)


def _print_csv(answers: "Iterable[Prediction]", with_sets: bool) -> tuple[int, int]:
    """Print each answer when it is there; return how many there were, and how many refused."""
    from silverprint.workflows.answers import cells, columns

    writer = csv.writer(sys.stdout, lineterminator="\n")
    count = refused = 0
    for answer in answers:
        if not count:  # not before: an error comes first, and alone
            writer.writerow(columns(with_sets))
        count, refused = count + 1, refused + (answer.error is not None)
        writer.writerow(cells(answer, with_sets))
    return count, refused


def _write(out: Path, bundle: str, files: list[str], quiet: bool, **asked: Any) -> tuple[int, int]:
    """Write the answers to a file; return how many there are, and how many refused."""
    from silverprint.training.progress import Progress
    from silverprint.workflows.answers import write_answers
    from silverprint.workflows.predict import open_model

    progress = Progress(quiet)
    made = write_answers(open_model(bundle, quiet=quiet), files, out, progress, **asked)
    if not quiet:
        resumed = f", {made.resumed:,} of them by a run before" if made.resumed else ""
        typer.echo(f"{out}: {made.count:,} answers{resumed}, {progress.seconds['predict']:,.1f} s")
    return made.count, made.refused


def _with_sets(answers: "Sequence[Prediction]") -> bool:
    return any(answer.labels is not None for answer in answers)
