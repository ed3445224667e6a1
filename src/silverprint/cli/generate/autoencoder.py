"""`silverprint generate autoencoder`."""

from pathlib import Path
from typing import Annotated

import typer

from silverprint.cli.common import need_extra, numbers, read_pictures, settings_of
from silverprint.cli.trained import check_places, result_of, tell, typed

Data = "Data"


def autoencoder(
    data: Annotated[str, typer.Argument(help="Folder, CSV, JSONL, IDX or pixel file, or a dataset's name; labels are not needed.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the bundle.")] = Path("autoencoder"),
    kind: Annotated[str | None, typer.Option(help="linear, transposed or upsampling.", show_default="upsampling")] = None,
    code_size: Annotated[int | None, typer.Option(help="How many numbers a picture becomes.", show_default="32")] = None,
    widths: Annotated[str | None, typer.Option(help="Channels after each halving, such as 32,64.", show_default="by the size")] = None,
    noise: Annotated[str | None, typer.Option(help="Learn to take it off: gaussian, salt-and-pepper or masking.", show_default="none")] = None,
    strength: Annotated[float | None, typer.Option(help="Of the noise: gaussian's deviation on the scale 0..1, or the share of pixels.", show_default="0.5")] = None,
    loss: Annotated[str | None, typer.Option(help="mse, bce or l1.", show_default="mse")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the pictures.", show_default="20")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures a step.", show_default="128")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest.", show_default="by the kind")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without progress after which training stops.", show_default="never")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, f32 or bf16.", show_default="auto")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.", show_default="auto")] = None,
    option: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE: any other setting: tied, enlarging, weight_decay, schedule, warm_up, clip.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget a stopped run of the same command instead of going on.")] = False,
    size: Annotated[int | None, typer.Option(help="Side of the pictures in pixels, 16 to 128.", show_default="their own, up to 64", rich_help_panel=Data)] = None,
    fit: Annotated[str | None, typer.Option(help="How a picture becomes square: pad, crop or squash.", show_default="crop", rich_help_panel=Data)] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where named datasets are; default SILVERPRINT_DATA.", rich_help_panel=Data)] = None,
    image_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file.", rich_help_panel=Data)] = None,
    label_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file.", rich_help_panel=Data)] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.", show_default="0")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:  # fmt: skip
    """Press pictures into a few numbers and make them again, or learn to take noise off.

    silverprint generate autoencoder mnist --kind linear --code-size 32

    silverprint generate autoencoder photos/ --noise gaussian --strength 0.3
    """
    from silverprint.recipes.autoencoder_settings import AutoencoderSettings
    from silverprint.runtime.noise import strength_of
    from silverprint.training.checks import settings_from
    from silverprint.training.progress import Progress

    strength_of(noise, strength)
    settings = settings_from(AutoencoderSettings, {
        "kind": kind, "code_size": code_size, "widths": numbers(widths, "widths", int) or None,
        "noise": noise, "strength": strength, "loss": loss, "epochs": epochs,
        "batch_size": batch_size, "learning_rate": learning_rate, "patience": patience,
        "precision": precision, "device": device, "seed": seed, **settings_of(option),
    })  # fmt: skip
    square = check_places(out, size, fit, "an autoencoder takes")
    progress = Progress(quiet)
    with progress.stage("read"):
        dataset = read_pictures(
            data, labelled=False, data_dir=data_dir, image_column=image_column,
            label_column=label_column,
        )  # fmt: skip
    with progress.stage("import"):
        need_extra()
        from silverprint.workflows.autoencode import autoencode
    found = autoencode(
        dataset, out, settings, progress, size=size, fit=square, fresh=fresh, command=typed()
    )
    result = result_of(
        out, found.fitted, progress.seconds, notices=found.material.told, refused=found.material.refused,
        metrics=found.metrics, classes=[],
        pca_numbers_for_the_same_error=found.measured.same_k,
        weights=sum(p.numel() for p in found.fitted.network.parameters()),
        worst=[{"file": file, "psnr": value} for file, value in found.worst],
    )  # fmt: skip
    tell(result, [found.summary()], "generate reconstruct {} PICTURES", json=json, quiet=quiet)
