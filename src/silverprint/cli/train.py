"""`silverprint train`."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from silverprint.cli.common import (
    need_extra,
    numbers,
    pairs,
    percent,
    print_json,
    print_refused,
    read_data,
    refused_as_json,
    seconds_as_json,
    settings_of,
    size_in_bytes,
)

if TYPE_CHECKING:
    from silverprint.workflows.run import Training

Heads = "Heads (lists: every combination is tried at once)"
Network = "Pretrained network"
Data = "Data"
Own = "Networks trained here (--from-scratch, --finetune)"


def train(
    data: Annotated[str, typer.Argument(help="Folder, CSV, JSONL, Parquet, IDX or pixel file, or a dataset's name.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the bundle.")] = Path("bundle"),
    config: Annotated[Path | None, typer.Option(help="JSON file of settings, such as the best.json of tune; options given here win.")] = None,
    backbone: Annotated[str | None, typer.Option(help="`silverprint backbones` lists them; vgg16 is the classic.", show_default="efficientnet-lite0", rich_help_panel=Network)] = None,
    weights: Annotated[Path | None, typer.Option(help="Its weights as a .safetensors or .pth file.", rich_help_panel=Network)] = None,
    backbone_option: Annotated[list[str] | None, typer.Option(help="KEY=VALUE: mean, std, size, or what the network's builder takes.", rich_help_panel=Network)] = None,
    engine: Annotated[str | None, typer.Option(help="auto, openvino-bf16, openvino-f32, openvino-int8, torch-cuda, torch-mps or torch-cpu.", show_default="auto", rich_help_panel=Network)] = None,
    hidden_size: Annotated[str | None, typer.Option(help="Units of the hidden layer, such as 0,128; 0 is linear.", rich_help_panel=Heads)] = None,
    learning_rate: Annotated[str | None, typer.Option(help="Such as 1e-4,1e-3; a linear head without one is solved exactly.", rich_help_panel=Heads)] = None,
    dropout: Annotated[str | None, typer.Option(help="Such as 0,0.5.", rich_help_panel=Heads)] = None,
    weight_decay: Annotated[str | None, typer.Option(help="Such as 0.01,0.1.", rich_help_panel=Heads)] = None,
    label_smoothing: Annotated[str | None, typer.Option(help="Such as 0,0.1.", rich_help_panel=Heads)] = None,
    l1: Annotated[str | None, typer.Option(help="L1 penalty, such as 0,1e-4.", rich_help_panel=Heads)] = None,
    initialisation: Annotated[str | None, typer.Option(help="zeros, ones, uniform, normal, xavier or he.", show_default="he", rich_help_panel=Heads)] = None,
    batch_norm: Annotated[bool | None, typer.Option("--batch-norm/--no-batch-norm", help="Batch-normalise hidden layers.", rich_help_panel=Heads)] = None,
    epochs: Annotated[int | None, typer.Option(help="Most passes over the features, or over the pictures from scratch.", show_default="30", rich_help_panel=Heads)] = None,
    patience: Annotated[int | None, typer.Option(help="Passes without progress after which training stops.", show_default="4", rich_help_panel=Heads)] = None,
    class_weights: Annotated[str | None, typer.Option(help="auto, balanced or none.", show_default="auto", rich_help_panel=Heads)] = None,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Train a small network on these pictures alone.", rich_help_panel=Own)] = False,
    finetune: Annotated[bool, typer.Option("--finetune", help="After the head, train the pretrained network too.", rich_help_panel=Own)] = False,
    model: Annotated[str | None, typer.Option(help="From scratch: mlp, cnn or resnet.", show_default="cnn", rich_help_panel=Own)] = None,
    widths: Annotated[str | None, typer.Option(help="From scratch: units or channels of the layers, such as 512,512.", rich_help_panel=Own)] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures a step.", rich_help_panel=Own)] = None,
    augment: Annotated[str | None, typer.Option(help="How pictures are varied; `silverprint augment --list` shows the policies.", show_default="by the data", rich_help_panel=Own)] = None,
    unfreeze: Annotated[str | None, typer.Option(help="Fine-tuning: all, or how many of the last stages.", show_default="all", rich_help_panel=Own)] = None,
    finetune_epochs: Annotated[int | None, typer.Option(help="Passes over the pictures.", rich_help_panel=Own)] = None,
    finetune_learning_rate: Annotated[float | None, typer.Option(help="The highest, of the network; --set stage_factor=0.7 lets earlier stages learn more slowly.", rich_help_panel=Own)] = None,
    metric: Annotated[str | None, typer.Option(help="What chooses the epoch that ships: validation loss or validation accuracy.", rich_help_panel=Own)] = None,
    precision: Annotated[str | None, typer.Option(help="auto, f32 or bf16.", show_default="auto", rich_help_panel=Own)] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.", show_default="auto", rich_help_panel=Own)] = None,
    track: Annotated[str | None, typer.Option(help="Follow the training in tensorboard or mlflow as well.", rich_help_panel=Own)] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget a stopped run of the same command instead of going on.", rich_help_panel=Own)] = False,
    option: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE: any other setting of the recipe, such as clip=1.0.", rich_help_panel=Own)] = None,
    size: Annotated[int | None, typer.Option(help="Side of the network's input in pixels.", show_default="the network's, or the pictures' up to 64", rich_help_panel=Data)] = None,
    fit: Annotated[str | None, typer.Option(help="How a picture becomes square: pad, crop or squash.", show_default="pad", rich_help_panel=Data)] = None,
    folds: Annotated[int | None, typer.Option(help="Folds of the cross-validation under 500 pictures.", show_default="5", rich_help_panel=Data)] = None,
    validation_fraction: Annotated[float | None, typer.Option(help="Share split off where there is no validation split.", show_default="0.15, at most 5,000 pictures", rich_help_panel=Data)] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where named datasets are; default SILVERPRINT_DATA.", rich_help_panel=Data)] = None,
    image_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file.", rich_help_panel=Data)] = None,
    label_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file.", rich_help_panel=Data)] = None,
    label_separator: Annotated[str | None, typer.Option(help="Between several labels in one cell.", rich_help_panel=Data)] = None,
    group_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file: what is equal there, such as the subject, stays on one side of splits drawn here.", rich_help_panel=Data)] = None,
    class_names: Annotated[str | None, typer.Option(help="What to call numbered classes, such as a,b,c.", rich_help_panel=Data)] = None,
    cache_limit: Annotated[str | None, typer.Option(help="What the feature cache may keep, such as 20GB.", show_default="20GB")] = None,
    on: Annotated[str | None, typer.Option(help="A Ray cluster that looks at the pictures: ray (this machine), auto, HOST:PORT or ray://HOST:10001.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.", show_default="0")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:  # fmt: skip
    """Look at each picture once, fit classifiers on what was seen, test, and write a bundle.

    silverprint train photos/ --out bundle

    silverprint train photos/ --hidden-size 0,128,512 --learning-rate 1e-3,1e-2 --dropout 0,0.5

    silverprint train photos/ --finetune

    silverprint train mnist --from-scratch --model cnn --epochs 12
    """
    from silverprint.errors import ConfigError
    from silverprint.training.progress import Progress
    from silverprint.workflows.settings import TrainSettings, read_config

    main = os.environ.get("RANK", "0") == "0"  # of several under torchrun one speaks
    progress = Progress(quiet or not main)
    with progress.stage("import"):
        need_extra()
    lists = {
        "hidden_size": numbers(hidden_size, "hidden-size", int),
        "learning_rate": numbers(learning_rate, "learning-rate", float),
        "dropout": numbers(dropout, "dropout", float),
        "weight_decay": numbers(weight_decay, "weight-decay", float),
        "label_smoothing": numbers(label_smoothing, "label-smoothing", float),
        "l1": numbers(l1, "l1", float),
        "initialisation": tuple(initialisation.split(",")) if initialisation else (),
    }
    if finetune and epochs is not None and finetune_epochs is None:
        raise ConfigError(
            "--epochs is of the head, which comes first; with --finetune give --finetune-epochs "
            f"{epochs}."
        )
    if from_scratch:
        lists = {name: _only(name, values) for name, values in lists.items()}
    given = {
        **lists,
        "from_scratch": from_scratch or None, "finetune": finetune or None,
        "backbone": backbone, "weights": weights,
        "backbone_options": pairs(backbone_option or [], "--backbone-option") or None,
        "size": size, "fit": fit, "engine": engine, "batch_norm": batch_norm, "epochs": epochs,
        "patience": patience, "class_weights": class_weights, "folds": folds,
        "validation_fraction": validation_fraction, "seed": seed, "track": track,
        "cache_limit": size_in_bytes(cache_limit) if cache_limit else None,
        "on": on, "fresh": fresh or None, "model": model,
        "widths": numbers(widths, "widths", int) or None, "batch_size": batch_size,
        "augment": augment, "unfreeze": unfreeze, "finetune_epochs": finetune_epochs,
        "finetune_learning_rate": finetune_learning_rate, "metric": metric,
        "precision": precision, "device": device,
        **settings_of(option),
    }  # fmt: skip
    chosen = read_config(config) if config else {}
    chosen.update({name: value for name, value in given.items() if value not in (None, ())})
    settings = TrainSettings.of(**chosen)
    with progress.stage("import"):
        from silverprint.workflows.train import train_bundle
    with progress.stage("read"):
        dataset = read_data(
            data, data_dir=data_dir, image_column=image_column, label_column=label_column,
            label_separator=label_separator, group_column=group_column, class_names=class_names,
        )  # fmt: skip
    command = shlex.join(["silverprint", *sys.argv[1:]])
    run = train_bundle(dataset, out, settings, progress, command)
    if not main:
        return
    result = _result(run, out, progress.seconds)
    if json:
        print_json(result)
    elif not quiet:
        _print_result(run, out, result)


def _only(name: str, values: tuple[Any, ...]) -> Any:
    """Return the one value: a network from scratch is one network."""
    from silverprint.errors import ConfigError

    if len(values) > 1:
        raise ConfigError(
            f"--{name.replace('_', '-')} takes one value with --from-scratch, got {len(values)}; "
            "`silverprint tune` compares several."
        )
    return values[0] if values else None


def _result(run: "Training", out: Path, seconds: dict[str, float]) -> dict[str, Any]:
    return {
        "bundle": str(out),
        "seconds": seconds_as_json(seconds),
        "metrics": run.metrics,
        "classes": list(run.dataset.classes),
        **run.learned(),
        "heads": len(run.fitted),
        "engine": run.seen.engine,
        "looked": run.seen.looked,
        "pictures": len(run.dataset),
        "refused": refused_as_json(run.seen.refused),
        "notices": [*run.dataset.notices, *run.notices],
    }


def _print_result(run: "Training", out: Path, result: dict[str, Any]) -> None:
    from silverprint.reports.overfitting import overfitting

    for notice in result["notices"]:
        typer.echo(f"note: {notice}")
    print_refused(run.seen.refused, "the report lists them")
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
    done = []
    if run.fitted:
        done.append(f"{run.seen.looked:,} of {len(run.dataset):,} pictures looked at")
        done.append(f"{len(run.fitted)} heads compared")
    if run.network is not None:
        done.append(f"epoch {run.network.best_epoch} of {run.network.epochs} ships")
        if words := overfitting(run.curves):
            typer.echo(words)
    typer.echo(f"{', '.join(done)}, {seconds:.1f} s in all")
    typer.echo(f"bundle {out}, report {out / 'report.html'}")
    typer.echo(f"next: silverprint predict {shlex.quote(str(out))} PICTURE")
