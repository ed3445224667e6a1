"""`silverprint tune`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from silverprint.cli.common import (
    need_extra,
    once,
    pairs,
    percent,
    plain,
    print_json,
    read_data,
    settings_of,
    table,
)
from silverprint.errors import ConfigError

if TYPE_CHECKING:
    from silverprint.data.table import Dataset
    from silverprint.training.progress import Progress
    from silverprint.workflows.sweeps import TuneResult

ROWS_SHOWN = 20
Same = "The same in all (every option of `train`, with --set)"
Own = "Networks trained here (--from-scratch, --finetune)"
Data = "Data"


def tune(
    data: Annotated[str, typer.Argument(help="Folder, CSV, JSONL, IDX or pixel file, or a dataset's name.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the report, its charts and best.json.")] = Path("tune"),
    sweep: Annotated[list[str] | None, typer.Option(help="FIELD=VALUE,VALUE,...: any setting; repeat for a grid. Values that are lists are parted by /.", show_default="a usual choice")] = None,
    metric: Annotated[str, typer.Option(help="What makes a configuration the best: accuracy or loss, on validation.")] = "accuracy",
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Tune a small network trained on these pictures alone.")] = False,
    finetune: Annotated[bool, typer.Option("--finetune", help="Tune the training of the pretrained network itself.")] = False,
    study: Annotated[str | None, typer.Option(help="Database that several processes or machines share, as sqlite:///FILE or any SQLAlchemy address.", show_default="a file in --out", rich_help_panel=Own)] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Try no more than so many configurations.", show_default="all", rich_help_panel=Own)] = None,
    find_lr: Annotated[bool, typer.Option("--find-lr", help="Instead of a sweep: let the learning rate grow in one short run, draw the loss, suggest a rate.")] = False,
    config: Annotated[Path | None, typer.Option(help="JSON file of settings; --set wins.", rich_help_panel=Same)] = None,
    option: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as backbone=vgg16, epochs=50 or size=128.", rich_help_panel=Same)] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where named datasets are; default SILVERPRINT_DATA.", rich_help_panel=Data)] = None,
    image_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file.", rich_help_panel=Data)] = None,
    label_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file.", rich_help_panel=Data)] = None,
    label_separator: Annotated[str | None, typer.Option(help="Between several labels in one cell.", rich_help_panel=Data)] = None,
    group_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file: what is equal there, such as the subject, stays on one side of splits drawn here.", rich_help_panel=Data)] = None,
    class_names: Annotated[str | None, typer.Option(help="What to call numbered classes, such as a,b,c.", rich_help_panel=Data)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:  # fmt: skip
    """Try many settings, say which are best, and draw what each of them does.

    silverprint tune photos/ --sweep learning_rate=1e-4,1e-3,1e-2,1e-1 --sweep dropout=0,0.2,0.5,0.8

    silverprint tune mnist --from-scratch --set model=mlp --sweep initialisation=zeros,normal,he

    silverprint train photos/ --config tune/best.json
    """
    from silverprint.training.progress import Progress
    from silverprint.workflows.settings import read_config

    progress = Progress(quiet)
    with progress.stage("import"):
        need_extra()
    given: dict[str, Any] = read_config(config) if config else {}
    given.update(settings_of(option))
    given.update({name: True for name, wish in
                  (("from_scratch", from_scratch), ("finetune", finetune)) if wish})  # fmt: skip
    sweeps = {name: values(text) for name, text in once(pairs(sweep or [], "--sweep"), "--sweep")}
    with progress.stage("import"):
        from silverprint.workflows.tune import tune as run_tune
    with progress.stage("read"):
        dataset = read_data(
            data, data_dir=data_dir, image_column=image_column, label_column=label_column,
            label_separator=label_separator, group_column=group_column, class_names=class_names,
        )  # fmt: skip
    command = shlex.join(["silverprint", *sys.argv[1:]])
    if find_lr:
        if sweeps:
            raise ConfigError("--find-lr tries no --sweep; leave one of the two out.")
        from silverprint.reports.page import make_folder

        make_folder(out)
        _find_rate(dataset, given, progress, out, command, json, quiet)
        return
    result = run_tune(
        dataset, sweeps, given, progress, out=out, metric=metric, study=study, trials=trials,
        command=command,
    )  # fmt: skip
    if json:
        print_json(result.to_json())
    elif not quiet:
        _print_result(result, out)


def _find_rate(
    dataset: "Dataset", given: dict[str, Any], progress: "Progress", out: Path, command: str,
    json: bool, quiet: bool,
) -> None:  # fmt: skip
    from silverprint.workflows.find_rate import PAGE, find_learning_rate, to_json
    from silverprint.workflows.sweeps import kind_of

    found = find_learning_rate(dataset, given, progress, out=out, command=command)
    told = to_json(found, kind_of(given))
    if json:
        print_json(told)
    elif not quiet:
        typer.echo(f"suggested {told['setting']}: {found.suggestion:g}")
        typer.echo(f"which is {told['rule']}")
        typer.echo(f"curve {out / PAGE}")


def values(text: str) -> list[Any]:
    """Read "1e-4,1e-3", or "512,512/1024" where each value is a list."""
    if "/" in text and not any(letter.isalpha() for letter in text):
        return [tuple(map(plain, part.split(","))) for part in text.split("/")]
    return [plain(part) for part in text.split(",")]


def _print_result(result: "TuneResult", out: Path) -> None:
    from silverprint.reports.sweep import written

    for notice in result.notices:
        typer.echo(f"note: {notice}")
    rows = []
    for place, tried in enumerate(result.results[:ROWS_SHOWN], start=1):
        accuracy = "diverged" if tried.accuracy is None else percent(tried.accuracy)
        loss = "" if tried.loss is None else f"{tried.loss:.4f}"
        settings = (written(tried.config.get(name)) for name in result.fields)
        rows.append([f"{place}", *settings, accuracy, loss, f"{tried.epochs}"])
    table(["", *result.fields, "accuracy", "loss", "epochs"], rows)
    if len(result.results) > ROWS_SHOWN:
        typer.echo(f"and {len(result.results) - ROWS_SHOWN} more, in the report")
    low, high = result.interval
    typer.echo(
        f"best: validation accuracy {percent(result.best.accuracy or 0)} (95 % interval "
        f"{percent(low)} to {percent(high)}); {result.alike} of the others lie within it"
    )
    typer.echo(f"{len(result.results)} configurations in {result.seconds:.1f} s")
    typer.echo(f"report {out / 'report.html'}")
    typer.echo(f"next: silverprint train DATA --config {shlex.quote(str(out / 'best.json'))}")
