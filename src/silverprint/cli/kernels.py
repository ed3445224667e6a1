"""`silverprint kernels`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from silverprint.cli.common import numbers, print_json, table
from silverprint.errors import MissingExtraError


def kernels(
    image: Annotated[str, typer.Argument(help="A picture.")],
    kernel: Annotated[list[str] | None, typer.Option(help='Your own: "0,1,0;1,-4,1;0,1,0", or a file with a row a line; repeatable.')] = None,
    canny: Annotated[str, typer.Option(help="Canny's thresholds LOW,HIGH.")] = "100,200",
    size: Annotated[int, typer.Option(help="Longest side in pixels to which the picture is reduced first.")] = 800,
    out: Annotated[Path, typer.Option(help="The figure: a .png or .svg file.")] = Path("kernels.png"),
    separate: Annotated[Path | None, typer.Option(help="A folder for each result as a PNG.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
) -> None:  # fmt: skip
    """Show what small kernels do to a picture: blur, sharpen, emboss, edges, and your own.

    silverprint kernels road.jpg --kernel "1,1,1;1,-8,1;1,1,1"
    """
    try:
        from silverprint.workflows.kernels import filter_picture

        thresholds = numbers(canny, "canny", float)
        found = filter_picture(
            image, out, kernels=kernel or (), size=size, thresholds=thresholds, separate=separate
        )
    except ImportError as error:
        raise MissingExtraError("kernels", "train") from error
    if json:
        print_json(found.to_json())
        return
    rows = [
        (
            one.kernel.name,
            _short(one.kernel.weights),
            f"cv2.{one.kernel.opencv}",
            f"{one.difference:.1g}",
        )
        for one in found.filtered
    ]
    table(("filter", "kernel", "OpenCV", "torch differs by (of 255)"), rows)
    height, width = found.size
    typer.echo(f"figure {found.figure}, of {width} x {height} pixels")
    for path in found.files.values():
        typer.echo(f"picture {path}")


def _short(weights: Any) -> str:
    """Return a small kernel's weights, and a large one's sides."""
    if weights.size > 9:
        return " x ".join(map(str, weights.shape))
    return "; ".join(",".join(f"{value:g}" for value in row) for row in weights)
