"""`silverprint summary`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silverprint.cli.common import print_json, table
from silverprint.errors import MissingExtraError

if TYPE_CHECKING:
    from silverprint.inspection.architecture import Architecture, Layer


def summary(
    network: Annotated[str, typer.Argument(help="A bundle's folder; a pretrained network's name; or mlp, cnn, resnet, cnn:signs.")],
    draw: Annotated[Path | None, typer.Option(help="Draw it, to scale: a .svg or .png file.")] = None,
    every: Annotated[bool, typer.Option("--every-layer", help="List every layer, not only blocks.")] = False,
    size: Annotated[int | None, typer.Option(help="Side of the input in pixels; default the network's own.")] = None,
    channels: Annotated[int | None, typer.Option(help="1 or 3, for mlp, cnn and resnet.", show_default="3")] = None,
    classes: Annotated[int | None, typer.Option(help="Outputs of an mlp, cnn or resnet.", show_default="10")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
) -> None:  # fmt: skip
    """List a network's layers: shapes, parameters, operations, and what of it learns.

    silverprint summary bundle --draw network.svg

    silverprint summary vgg16
    """
    try:
        from silverprint.workflows.summary import summarise

        found = summarise(network, size=size, channels=channels, classes=classes, drawing=draw)
    except ImportError as error:
        raise MissingExtraError("summary", "train") from error
    if json:
        print_json(found.to_json() | {"drawing": None if draw is None else str(draw)})
        return
    layers = found.layers if every else found.blocks
    table(("layer", "kind", "output", "parameters", "multiply-adds", "learns"), map(_row, layers))
    print_totals(found)
    if draw is not None:
        typer.echo(f"drawing {draw}")


def print_totals(found: "Architecture") -> None:
    """Print what the whole network amounts to."""
    if len(found.parts) > 1:
        for part in found.parts:
            typer.echo(
                f"{part.name}: {part.parameters:,} parameters, {part.multiply_adds:,} multiply-adds"
            )
    given = " x ".join(map(str, found.given))
    typer.echo(
        f"{found.title}: {found.parameters:,} parameters, {found.learning:,} of them learn; input "
        f"{given}"
    )
    typer.echo(
        f"{found.multiply_adds:,} multiply-adds a {found.each}, that is {2 * found.multiply_adds / 1e9:.3g} "
        "GFLOPs where a multiply-add counts as two operations"
    )


def _row(layer: "Layer") -> tuple[str, ...]:
    kind = f"{layer.kind} {layer.detail}".strip()
    learns = "" if not layer.parameters else "frozen" if not layer.learning else "yes"
    if layer.learning and layer.learning < layer.parameters:
        learns = "in part"
    shape = " x ".join(map(str, layer.shape)) or "–"
    return (
        layer.name,
        kind,
        shape,
        f"{layer.parameters:,}" if layer.parameters else "",
        f"{layer.multiply_adds:,}" if layer.multiply_adds else "",
        learns,
    )
