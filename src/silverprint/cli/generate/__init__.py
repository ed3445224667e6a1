"""`silverprint generate`: networks that make pictures, one verb a module."""

import typer

from silverprint.cli.generate.autoencoder import autoencoder
from silverprint.cli.generate.gan import gan
from silverprint.cli.generate.reconstruct import reconstruct
from silverprint.cli.generate.sample import sample
from silverprint.cli.generate.vae import vae
from silverprint.cli.generate.walk import walk

app = typer.Typer(
    help="Train networks that make pictures, and make some.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("autoencoder")(autoencoder)
app.command("vae")(vae)
app.command("gan")(gan)
app.command("reconstruct")(reconstruct)
app.command("sample")(sample)
app.command("walk")(walk)
