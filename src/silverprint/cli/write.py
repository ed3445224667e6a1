"""`silverprint write`: a character model learns from a text and writes on."""

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from silverprint.cli.common import need_extra, print_json, settings_of
from silverprint.cli.trained import check_places, result_of, tell, typed

app = typer.Typer(
    help="Train a character model on a text, and let it write.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("train")
def train(
    text: Annotated[Path, typer.Argument(help="A UTF-8 text file, .gz or not.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the model.")] = Path("writer"),
    epochs: Annotated[int | None, typer.Option(help="Passes over the text.", show_default="20")] = None,
    width: Annotated[int | None, typer.Option(help="Units of each layer.", show_default="512")] = None,
    layers: Annotated[int | None, typer.Option(help="Layers of the LSTM.", show_default="2")] = None,
    dropout: Annotated[float | None, typer.Option(help="Share of each layer's outputs that is silenced.", show_default="0.4")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Strips of the text that are read side by side.", show_default="8 to 64, by the text's length")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest.", show_default="0.003")] = None,
    option: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE: any other setting of the recipe, such as length=100, embedding=64 or held_out=0.2.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget a stopped run of the same command instead of going on.")] = False,
    seed: Annotated[int | None, typer.Option(help="Of everything random.", show_default="0")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:  # fmt: skip
    """Train a character model on a text; its end is held out to judge by.

    silverprint write train anna.txt --out anna

    silverprint write train anna.txt --width 256 --epochs 20 --set length=100
    """
    from silverprint.data.text import read_text
    from silverprint.recipes.char_lm_settings import TextSettings
    from silverprint.training.checks import settings_from
    from silverprint.training.progress import Progress

    settings = settings_from(TextSettings, {
        "epochs": epochs, "width": width, "layers": layers, "dropout": dropout,
        "batch_size": batch_size, "learning_rate": learning_rate, "seed": seed,
        **settings_of(option),
    })  # fmt: skip
    check_places(out)
    progress = Progress(quiet)
    with progress.stage("read"):
        read = read_text(text, settings.held_out)
    with progress.stage("import"):
        need_extra()
        from silverprint.workflows.write import train_text_model
    run = train_text_model(read, out, settings, progress, fresh=fresh, command=typed())
    result = result_of(
        out, run.fitted, progress.seconds, metrics={"validation": run.measures}, parity=run.parity,
        weights=sum(p.numel() for p in run.fitted.network.parameters()),
        samples=[asdict(one) for one in run.passages], notices=run.notices,
    )  # fmt: skip
    prime = f"write sample {{}} --prime {shlex.quote(run.passages[0].prime)}"
    tell(result, [run.summary()], prime, json=json, quiet=quiet)


@app.command("sample")
def sample(
    model: Annotated[Path, typer.Argument(help="Folder that `write train` made.")],
    prime: Annotated[str, typer.Option(help="Text to write on from.")] = "",
    length: Annotated[int, typer.Option("--length", "-n", help="Characters to write.")] = 500,
    temperature: Annotated[float, typer.Option(help="Below 1 more careful, above 1 wilder; 0 always takes the likeliest.")] = 0.8,
    top_k: Annotated[int, typer.Option(help="Draw among so many of the likeliest; 0 for all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw among the likeliest that hold this share of the probability.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed writes the same.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
) -> None:  # fmt: skip
    """Let a character model write on from a few words.

    silverprint write sample anna --prime "Happy families are" --temperature 0.7
    """
    from silverprint.runtime.text import Taste, read_text_model

    taste = Taste(temperature, top_k, top_p)
    pieces = read_text_model(model).stream(prime, length, taste, seed)
    if json:
        told = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        print_json({"prime": prime, "text": "".join(pieces), **told})
        return
    sys.stdout.write(prime)
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
