"""`silverprint generate vae`."""

from pathlib import Path
from typing import Annotated

import typer

from silverprint.cli.common import need_extra, numbers, read_pictures, settings_of
from silverprint.cli.trained import check_places, result_of, tell, typed

Data = "Data"
Judging = "Judging"


def vae(
    data: Annotated[str, typer.Argument(help="Folder, CSV, JSONL, IDX or pixel file, or a dataset's name; labels are needed for --conditional only.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the bundle.")] = Path("vae"),
    latent: Annotated[int | None, typer.Option(help="How many numbers a picture is made from.", show_default="32")] = None,
    network: Annotated[str | None, typer.Option(help="cnn or mlp.", show_default="cnn")] = None,
    widths: Annotated[str | None, typer.Option(help="Channels at each halving, or units of each layer.", show_default="32,64 or 512,512")] = None,
    likelihood: Annotated[str | None, typer.Option(help="bernoulli or gaussian.", show_default="bernoulli for grey pictures")] = None,
    prior: Annotated[str | None, typer.Option(help="normal, or flow: a small invertible network shapes it.", show_default="normal")] = None,
    conditional: Annotated[bool, typer.Option("--conditional", help="Learn to make what class is asked for.")] = False,
    beta: Annotated[float | None, typer.Option(help="What the divergence from the prior is multiplied by.", show_default="1")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the pictures.", show_default="30")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures a step.", show_default="128")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest.", show_default="0.002")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without progress after which training stops.", show_default="never")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, f32 or bf16.", show_default="auto")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.", show_default="auto")] = None,
    option: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE: any other setting: blocks, couplings, weight_decay, schedule, warm_up, beta_warm_up, free_bits, samples, clip, average.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget a stopped run of the same command instead of going on.")] = False,
    importance_samples: Annotated[int, typer.Option(help="Codes a picture by which its likelihood is bounded.", rich_help_panel=Judging)] = 100,
    importance_pictures: Annotated[int, typer.Option(help="How many pictures, drawn at random.", rich_help_panel=Judging)] = 500,
    size: Annotated[int | None, typer.Option(help="Side of the pictures in pixels.", show_default="their own, up to 64", rich_help_panel=Data)] = None,
    fit: Annotated[str, typer.Option(help="How a picture becomes square: pad, crop or squash.", rich_help_panel=Data)] = "crop",
    unlabelled: Annotated[bool, typer.Option("--unlabelled", help="Folders are no classes.", rich_help_panel=Data)] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Where named datasets are; default SILVERPRINT_DATA.", rich_help_panel=Data)] = None,
    image_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file.", rich_help_panel=Data)] = None,
    label_column: Annotated[str | None, typer.Option(help="Of a CSV or JSONL file.", rich_help_panel=Data)] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.", show_default="0")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:  # fmt: skip
    """Learn to make pictures like those in a folder: a variational autoencoder.

    silverprint generate vae mnist --latent 32 --prior flow --out digits

    silverprint generate vae mnist --conditional --latent 2 --network mlp --epochs 20
    """
    from silverprint.models.shapes import VaeShape
    from silverprint.recipes.vae_settings import Measuring, VaeSettings
    from silverprint.training.checks import settings_from
    from silverprint.training.progress import Progress
    from silverprint.workflows.processes import main_process

    settings = settings_from(VaeSettings, {
        "latent": latent, "network": network, "widths": numbers(widths, "widths", int) or None,
        "likelihood": likelihood, "prior": prior, "conditional": conditional or None, "beta": beta,
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate,
        "patience": patience, "precision": precision, "device": device, "seed": seed,
        **settings_of(option),
    })  # fmt: skip
    measuring = Measuring(importance_samples, importance_pictures)
    square = check_places(out, size, fit)
    if size is not None:
        VaeShape(1, size, settings.latent, settings.network, settings.widths).check()
    progress = Progress(quiet)
    with progress.stage("read"):
        dataset = read_pictures(
            data, unlabelled=unlabelled, labelled=conditional, data_dir=data_dir,
            image_column=image_column, label_column=label_column,
        )  # fmt: skip
    with progress.stage("import"):
        need_extra()
        from silverprint.workflows.vae import make_vae
    made = make_vae(
        dataset, out, settings, progress, measuring=measuring, size=size, fit=square, fresh=fresh,
        command=typed(),
    )  # fmt: skip
    if not main_process():
        return
    result = result_of(
        out, made.trained, progress.seconds, notices=made.material.told, refused=made.material.refused,
        metrics={made.split: made.measures},
        classes=list(made.classes),
        weights=sum(p.numel() for p in made.trained.network.parameters()),
    )  # fmt: skip
    tell(result, made.lines(), "generate sample {} --out sheet.png", json=json, quiet=quiet)
