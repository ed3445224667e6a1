"""The application: its verbs, and what each kind of error does.

Exit codes: 0 fine; 2 the user's input was wrong (one line); 1 a fault of ours; 130 stopped.
"""

import sys
from collections.abc import Sequence

import typer

from silverprint.cli import (
    audit,
    augment,
    backbones,
    compare,
    datasets,
    doctor,
    evaluate,
    explain,
    export,
    features,
    generate,
    kernels,
    predict,
    serve,
    stylize,
    summary,
    train,
    tune,
    write,
)
from silverprint.cli import next as next_verb
from silverprint.cli.common import fail, print_any_letter
from silverprint.errors import SilverprintError

STOPPED = "stopped; what was saved is kept, and the same command goes on from there"

app = typer.Typer(
    name="silverprint",
    help="From a folder of pictures to a tested, explained, deployable model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train")(train.train)
app.command("tune")(tune.tune)
app.command("compare")(compare.compare)
app.command("predict")(predict.predict)
app.command("evaluate")(evaluate.evaluate)
app.command("export")(export.export)
app.command("features")(features.features)
app.command("serve")(serve.serve)
app.command("audit")(audit.audit)
app.command("explain")(explain.explain)
app.command("summary")(summary.summary)
app.command("kernels")(kernels.kernels)
app.command("next")(next_verb.next_)
app.add_typer(generate.app, name="generate")
app.command("stylize")(stylize.stylize)
app.add_typer(write.app, name="write")
app.command("augment")(augment.augment)
app.command("backbones")(backbones.backbones)
app.command("datasets")(datasets.datasets)
app.command("doctor")(doctor.doctor)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    """From a folder of pictures to a tested, explained, deployable model."""
    if version:
        from silverprint import __version__

        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(arguments: Sequence[str], debug: bool = False) -> int:
    """Run one command and return its exit code; with `debug`, errors keep their traceback."""
    print_any_letter()
    try:
        app(args=list(arguments), prog_name="silverprint")
    except SystemExit as stop:
        if stop.code == 130:  # typer has caught the KeyboardInterrupt
            fail(STOPPED)
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        fail(STOPPED)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except SilverprintError as error:
        if debug:
            raise
        fail(str(error))
        return 2
    except Exception as error:
        if debug:
            raise
        if _is_full_memory(error):
            fail(
                "memory is full. Take smaller pictures (--size), fewer at a time (--batch-size), or "
                "end what else is using it; what was saved is kept."
            )
            return 2
        fail(
            f"this is our fault, not yours: {type(error).__name__}: {error}\n"
            "Run it again with SILVERPRINT_DEBUG=1 for the traceback, and please report it."
        )
        return 1
    return 0


def _is_full_memory(error: Exception) -> bool:
    # torch's error has this name on every device but the processor, where it has a text only.
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "can't allocate memory" in str(error)
