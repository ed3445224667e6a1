"""What the verbs share that train a network which makes things: early checks, and the result."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from silverprint.cli.common import print_json, print_refused, refused_as_json, seconds_as_json


def typed() -> str:
    """Return the command as it was typed."""
    return shlex.join(["silverprint", *sys.argv[1:]])


def check_places(out: Path, size: int | None = None, fit: str | None = None, who: str = "") -> Any:
    """Check, before anything heavy is imported, where to write and how pictures become square.

    Args:
        out: folder of the bundle.
        size: side of the pictures in pixels.
        fit: how a picture becomes square; None for "crop".
        who: as of `check_side`; empty for any size.

    Returns:
        How a picture becomes square.

    Raises:
        ConfigError: it names what will not do.
    """
    from silverprint.export.bundle import check_output
    from silverprint.models.shapes import check_side
    from silverprint.runtime.preprocessing import Preprocessing

    check_output(out)
    square: Any = fit or "crop"  # whatever it is, Preprocessing checks it
    if size is not None and who:
        check_side(who, size)
    Preprocessing(size=16 if size is None else size, fit=square)
    return square


def result_of(
    out: Path, run: Any, seconds: dict[str, float], *, notices: Sequence[str],
    refused: Sequence[tuple[str, str]] = (), **own: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return what --json prints.

    Args:
        out: the bundle.
        run: the training; it has curves, best_epoch, epochs and resumed.
        seconds: by stage.
        notices: what the user should know, a line each.
        refused: file and reason of those that could not be read.
        own: what only this verb tells, such as metrics.
    """
    return {
        "bundle": str(out),
        **own,
        "curves": run.curves,
        "epoch": run.best_epoch,
        "epochs": run.epochs,
        "resumed": run.resumed,
        "refused": refused_as_json(refused),
        "notices": list(notices),
        "seconds": seconds_as_json(seconds),
    }


def tell(
    result: dict[str, Any], lines: Sequence[str], then: str, *, json: bool, quiet: bool
) -> None:
    """Print a result: as JSON, for people, or not at all.

    Args:
        result: as of `result_of`.
        lines: what came of it, in words.
        then: the verb that comes next, and what it takes beside the bundle.
        json: one JSON object, nothing else.
        quiet: nothing, unless json.
    """
    if json:
        print_json(result)
    if json or quiet:
        return
    refused, out = result["refused"], result["bundle"]
    for notice in result["notices"]:
        typer.echo(f"note: {notice}")
    print_refused([(one["file"], one["reason"]) for one in refused], "the report lists them")
    for line in lines:
        typer.echo(line)
    told = f"epoch {result['epoch']} of {result['epochs']} ships"
    typer.echo(f"{told}, {result['seconds']['total']:,.1f} s in all")
    typer.echo(f"bundle {out}, report {Path(out) / 'report.html'}")
    typer.echo(f"next: silverprint {then.format(shlex.quote(out))}")
