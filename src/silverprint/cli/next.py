"""`silverprint next`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silverprint.cli.common import need_extra, percent, print_json, table

if TYPE_CHECKING:
    from silverprint.workflows.next import Picks

NAMED = 20  # pictures that cannot be used, of which each gets a line


def next_(
    bundle: Annotated[str, typer.Argument(help="A bundle's folder, imagenet, or imagenet:BACKBONE.")],
    folder: Annotated[Path, typer.Argument(metavar="PICTURES", help="Folder of pictures without labels; folders in it mean nothing.")],
    n: Annotated[int, typer.Option("--n", "-n", help="How many pictures to pick.")] = 50,
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV that the labels go to. What it holds already stays, and is not picked again.")] = Path("labels.csv"),
    with_: Annotated[str | None, typer.Option("--with", metavar="PHOTOS", help="What the bundle was trained on, as it was given to train: the CSV then holds that too.", show_default=False)] = None,
    port: Annotated[int, typer.Option(help="Of the page, for this computer only; 0 takes any that is free.")] = 8001,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Serve a page to label them on, or only list them.")] = True,
    seed: Annotated[int, typer.Option(help="Of the choice.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout, without a page.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the pictures, or the page's address, and errors.")] = False,
) -> None:  # fmt: skip
    """Pick the pictures most worth a label, and label them by keyboard.

    silverprint next bundle new-photos/ --n 50

    silverprint next bundle new-photos/ --with photos/ --out all.csv
    """
    from contextlib import nullcontext

    from silverprint.data.labels import LabelFile
    from silverprint.data.read import read
    from silverprint.serving import server
    from silverprint.training.progress import Progress

    progress, page = Progress(quiet), page and not json
    with progress.stage("read"):
        labels = LabelFile(out, None if with_ is None else read(with_))
    # The port is taken first: one in use is told before any work.
    with server.bind("127.0.0.1", port, "--port") if page else nullcontext() as listening:
        with progress.stage("import"):
            need_extra()
            from silverprint.workflows.next import label_on_page, pick_next
            from silverprint.workflows.predict import open_bundle
        opened = open_bundle(bundle, quiet=quiet)
        picks = pick_next(opened, folder, n, progress, labels.labelled, seed)
        _print(picks, json, page, quiet)
        if listening is not None:
            label_on_page(picks, opened, labels, listening, typer.echo)


def _print(picks: "Picks", json: bool, page: bool, quiet: bool) -> None:
    if json:
        print_json(picks.to_json())
        return
    if not quiet:
        _print_notes(picks)
    if not page:
        rows = [
            (one.file, one.guesses[0][0], percent(one.guesses[0][1]), f"{one.uncertainty:.2f}")
            for one in picks.picks
        ]
        table(("file", "guess", "probability", "uncertainty"), rows)
    sys.stdout.flush()


def _print_notes(picks: "Picks") -> None:
    for notice in picks.notices:
        typer.echo(f"note: {notice}")
    for name, reason in picks.refused[:NAMED]:
        typer.echo(f"note: {name} {reason}", err=True)
    if (more := len(picks.refused) - NAMED) > 0:
        typer.echo(f"note: {more:,} more cannot be used; --json names all", err=True)
