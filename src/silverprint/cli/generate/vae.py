"""`silverprint generate vae`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from silverprint.cli.common import need_extra, numbers, print_json, read_pictures, settings_of

if TYPE_CHECKING:
    from silverprint.workflows.vae import Made

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
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:  # fmt: skip
    """Learn to make pictures like those in a folder: a variational autoencoder.

    silverprint generate vae mnist --latent 32 --prior flow --out digits

    silverprint generate vae mnist --conditional --latent 2 --network mlp --epochs 20
    """
    from silverprint.training.progress import Progress

    progress = Progress(quiet)
    given = {
        "latent": latent, "network": network, "widths": numbers(widths, "widths", int) or None,
        "likelihood": likelihood, "prior": prior, "conditional": conditional or None, "beta": beta,
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate,
        "patience": patience, "precision": precision, "device": device, "seed": seed,
        **settings_of(option),
    }  # fmt: skip
    with progress.stage("import"):
        need_extra()
        from silverprint.recipes.vae_settings import VaeSettings
        from silverprint.training.checks import settings_from
        from silverprint.workflows.processes import main_process
        from silverprint.workflows.vae import Measuring, make_vae
    settings = settings_from(VaeSettings, given)
    measuring = Measuring(importance_samples, importance_pictures)
    with progress.stage("read"):
        dataset = read_pictures(
            data, unlabelled=unlabelled, data_dir=data_dir, image_column=image_column,
            label_column=label_column,
        )  # fmt: skip
    command = shlex.join(["silverprint", *sys.argv[1:]])
    square: Any = fit  # whatever it is, Preprocessing checks it
    made = make_vae(
        dataset, out, settings, progress, measuring=measuring, size=size, fit=square, fresh=fresh,
        command=command,
    )  # fmt: skip
    if not main_process():
        return
    if json:
        print_json(_result(made, out, progress.seconds))
    elif not quiet:
        _print(made, out, progress.seconds)


def _result(made: "Made", out: Path, seconds: dict[str, float]) -> dict[str, Any]:
    rounded = {name: round(value, 3) for name, value in seconds.items()}
    return {
        "bundle": str(out),
        "metrics": {made.split: made.measures},
        "curves": made.trained.curves,
        "epoch": made.trained.best_epoch,
        "epochs": made.trained.epochs,
        "weights": sum(p.numel() for p in made.trained.network.parameters()),
        "refused": [{"file": f, "reason": reason} for f, reason in made.material.refused],
        "notices": [*made.material.dataset.notices, *made.material.notices],
        "seconds": {**rounded, "total": round(sum(seconds.values()), 3)},
    }


def _print(made: "Made", out: Path, seconds: dict[str, float]) -> None:
    for notice in (*made.material.dataset.notices, *made.material.notices):
        typer.echo(f"note: {notice}")
    for file, reason in made.material.refused[:10]:
        typer.echo(f"refused: {file}: {reason}")
    found = made.measures
    typer.echo(
        f"{made.split}: -log p at most {found['nll']:.2f} ± {found['nll_error']:.2f} nats "
        f"({found['nll_pictures']:,} pictures, {found['samples']:,} codes each); bound with one "
        f"code {found['negative_elbo']:.2f} = {found['reconstruction']:.2f} reconstruction + "
        f"{found['divergence']:.2f} divergence"
    )
    typer.echo(f"{found['active_units']} of {found['units']} numbers of a code are in use")
    told = f"epoch {made.trained.best_epoch} of {made.trained.epochs} ships"
    typer.echo(f"{told}, {sum(seconds.values()):.1f} s in all")
    typer.echo(f"bundle {out}, report {out / 'report.html'}")
    typer.echo(f"next: silverprint generate sample {shlex.quote(str(out))} --out sheet.png")
