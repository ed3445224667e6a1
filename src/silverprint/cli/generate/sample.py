"""`silverprint generate sample`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from silverprint.cli.common import print_json


def sample(
    model: Annotated[Path, typer.Argument(help="The bundle of a vae or gan.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A sheet (.png, .jpg, .webp), or a new folder for single files.")] = Path("sheet.png"),
    n: Annotated[int, typer.Option("--n", "-n", help="How many pictures.")] = 64,
    class_name: Annotated[str | None, typer.Option("--class", help="What to make, of a network that is told the class.", show_default="all in turn")] = None,
    temperature: Annotated[float, typer.Option(help="Under 1 the usual, above 1 the unusual.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes other pictures.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
) -> None:  # fmt: skip
    """Make new pictures.

    silverprint generate sample vae --n 64 --out sheet.png

    silverprint generate sample gan --class 7 --n 1000 --out sevens
    """
    from silverprint.workflows.latent import sample as run

    made = run(model, out, count=n, class_name=class_name, seed=seed, temperature=temperature)
    if json:
        print_json({"out": str(made.out), "pictures": made.count, "classes": list(made.classes)})
    else:
        typer.echo(f"{made.count:,} pictures in {shlex.quote(str(made.out))}")
