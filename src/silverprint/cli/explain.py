"""`silverprint explain`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silverprint.cli.common import percent, print_json, table
from silverprint.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from silverprint.inspection.architecture import Architecture
    from silverprint.workflows.explain import Explanation


def explain(
    bundle: Annotated[str, typer.Argument(help="A bundle's folder, or imagenet, or imagenet:BACKBONE.")],
    image: Annotated[str | None, typer.Argument(help="A picture.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="Folder for the figure and its parts.")] = Path("explanation"),
    pictures: Annotated[str | None, typer.Option(help="The training data, as for train: its nearest pictures are shown.")] = None,
    neighbours: Annotated[int, typer.Option(help="How many of them.")] = 8,
    top: Annotated[int, typer.Option(help="How many classes to name.")] = 5,
    class_: Annotated[list[str] | None, typer.Option("--class", help="Explain this class, not the answer; repeatable.")] = None,
    cam_layer: Annotated[str | None, typer.Option(help="The layer for Grad-CAM.", show_default="the last map")] = None,
    occlusion: Annotated[bool, typer.Option(help="Also hide one square after the other; takes some seconds.")] = True,
    patch: Annotated[int | None, typer.Option(help="Side of the hidden square in pixels of the network's input.", show_default="a fifth")] = None,
    layer: Annotated[list[str] | None, typer.Option(help="Show this layer's activations; repeatable.")] = None,
    inside: Annotated[bool | None, typer.Option("--inside/--no-inside", help="Filters, pooling, norms, dropout.", show_default="for networks from scratch")] = None,
    layers: Annotated[bool, typer.Option("--layers", help="List the layers' names and stop.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Where named datasets are.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:  # fmt: skip
    """Show where a model looked, which training pictures are nearest, and what its layers hold.

    silverprint explain bundle photo.jpg --pictures photos/

    silverprint explain bundle --layers
    """
    if not layers and image is None:
        raise ConfigError("explain needs a picture, or --layers to list the network's layers.")
    from silverprint.workflows.predict import open_bundle

    opened = open_bundle(bundle, quiet=quiet)
    try:
        from silverprint.data.read import read
        from silverprint.training.progress import Progress
        from silverprint.workflows.explain import ExplainSettings, explain_picture
        from silverprint.workflows.summary import describe_bundle

        if layers:
            _list(describe_bundle(opened), json)
            return
        assert image is not None
        settings = ExplainSettings(
            top, tuple(class_ or ()), neighbours, cam_layer, occlusion, patch, tuple(layer or ()),
            inside,
        )  # fmt: skip
        data = None if pictures is None else read(pictures, data_dir=data_dir)
        found = explain_picture(opened, image, out, settings, Progress(quiet), data)
    except ImportError as error:
        raise MissingExtraError("explain", "train") from error
    if json:
        print_json(found.to_json())
    elif not quiet:
        _print(found)


def _list(found: "Architecture", json: bool) -> None:
    rows = [
        (layer.name, f"{layer.kind} {layer.detail}".strip(), " x ".join(map(str, layer.shape)))
        for layer in found.layers
    ]
    if json:
        print_json([{"name": name, "kind": kind, "shape": shape} for name, kind, shape in rows])
    else:
        table(("layer", "kind", "output"), rows)


def _print(found: "Explanation") -> None:
    answer = found.answer
    table(("class", "probability"), [(label, percent(share)) for label, share in answer.top])
    if answer.unknown:
        typer.echo("unknown: it is unlike what the model learned from; the likeliest is explained")
    for target in found.targets:
        if target.least is not None:
            typer.echo(
                f"{target.label}: {percent(target.probability)}, and {percent(target.least)} with "
                "the worst square hidden"
            )
    if found.neighbours:
        rows = [(one.file, one.label, f"{one.similarity:.3f}") for one in found.neighbours]
        table(("nearest training picture", "label", "cosine"), rows)
    else:
        typer.echo(f"nearest training pictures: {found.beside}")
    for notice in found.notices:
        typer.echo(notice)
    for path in found.files.values():
        if path.endswith((".svg", "explanation.png", "inside.png")):
            typer.echo(f"figure {path}")
