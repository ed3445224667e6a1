"""`silverprint generate reconstruct`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silverprint.cli.common import fail, print_json, table

if TYPE_CHECKING:
    from silverprint.workflows.reconstruct import Reconstructed


def reconstruct(
    model: Annotated[Path, typer.Argument(help="The bundle of an autoencoder, denoiser or vae.")],
    pictures: Annotated[list[str], typer.Argument(help="Pictures, or folders of them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The sheet: originals over what was made of them, PNG.")] = Path("reconstructed.png"),
    noise: Annotated[str, typer.Option(help="Lay noise over the pictures first: gaussian, salt-and-pepper or masking.")] = "none",
    strength: Annotated[float | None, typer.Option(help="Of the noise.", show_default="0.5")] = None,
    label: Annotated[str | None, typer.Option(help="The pictures' class, for a model that is told it.")] = None,
    columns: Annotated[int, typer.Option(min=1, help="Most pictures side by side.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
) -> None:  # fmt: skip
    """Send pictures through an autoencoder, and lay originals over what comes out.

    silverprint generate reconstruct autoencoder photos/ --out sheet.png

    silverprint generate reconstruct denoiser photo.jpg --noise gaussian --strength 0.5
    """
    from silverprint.workflows.reconstruct import reconstruct as run

    found = run(
        model, pictures, out, noise=noise, strength=strength, label=label, columns=columns,
        seed=seed,
    )  # fmt: skip
    if json:
        print_json(found.to_json())
    else:
        _print(found)
    if found.refused and not json:
        fail(f"{len(found.refused)} of {len(found.refused) + len(found.names)} pictures could not "
             "be read")  # fmt: skip


def _print(found: "Reconstructed") -> None:
    noisy = found.noisy_psnr is not None
    rows = [
        (row["file"], *([f"{row['noisy_psnr']:.1f} dB"] if noisy else []), f"{row['psnr']:.1f} dB")
        for row in found.to_json()["pictures"]
    ]
    table(("file", *(["PSNR under noise"] if noisy else []), "PSNR"), rows)
    for file, reason in found.refused:
        typer.echo(f"refused: {file}: {reason}")
    typer.echo(f"sheet {shlex.quote(str(found.out))}")
