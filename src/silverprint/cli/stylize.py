"""`silverprint stylize`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silverprint.cli.common import numbers, pairs, print_json, settings_of
from silverprint.cli.trained import typed

if TYPE_CHECKING:
    from silverprint.workflows.stylize import Stylized

Network = "The network that judges"
Losses = "What counts"


def stylize(
    content: Annotated[str, typer.Argument(help="The picture whose contents stay.")],
    style: Annotated[list[str], typer.Argument(help="Pictures whose strokes and colours come.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The result: a .png, .jpg or .webp file.")] = Path("stylized.png"),
    size: Annotated[int | None, typer.Option(help="Longer side of the result in pixels.", show_default="384")] = None,
    steps: Annotated[int | None, typer.Option(help="Evaluations of the losses, over all scales.", show_default="150")] = None,
    scales: Annotated[int | None, typer.Option(help="From coarse to fine, each twice the one before.", show_default="3")] = None,
    start: Annotated[str | None, typer.Option(help="Begin with content, noise or style.", show_default="content")] = None,
    keep_colours: Annotated[str | None, typer.Option(help="Keep the content's colours: none, luminance or histogram.", show_default="none")] = None,
    style_weight: Annotated[float | None, typer.Option(help="Weight of the style loss.", show_default="1", rich_help_panel=Losses)] = None,
    content_weight: Annotated[float | None, typer.Option(help="Weight of the content loss.", show_default="0.1", rich_help_panel=Losses)] = None,
    tv_weight: Annotated[float | None, typer.Option(help="Weight of the total variation.", show_default="0.1", rich_help_panel=Losses)] = None,
    blend: Annotated[str | None, typer.Option(help="A weight for each style picture, such as 2,1.", show_default="equal", rich_help_panel=Losses)] = None,
    layers: Annotated[str | None, typer.Option(help="Layers of the style, with commas between.", show_default="the network's choice", rich_help_panel=Losses)] = None,
    content_layers: Annotated[str | None, typer.Option(help="Layers of the content.", show_default="the network's choice", rich_help_panel=Losses)] = None,
    backbone: Annotated[str | None, typer.Option(help="Any of `silverprint backbones`, vgg19-encoder or random.", show_default="efficientnet-lite0", rich_help_panel=Network)] = None,
    weights: Annotated[Path | None, typer.Option(help="Its weights as a .safetensors or .pth file.", rich_help_panel=Network)] = None,
    backbone_option: Annotated[list[str] | None, typer.Option(help="KEY=VALUE: mean, std, or what the network's builder takes.", rich_help_panel=Network)] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.", show_default="auto", rich_help_panel=Network)] = None,
    option: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE: any other setting, such as optimiser=adam.")] = None,
    strip: Annotated[Path | None, typer.Option(help="A picture of the stages on the way.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget a stopped run of the same command instead of going on.")] = False,
    seed: Annotated[int | None, typer.Option(help="Of what is random.", show_default="0")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:  # fmt: skip
    """Paint a picture in the style of others. Ctrl-C ends it with the best picture so far.

    silverprint stylize portrait.jpg painting.jpg --out result.png --strip stages.png

    silverprint stylize town.jpg one.jpg other.jpg --blend 2,1 --keep-colours luminance
    """
    from silverprint.backbones.registry import DEFAULT_BACKBONE
    from silverprint.recipes.style_settings import StyleSettings
    from silverprint.training.progress import Progress
    from silverprint.workflows.stylize import stylize as paint

    settings = StyleSettings.of(**{
        "size": size, "steps": steps, "scales": scales, "start": start,
        "keep_colours": keep_colours, "style_weight": style_weight,
        "content_weight": content_weight, "tv_weight": tv_weight,
        "blend": numbers(blend, "blend", float) or None, "layers": _names(layers),
        "content_layers": _names(content_layers), "device": device, "seed": seed,
        **settings_of(option),
    })  # fmt: skip
    progress = Progress(quiet)
    found = paint(
        content, style, out, settings, strip=strip, backbone=backbone or DEFAULT_BACKBONE,
        weights=weights, options=dict(pairs(backbone_option or [], "--backbone-option")),
        fresh=fresh, progress=progress, command=typed(),
    )  # fmt: skip
    if json:
        print_json(found.to_json())
    elif not quiet:
        _print(found)
    if found.result.stopped:
        raise typer.Exit(130)


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _print(found: "Stylized") -> None:
    from silverprint.data.conventions import counted

    result, record = found.result, found.record
    for notice in record["notices"]:
        typer.echo(f"note: {notice}")
    typer.echo(str(result.losses))
    typer.echo(
        f"{counted(result.steps, 'step')} at {counted(len(result.scales), 'scale')} with "
        f"{record['network']['name']}, {result.seconds:.1f} s, "
        f"{record['seconds_per_step']:.2f} s a step"
    )
    typer.echo(f"picture {found.picture}, {record['width']} x {record['height']} pixels")
    if found.strip is not None:
        typer.echo(f"strip {found.strip}")
    typer.echo(f"report {found.report}")
