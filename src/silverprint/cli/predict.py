"""`silverprint predict`."""

import csv
import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from silverprint.cli.common import fail, percent, print_json, table

if TYPE_CHECKING:
    from silverprint.runtime.predictor import Prediction


def predict(
    bundle: Annotated[str, typer.Argument(help="A bundle's folder, imagenet, imagenet:BACKBONE, or a server's http://HOST:PORT.")],
    files: Annotated[list[str], typer.Argument(help="Pictures, folders of them, or - for one on stdin.")],
    top: Annotated[int, typer.Option(min=1, help="How many classes to name.")] = 3,
    accept: Annotated[float | None, typer.Option(help="Share of known pictures to answer; the rest is unknown. 1 answers all.", show_default="the bundle's, 0.95")] = None,
    coverage: Annotated[float | None, typer.Option(help="Add to each answer the set of labels that holds the truth for this share of pictures, such as 0.95.", show_default=False)] = None,
    group: Annotated[list[str] | None, typer.Option(help="NAME=CLASSES: answer in groups, as in dog=151-268.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON list to stdout.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV to stdout.")] = False,
) -> None:  # fmt: skip
    """Say what is in pictures.

    silverprint predict bundle photo.jpg more/

    silverprint predict imagenet photo.jpg --group dog=151-268 --group cat=281-285

    silverprint predict http://127.0.0.1:8000?model=clothing photo.jpg
    """
    from silverprint.workflows.predict import open_model, predict_files

    answers = list(
        predict_files(
            open_model(bundle), files, top=top, groups=group or (), accept=accept,
            coverage=coverage,
        )
    )  # fmt: skip
    if json:
        print_json([answer.to_json() for answer in answers])
    elif as_csv:
        sys.stdout.write(_as_csv(answers))
    else:
        _print(answers)
    refused = [answer for answer in answers if answer.error is not None]
    if refused and not json:
        fail(f"{len(refused)} of {len(answers)} pictures could not be read")
    if len(refused) == len(answers):
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


def _as_csv(answers: "Sequence[Prediction]") -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    sets = ("labels",) if _with_sets(answers) else ()
    writer.writerow(("file", "label", "probability", *sets, "error"))
    for answer in answers:
        shown = "" if answer.error is not None else f"{answer.probability:.6f}"
        held = ("|".join(answer.labels or ()),) if sets else ()
        writer.writerow((answer.file, answer.label, shown, *held, answer.error or ""))
    return text.getvalue()


def _with_sets(answers: "Sequence[Prediction]") -> bool:
    return any(answer.labels is not None for answer in answers)
