"""`silverprint train`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from silverprint.cli.common import numbers, percent, print_json, size_in_bytes

if TYPE_CHECKING:
    from silverprint.workflows.train import Training

Heads = "Heads (lists: every combination is tried at once)"
Network = "Network"
Data = "Data"


def train(
    data: Annotated[str, typer.Argument(help="Folder, CSV, JSONL, IDX or pixel file, or a dataset's name.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the bundle.")] = Path("bundle"),
    backbone: Annotated[str, typer.Option(help="Pretrained network; `silverprint backbones` lists them.", rich_help_panel=Network)] = "efficientnet-lite0",
    weights: Annotated[Path | None, typer.Option(help="Its weights as a .safetensors or .pth file.", rich_help_panel=Network)] = None,
    backbone_option: Annotated[list[str] | None, typer.Option(help="KEY=VALUE: mean, std, size, or what the network's builder takes.", rich_help_panel=Network)] = None,
    size: Annotated[int | None, typer.Option(help="Side of the network's input in pixels.", rich_help_panel=Network)] = None,
    fit: Annotated[str, typer.Option(help="How a picture becomes square: pad, crop or squash.", rich_help_panel=Network)] = "pad",
    engine: Annotated[str, typer.Option(help="auto, openvino-bf16, openvino-f32, openvino-int8, torch-cuda, torch-mps or torch-cpu.", rich_help_panel=Network)] = "auto",
    hidden_size: Annotated[str | None, typer.Option(help="Units of the hidden layer, such as 0,128; 0 is linear.", rich_help_panel=Heads)] = None,
    learning_rate: Annotated[str | None, typer.Option(help="Such as 1e-4,1e-3; a linear head without one is solved exactly.", rich_help_panel=Heads)] = None,
    dropout: Annotated[str | None, typer.Option(help="Such as 0,0.5.", rich_help_panel=Heads)] = None,
    weight_decay: Annotated[str | None, typer.Option(help="Such as 0.01,0.1.", rich_help_panel=Heads)] = None,
    label_smoothing: Annotated[str | None, typer.Option(help="Such as 0,0.1.", rich_help_panel=Heads)] = None,
    batch_norm: Annotated[bool, typer.Option("--batch-norm", help="Batch-normalise hidden layers.", rich_help_panel=Heads)] = False,
    epochs: Annotated[int, typer.Option(help="Most passes over the features.", rich_help_panel=Heads)] = 30,
    patience: Annotated[int, typer.Option(help="Passes without progress after which a head stops.", rich_help_panel=Heads)] = 4,
    class_weights: Annotated[str, typer.Option(help="auto, balanced or none.", rich_help_panel=Heads)] = "auto",
    folds: Annotated[int, typer.Option(help="Folds of the cross-validation under 500 pictures.", rich_help_panel=Data)] = 5,
    validation_fraction: Annotated[float, typer.Option(help="Share split off where there is no validation split.", rich_help_panel=Data)] = 0.15,
    data_dir: Annotated[Path | None, typer.Option(help="Where named datasets are; default SILVERPRINT_DATA.", rich_help_panel=Data)] = None,
    image_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file.", rich_help_panel=Data)] = None,
    label_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file.", rich_help_panel=Data)] = None,
    label_separator: Annotated[str | None, typer.Option(help="Between several labels in one cell.", rich_help_panel=Data)] = None,
    cache_limit: Annotated[str, typer.Option(help="What the feature cache may keep, such as 20GB.")] = "20GB",
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:  # fmt: skip
    """Look at each picture once, fit classifiers on what was seen, test, and write a bundle.

    silverprint train photos/ --out bundle

    silverprint train photos/ --hidden-size 0,128,512 --learning-rate 1e-3,1e-2 --dropout 0,0.5
    """
    from silverprint.training.progress import Progress
    from silverprint.workflows.settings import TrainSettings

    settings = TrainSettings.of(
        backbone=backbone, weights=weights, backbone_options=_pairs(backbone_option or []),
        size=size, fit=fit, engine=engine,
        hidden_size=numbers(hidden_size, "hidden-size", int),
        learning_rate=numbers(learning_rate, "learning-rate", float),
        dropout=numbers(dropout, "dropout", float),
        weight_decay=numbers(weight_decay, "weight-decay", float),
        label_smoothing=numbers(label_smoothing, "label-smoothing", float),
        batch_norm=batch_norm, epochs=epochs, patience=patience, class_weights=class_weights,
        folds=folds, validation_fraction=validation_fraction,
        cache_limit=size_in_bytes(cache_limit), seed=seed,
    )  # fmt: skip
    progress = Progress(quiet)
    with progress.stage("import"):
        _need_extra()
        from silverprint.data.read import read
        from silverprint.workflows.train import train_bundle
    with progress.stage("read"):
        dataset = read(
            data, data_dir=data_dir, image_column=image_column, label_column=label_column,
            label_separator=label_separator,
        )  # fmt: skip
    command = shlex.join(["silverprint", *sys.argv[1:]])
    run = train_bundle(dataset, out, settings, progress, command)
    result = _result(run, out, progress.seconds)
    if json:
        print_json(result)
    elif not quiet:
        _print_result(run, out, result)


def _need_extra() -> None:
    from silverprint.errors import MissingExtraError

    try:
        import onnx
        import safetensors
        import torch

        del onnx, safetensors, torch
    except ImportError as error:
        raise MissingExtraError("training", "train") from error


def _pairs(texts: list[str]) -> tuple[tuple[str, str], ...]:
    from silverprint.errors import ConfigError

    pairs = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise ConfigError(f"--backbone-option is written KEY=VALUE; got {text!r}.")
        pairs.append((key, value))
    return tuple(pairs)


def _result(run: "Training", out: Path, seconds: dict[str, float]) -> dict[str, Any]:
    rounded = {name: round(value, 3) for name, value in seconds.items()}
    return {
        "bundle": str(out),
        "seconds": {**rounded, "total": round(sum(seconds.values()), 3)},
        "metrics": run.metrics,
        "classes": list(run.dataset.classes),
        "chosen": run.chosen.row(),
        "heads": len(run.fitted),
        "engine": run.seen.engine,
        "looked": run.seen.looked,
        "pictures": len(run.dataset),
        "refused": [{"file": file, "reason": reason} for file, reason in run.seen.refused],
        "notices": [*run.dataset.notices, *run.notices],
    }


def _print_result(run: "Training", out: Path, result: dict[str, Any]) -> None:
    for notice in result["notices"]:
        typer.echo(f"note: {notice}")
    for file, reason in run.seen.refused[:10]:
        typer.echo(f"refused: {file}: {reason}")
    if len(run.seen.refused) > 10:
        typer.echo(f"refused: {len(run.seen.refused) - 10} more; the report lists them")
    for split, measures in run.metrics.items():
        low, high = measures["accuracy_interval"]
        how = (
            f", {run.cross_validated}-fold cross-validated" if "cross_validated" in measures else ""
        )
        typer.echo(
            f"{split} accuracy {percent(measures['accuracy'])} "
            f"(95 % interval {percent(low)} to {percent(high)}, {measures['n']:,} pictures{how})"
        )
    seconds = result["seconds"]["total"]
    typer.echo(
        f"{run.seen.looked:,} of {len(run.dataset):,} pictures looked at, "
        f"{len(run.fitted)} heads compared, {seconds:.1f} s in all"
    )
    typer.echo(f"bundle {out}, report {out / 'report.html'}")
    typer.echo(f"next: silverprint predict {shlex.quote(str(out))} PICTURE")
