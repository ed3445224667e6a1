"""`silverprint generate walk`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from silverprint.cli.common import print_json


def walk(
    model: Annotated[Path, typer.Argument(help="The bundle of a vae or gan; of an autoencoder with --between.")],
    between: Annotated[tuple[str, str] | None, typer.Option(help="Two pictures to begin and end at.", show_default="random codes")] = None,
    grid: Annotated[bool, typer.Option("--grid", help="Cover the plane of a network with two numbers a code.")] = False,
    steps: Annotated[int, typer.Option(help="Pictures of a walk, or of a grid's side.")] = 12,
    walks: Annotated[int, typer.Option(help="How many, between random codes.")] = 6,
    way: Annotated[str | None, typer.Option(help="spherical or linear.", show_default="spherical; linear for an autoencoder")] = None,
    class_name: Annotated[str | None, typer.Option("--class", help="Of a network that is told the class.", show_default="a walk of each; a grid of the first; needed with --between")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random codes.")] = 0,
    out: Annotated[Path, typer.Option("--out", "-o", help="The sheet: .png, .jpg or .webp.")] = Path("walk.png"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
) -> None:  # fmt: skip
    """Walk through what a network can make, from picture to picture.

    silverprint generate walk vae --between one.png two.png

    silverprint generate walk vae-2d --grid --steps 20
    """
    from silverprint.workflows.latent import walk as run

    square: Any = way  # whatever it is, the workflow checks it
    told = run(
        model, out, between=between, grid=grid, steps=steps, walks=walks, way=square,
        class_name=class_name, seed=seed,
    )  # fmt: skip
    if json:
        print_json(told)
    else:
        typer.echo(f"{told['pictures']} pictures, {told['walk']}: {told['sheet']}")
