"""`silverprint serve`."""

from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from silverprint.serving.settings import Mode


def serve(
    bundles: Annotated[list[str], typer.Argument(metavar="BUNDLE...", help="Bundles' folders, or NAME=FOLDER; imagenet too.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes any that is free.")] = 8000,
    api_key: Annotated[str | None, typer.Option(envvar="SILVERPRINT_API_KEY", help="Let in only requests that bring this key.", show_default=False)] = None,
    cors: Annotated[list[str] | None, typer.Option(metavar="ORIGIN", help="Let this origin's pages call the server; may be repeated.")] = None,
    mode: Annotated[str, typer.Option(help="What the page does: classify, or spell the answers out as text.")] = "classify",
    accept: Annotated[float | None, typer.Option(help="Share of known pictures to answer; the rest is unknown. 1 answers all.", show_default="the bundle's, 0.95")] = None,
    coverage: Annotated[float | None, typer.Option(help="Add to each answer the set of labels that holds the truth for this share of pictures, such as 0.95.", show_default=False)] = None,
    max_bytes: Annotated[int, typer.Option(help="Of a request's body.")] = 32 << 20,
    max_pixels: Annotated[int, typer.Option(help="Of a picture.")] = 25_000_000,
    queue: Annotated[int, typer.Option(help="Pictures that may wait; one more is answered with 429.")] = 256,
    timeout: Annotated[float, typer.Option(help="Seconds a request may take to arrive, and again to be answered.")] = 30.0,
    threads: Annotated[int, typer.Option(help="Pictures in work at once; 0 is one on each core.", show_default=False)] = 0,
    batch: Annotated[int, typer.Option(help="Pictures of one size that a thread runs together, if they wait.")] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log only what goes wrong.")] = False,
) -> None:  # fmt: skip
    """Answer over HTTP: a page at /, pictures at /predict, the rest at /docs.

    silverprint serve bundle

    silverprint serve clothing cats=runs/7/bundle --host 0.0.0.0 --api-key SECRET
    """
    from silverprint.serving.settings import Settings, named_bundles

    settings = Settings(
        max_bytes=max_bytes, max_pixels=max_pixels, queue=queue, timeout=timeout, threads=threads,
        batch=batch, api_key=api_key, cors=tuple(cors or ()), mode=cast("Mode", mode),
        accept=accept, coverage=coverage,
    )  # fmt: skip
    named = named_bundles(bundles)

    from silverprint.serving import logs, server
    from silverprint.serving.app import create_app

    with server.bind(host, port) as listening:
        app = create_app({name: _folder(path, quiet) for name, path in named.items()}, settings)
        address = server.address_of(listening)
        made = server.make_server(app, settings, lambda: _say(named, address))
        logs.configure(quiet)  # last: what fails before it leaves logging as it was
        made.run(sockets=[listening])


def _folder(path: str, quiet: bool) -> str:
    """Return a bundle's folder; that of a pretrained network is made if it is not there yet."""
    if path.partition(":")[0] != "imagenet":
        return path
    from silverprint.workflows.predict import open_bundle

    return str(open_bundle(path, quiet=quiet).path)


def _say(named: dict[str, str], address: str) -> None:
    typer.echo(f"{', '.join(named)} at {address} (documentation at {address}/docs); Ctrl-C stops")
