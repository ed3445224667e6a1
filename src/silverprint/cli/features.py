"""`silverprint features`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from silverprint.cli.common import (
    need_extra,
    pairs,
    print_json,
    print_refused,
    read_pictures,
    refused_as_json,
    seconds_as_json,
    size_in_bytes,
)

if TYPE_CHECKING:
    from silverprint.workflows.features import Features

Network = "Network"
Data = "Data"


def features(
    data: Annotated[str, typer.Argument(metavar="PHOTOS", help="Folder, CSV, JSONL, Parquet, IDX or pixel file, or a dataset's name.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new .parquet file, or a new folder for several.")],
    on: Annotated[str | None, typer.Option(help="A Ray cluster: ray (this machine), auto, HOST:PORT or ray://HOST:10001.", show_default=False)] = None,
    backbone: Annotated[str | None, typer.Option(help="`silverprint backbones` lists them.", show_default="efficientnet-lite0", rich_help_panel=Network)] = None,
    weights: Annotated[Path | None, typer.Option(help="Its weights as a .safetensors or .pth file.", rich_help_panel=Network)] = None,
    backbone_option: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, as for train.", rich_help_panel=Network)] = None,
    size: Annotated[int | None, typer.Option(help="Side of the network's input in pixels.", show_default="the network's", rich_help_panel=Network)] = None,
    fit: Annotated[str | None, typer.Option(help="How a picture becomes square: pad, crop or squash.", show_default="pad", rich_help_panel=Network)] = None,
    engine: Annotated[str | None, typer.Option(help="As for train.", show_default="auto", rich_help_panel=Network)] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Decode large JPEGs in full, as when the model is used.", rich_help_panel=Network)] = False,
    unlabelled: Annotated[bool, typer.Option("--unlabelled", help="Folders are no classes.", rich_help_panel=Data)] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Where named datasets are; default SILVERPRINT_DATA.", rich_help_panel=Data)] = None,
    image_column: Annotated[str | None, typer.Option(help="Of a CSV, JSONL or Parquet file.", rich_help_panel=Data)] = None,
    label_column: Annotated[str | None, typer.Option(help="Of a CSV, JSONL or Parquet file.", rich_help_panel=Data)] = None,
    label_separator: Annotated[str | None, typer.Option(help="Between several labels in one cell.", rich_help_panel=Data)] = None,
    cache_limit: Annotated[str | None, typer.Option(help="What the feature cache may keep, such as 20GB.", show_default="20GB")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:  # fmt: skip
    """Write what a network sees in each picture to Parquet: name, label, split, sha256, features.

    silverprint features photos/ --out photos.parquet

    silverprint features photos.csv --on ray://head:10001 --out features/
    """
    from silverprint.training.progress import Progress

    progress = Progress(quiet)
    with progress.stage("import"):
        need_extra()
        from silverprint.workflows.features import write_features
        from silverprint.workflows.settings import TrainSettings
    given: dict[str, Any] = {
        "on": on, "backbone": backbone, "weights": weights, "size": size, "fit": fit,
        "engine": engine,
        "backbone_options": pairs(backbone_option or [], "--backbone-option") or None,
        "cache_limit": size_in_bytes(cache_limit) if cache_limit else None,
    }  # fmt: skip
    settings = TrainSettings.of(**{name: v for name, v in given.items() if v is not None})
    with progress.stage("read"):
        dataset = read_pictures(
            data, unlabelled=unlabelled, data_dir=data_dir, image_column=image_column,
            label_column=label_column, label_separator=label_separator,
        )  # fmt: skip
    found = write_features(dataset, out, settings, progress, exact=exact)
    notices = [*dataset.notices, *found.seen.notices]
    if json:
        print_json(_result(found, notices, progress.seconds))
    elif not quiet:
        _print(found, notices, sum(progress.seconds.values()))


def _result(found: "Features", notices: list[str], seconds: dict[str, float]) -> dict[str, Any]:
    return {
        "files": [str(path) for path in found.files],
        "pictures": len(found.seen.rows),
        "features": found.dimension,
        "engine": found.seen.engine,
        "looked": found.seen.looked,
        "refused": refused_as_json(found.seen.refused),
        "notices": notices,
        "seconds": seconds_as_json(seconds),
    }


def _print(found: "Features", notices: list[str], seconds: float) -> None:
    from silverprint.data.conventions import counted

    for notice in notices:
        typer.echo(f"note: {notice}")
    print_refused(found.seen.refused, "--json lists them")
    where = str(found.files[0]) if len(found.files) == 1 else f"{found.files[0].parent}/"
    typer.echo(
        f"{where}: {counted(len(found.seen.rows), 'picture')}, {found.dimension:,} features each, "
        f"{found.seen.looked:,} looked at now by {found.seen.engine}, {seconds:.1f} s in all"
    )
