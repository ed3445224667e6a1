"""`silverprint audit`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from silverprint.cli.common import (
    need_extra,
    print_json,
    read_pictures,
    seconds_as_json,
    size_in_bytes,
    table,
)

if TYPE_CHECKING:
    from silverprint.data.table import Dataset
    from silverprint.workflows.audit import Audit

Data = "Data"
Repair = "Repair"


def audit(
    data: Annotated[str, typer.Argument(metavar="PHOTOS", help="Folder, CSV, JSONL, Parquet, IDX or pixel file, or a dataset's name.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The page; with --apply, the new CSV.", show_default="audit.html")] = None,
    fix: Annotated[Path | None, typer.Option(help="Write a plan of repairs to this CSV, for you to edit.", rich_help_panel=Repair)] = None,
    apply: Annotated[Path | None, typer.Option(help="Carry out a plan: write a new CSV to --out that train reads. No picture is touched.", rich_help_panel=Repair)] = None,
    unlabelled: Annotated[bool, typer.Option("--unlabelled", help="Folders are no classes: judge pictures only.", rich_help_panel=Data)] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Where named datasets are; default SILVERPRINT_DATA.", rich_help_panel=Data)] = None,
    image_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file.", rich_help_panel=Data)] = None,
    label_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file.", rich_help_panel=Data)] = None,
    label_separator: Annotated[str | None, typer.Option(help="Between several labels in one cell.", rich_help_panel=Data)] = None,
    engine: Annotated[str, typer.Option(help="As for train.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of the folds.")] = 0,
    on: Annotated[str | None, typer.Option(help="A Ray cluster that looks at the pictures: ray (this machine), auto, HOST:PORT or ray://HOST:10001.", show_default=False)] = None,
    cache_limit: Annotated[str | None, typer.Option(help="What the feature cache may keep, such as 20GB.", show_default="20GB")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:  # fmt: skip
    """Find what is wrong with pictures and labels: broken files, copies, leaks, wrong labels.

    silverprint audit photos/ --fix plan.csv

    silverprint audit photos/ --apply plan.csv --out photos.csv
    """
    from silverprint.data.audit.plan import check_files, check_new, write_plan
    from silverprint.errors import ConfigError
    from silverprint.training.progress import Progress

    if apply is not None and fix is not None:
        raise ConfigError("--fix writes a plan and --apply carries one out; give one of them.")
    progress = Progress(quiet)
    with progress.stage("read"):
        dataset = read_pictures(
            data, unlabelled=unlabelled, data_dir=data_dir, image_column=image_column,
            label_column=label_column, label_separator=label_separator,
        )  # fmt: skip
    if fix is not None or apply is not None:
        check_files(dataset)
    if apply is not None:
        _apply(apply, dataset, out, json, quiet)
        return
    page = out or Path("audit.html")
    if page.is_dir() or not page.absolute().parent.is_dir():
        raise ConfigError(f"--out {page}: the page is a file in a folder that exists; name one.")
    if fix is not None:
        check_new(fix, "--fix")
    with progress.stage("import"):
        need_extra()
        from silverprint.workflows.audit import audit as run_audit
        from silverprint.workflows.audit_page import write_audit
        from silverprint.workflows.settings import TrainSettings

    settings: dict[str, Any] = {"engine": engine, "seed": seed, "on": on}
    if cache_limit is not None:
        settings["cache_limit"] = size_in_bytes(cache_limit)
    found = run_audit(dataset, TrainSettings.of(**settings), progress)
    with progress.stage("page"):
        write_audit(found, page, progress.seconds, shlex.join(["silverprint", *sys.argv[1:]]))
    lines = 0 if fix is None else write_plan(found.findings, dataset.names, fix)
    if json:
        print_json(_result(found, progress.seconds))
    elif not quiet:
        _print(found, progress.seconds)
        typer.echo(f"page {page}")
        if fix is not None:
            typer.echo(f"plan {fix}, {lines:,} lines to edit; then: silverprint audit "
                       f"{shlex.quote(data)} --apply {shlex.quote(str(fix))} --out NEW.csv")  # fmt: skip


def _apply(plan: Path, dataset: "Dataset", out: Path | None, json: bool, quiet: bool) -> None:
    from silverprint.data.audit.plan import apply_plan, read_plan
    from silverprint.errors import ConfigError

    if out is None or out.suffix.lower() != ".csv":
        raise ConfigError(f"--apply needs --out NEW.csv, where the new dataset goes; got {out}.")
    changes = read_plan(plan, dataset)
    kept = apply_plan(dataset, changes, out)
    dropped, relabelled = len(dataset) - kept, sum(c.action == "relabel" for c in changes.values())
    if json:
        print_json(
            {"csv": str(out), "pictures": kept, "dropped": dropped, "relabelled": relabelled}
        )
    elif not quiet:
        typer.echo(f"{out}: {kept:,} pictures; {dropped:,} dropped, {relabelled:,} relabelled")
        typer.echo(f"next: silverprint train {shlex.quote(str(out))}")


def _result(found: "Audit", seconds: dict[str, float]) -> dict[str, Any]:
    return {
        "findings": [finding.to_json(found.dataset.names) for finding in found.findings],
        "seconds": seconds_as_json(seconds),
    }


def _print(found: "Audit", seconds: dict[str, float]) -> None:
    from silverprint.data.audit.findings import KINDS
    from silverprint.data.conventions import counted, first_few

    for notice in (*found.dataset.notices, *found.notices):
        typer.echo(f"note: {notice}")
    rows = []
    for kind in KINDS:
        of_kind = [finding for finding in found.findings if finding.kind == kind]
        if of_kind:
            names = [found.dataset.names[row] for row in of_kind[0].rows]
            files = {row for finding in of_kind for row in finding.rows}
            example = f"{first_few(names, 2)}: {of_kind[0].detail}" if names else of_kind[0].detail
            rows.append((kind.replace("_", " "), f"{len(of_kind):,}", f"{len(files):,}", example))
    if rows:
        table(("finding", "count", "files", "the gravest"), rows)
    else:
        typer.echo("nothing is wrong that could be found")
    typer.echo(
        f"{found.looked:,} of {counted(len(found.dataset), 'picture')} looked at, "
        f"{sum(seconds.values()):.1f} s in all"
    )
