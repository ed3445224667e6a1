"""`silverprint compare`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silverprint.cli.common import (
    need_extra,
    numbers,
    percent,
    print_json,
    read_data,
    settings_of,
    table,
)

if TYPE_CHECKING:
    from silverprint.workflows.compare import Comparison

Same = "The same in all (options of `train --finetune`, with --set; heads are the presets')"
Data = "Data"


def compare(
    data: Annotated[str, typer.Argument(help="Folder, CSV, JSONL, IDX or pixel file, or a dataset's name.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for compare.html, the curves and what is finished.")] = Path("compare"),
    presets: Annotated[str, typer.Option(help="1: frozen convolutions, dense ReLU, softmax. 2: with augmentation. 3: with augmentation, batch norm and dropout. 4: everything trainable.")] = "1,2,3,4",
    backbone: Annotated[list[str] | None, typer.Option(help="Pretrained network; repeat for several. VGG16 is the classic: --backbone vgg16.", show_default="efficientnet-lite0")] = None,
    option: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as views=2, augment=strong, finetune_epochs=3 or size=128.", rich_help_panel=Same)] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where named datasets are; default SILVERPRINT_DATA.", rich_help_panel=Data)] = None,
    image_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file.", rich_help_panel=Data)] = None,
    label_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file.", rich_help_panel=Data)] = None,
    label_separator: Annotated[str | None, typer.Option(help="Between several labels in one cell.", rich_help_panel=Data)] = None,
    group_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file: what is equal there, such as the subject, stays on one side of splits drawn here.", rich_help_panel=Data)] = None,
    class_names: Annotated[str | None, typer.Option(help="What to call numbered classes, such as a,b,c.", rich_help_panel=Data)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:  # fmt: skip
    """Train four classic ways to use a pretrained network, and say which is best here.

    silverprint compare photos/ --presets 1,2,3,4

    silverprint compare photos/ --backbone vgg16 --backbone efficientnet-lite0 --presets 1,3
    """
    from silverprint.backbones.registry import DEFAULT_BACKBONE
    from silverprint.training.progress import Progress

    progress = Progress(quiet)
    with progress.stage("import"):
        need_extra()
    given = settings_of(option)
    chosen = numbers(presets, "presets", int)
    with progress.stage("import"):
        from silverprint.workflows.compare import compare as run_compare
    with progress.stage("read"):
        dataset = read_data(
            data, data_dir=data_dir, image_column=image_column, label_column=label_column,
            label_separator=label_separator, group_column=group_column, class_names=class_names,
        )  # fmt: skip
    command = shlex.join(["silverprint", *sys.argv[1:]])
    result = run_compare(
        dataset, chosen, backbone or [DEFAULT_BACKBONE], given, progress, out=out, command=command
    )
    if json:
        print_json(result.to_json())
    elif not quiet:
        _print_result(result, out)


def _print_result(result: "Comparison", out: Path) -> None:
    for notice in result.notices:
        typer.echo(f"note: {notice}")
    splits = [name for name in ("validation", "test") if name in result.results[0].metrics]
    head = ["backbone", "preset", *(f"{split} {name}" for split in splits
            for name in ("accuracy", "precision", "recall")), "seconds"]  # fmt: skip
    rows = [
        [
            one.backbone,
            f"{one.preset}",
            *(percent(one.metrics[split][name] or 0.0) for split in splits
              for name in ("accuracy", "macro_precision", "macro_recall")),
            f"{one.seconds:.1f}",
        ]
        for one in result.results
    ]  # fmt: skip
    table(head, rows)
    typer.echo(result.verdict)
    typer.echo(f"page {out / 'compare.html'}, curves {out / 'curves.svg'}")
