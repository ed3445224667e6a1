"""`silverprint generate`: networks that make pictures, one verb a module."""

import typer

from silverprint.cli.generate.autoencoder import autoencoder
from silverprint.cli.generate.reconstruct import reconstruct

app = typer.Typer(
    help="Train networks that make pictures, and make some.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("autoencoder")(autoencoder)
app.command("reconstruct")(reconstruct)
