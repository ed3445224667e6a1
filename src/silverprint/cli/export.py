"""`silverprint export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silverprint.cli.common import percent, print_json

if TYPE_CHECKING:
    from silverprint.workflows.export import Exported


def export(
    bundle: Annotated[str, typer.Argument(help="A bundle's folder, imagenet, or imagenet:BACKBONE.")],
    to: Annotated[str, typer.Option(help="onnx, torchscript, openvino, triton or web.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new file (onnx, torchscript) or folder (the others).")],
    pictures: Annotated[str | None, typer.Option(metavar="DATA", help="Compare answers on these, as given to train; else on two sample photos.")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="onnx: quantise the network, calibrated and judged on --pictures.")] = False,
    max_drop: Annotated[float, typer.Option(help="int8: refuse to lose more accuracy than this share.")] = 0.01,
    runtime: Annotated[str | None, typer.Option(help="web: a folder of, or a link to, onnxruntime-web's dist files; default npm.")] = None,
    mode: Annotated[str, typer.Option(help="web: classify, or spell the answers out as text.")] = "classify",
    data_dir: Annotated[Path | None, typer.Option(help="Where named datasets are.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:  # fmt: skip
    """Write a bundle in another format, and prove that it answers the same.

    silverprint export bundle --to onnx --out clothes.onnx --pictures photos

    silverprint export bundle --to onnx --int8 --out small.onnx --pictures photos

    silverprint export bundle --to openvino --out clothes-ir
    """
    from silverprint.training.progress import Progress
    from silverprint.workflows.export import ExportSettings, export_bundle
    from silverprint.workflows.predict import open_bundle

    settings = ExportSettings(to, int8, max_drop, runtime, mode)
    settings.check(out, pictures is not None)
    opened = open_bundle(bundle, quiet=quiet)
    dataset = None
    if pictures is not None:
        from silverprint.data.read import read

        dataset = read(pictures, data_dir=data_dir)
    exported = export_bundle(opened, out, settings, dataset, Progress(quiet))
    if json:
        print_json(exported.to_json())
    elif not quiet:
        _print(exported)


def _print(exported: "Exported") -> None:
    parity, cost = exported.parity, exported.cost
    typer.echo(f"{exported.out}: {exported.to}, {exported.size / 1e6:.1f} MB")
    if cost is not None:
        typer.echo(
            f"{cost.split} accuracy {percent(cost.before)} before and {percent(cost.after)} after "
            f"({cost.pictures:,} pictures, {percent(cost.same_label)} with the same label)"
        )
    typer.echo(
        f"largest difference of a probability {parity.largest:.6f}, on {parity.where}; "
        f"{percent(parity.same_label)} with the same label "
        f"({parity.pictures} samples of {parity.source})"
    )
