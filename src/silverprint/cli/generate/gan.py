"""`silverprint generate gan`."""

from pathlib import Path
from typing import Annotated

import typer

from silverprint.cli.common import need_extra, read_pictures, settings_of
from silverprint.cli.trained import check_places, result_of, tell, typed

Data = "Data"


def gan(
    data: Annotated[str, typer.Argument(help="Folder, CSV, JSONL, IDX or pixel file, or a dataset's name; labels are not needed.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the bundle.")] = Path("gan"),
    judge: Annotated[str | None, typer.Option(help="Bundle of a classifier of such pictures; it measures the Frechet distance to real ones.")] = None,
    conditional: Annotated[bool | None, typer.Option("--conditional/--unconditional", help="Tell both networks the class.", show_default="where there are two or more")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the pictures.", show_default="12")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Real pictures a step, and as many made ones.", show_default="64")] = None,
    code_size: Annotated[int | None, typer.Option(help="Numbers that a picture is made from.", show_default="64")] = None,
    width: Annotated[int | None, typer.Option(help="Channels of the largest maps.", show_default="32")] = None,
    loss: Annotated[str | None, typer.Option(help="hinge or non-saturating.", show_default="hinge")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The generator's highest.", show_default="4e-4")] = None,
    discriminator_rate: Annotated[float | None, typer.Option(help="The discriminator's highest.", show_default="8e-4")] = None,
    r1: Annotated[float | None, typer.Option(help="Weight of the penalty on the discriminator's slope.", show_default="0")] = None,
    upsampling: Annotated[str | None, typer.Option(help="nearest, bilinear or transposed.", show_default="nearest")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, f32 or bf16.", show_default="auto")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.", show_default="auto")] = None,
    option: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE: any other setting: spectral, momentum, average, schedule.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget a stopped run of the same command instead of going on.")] = False,
    size: Annotated[int | None, typer.Option(help="Side of the pictures in pixels, 16 to 64.", show_default="their own, up to 64", rich_help_panel=Data)] = None,
    fit: Annotated[str | None, typer.Option(help="How a picture becomes square: pad, crop or squash.", show_default="crop", rich_help_panel=Data)] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where named datasets are; default SILVERPRINT_DATA.", rich_help_panel=Data)] = None,
    image_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file.", rich_help_panel=Data)] = None,
    label_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file.", rich_help_panel=Data)] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.", show_default="0")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:  # fmt: skip
    """Train two networks against each other, until one of them makes pictures like yours.

    silverprint generate gan mnist --judge mnist-classifier --out gan

    silverprint generate gan photos/ --size 32 --unconditional --epochs 100
    """
    from silverprint.recipes.gan_settings import GanSettings
    from silverprint.runtime.bundle import read_bundle
    from silverprint.training.checks import settings_from
    from silverprint.training.progress import Progress

    settings = settings_from(GanSettings, {
        "conditional": conditional, "epochs": epochs, "batch_size": batch_size,
        "code_size": code_size, "width": width, "loss": loss, "learning_rate": learning_rate,
        "discriminator_rate": discriminator_rate, "r1": r1, "upsampling": upsampling,
        "precision": precision, "device": device, "seed": seed, **settings_of(option),
    })  # fmt: skip
    square = check_places(out, size, fit, "a gan makes")
    if judge is not None:
        read_bundle(judge)
    progress = Progress(quiet)
    with progress.stage("read"):
        dataset = read_pictures(
            data, labelled=settings.conditional is True, data_dir=data_dir,
            image_column=image_column, label_column=label_column,
        )  # fmt: skip
    with progress.stage("import"):
        need_extra()
        from silverprint.workflows.gan import generate_gan
    found = generate_gan(
        dataset, out, settings, progress, judge=judge, size=size, fit=square, fresh=fresh,
        command=typed(),
    )  # fmt: skip
    result = result_of(
        out, found.gan, progress.seconds, notices=found.material.told, refused=found.material.refused,
        metrics=found.measures(),
        classes=list(found.classes), balance=found.words,
        weights=sum(p.numel() for p in found.gan.generator.parameters()),
    )  # fmt: skip
    tell(result, [found.summary(), found.words], "generate sample {}", json=json, quiet=quiet)
