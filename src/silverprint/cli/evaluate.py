"""`silverprint evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from silverprint.cli.common import (
    percent,
    print_json,
    print_refused,
    refused_as_json,
    seconds_as_json,
    table,
)

if TYPE_CHECKING:
    from silverprint.workflows.evaluate import Evaluation


def evaluate(
    bundle: Annotated[str, typer.Argument(help="A bundle's folder.")],
    data: Annotated[str, typer.Argument(help="Labelled pictures, as for train.")],
    split: Annotated[str | None, typer.Option(help="train, validation, test or all; default test.")] = None,
    coverage: Annotated[float | None, typer.Option(help="Measure the sets of labels that should hold the truth for this share of pictures, such as 0.95.", show_default=False)] = None,
    accept: Annotated[float | None, typer.Option(help="Share of known pictures to answer; the rest is unknown. 1 answers all.", show_default="the bundle's, 0.95")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where named datasets are.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the measures, and errors.")] = False,
) -> None:  # fmt: skip
    """Measure a bundle on labelled pictures: accuracy, precision, recall, calibration, mistakes."""
    from silverprint.data.read import read
    from silverprint.training.progress import Progress
    from silverprint.workflows.evaluate import evaluate_bundle
    from silverprint.workflows.predict import open_bundle

    opened = open_bundle(bundle, quiet=quiet)
    dataset = read(data, data_dir=data_dir)
    progress = Progress(quiet)
    found = evaluate_bundle(opened, dataset, progress, split, coverage, accept)
    if json:
        print_json(_result(found, progress.seconds))
    else:
        _print(found)


def _result(found: "Evaluation", seconds: dict[str, float]) -> dict[str, Any]:
    return {
        "split": found.split,
        "metrics": found.metrics,
        "mistakes": [
            {"file": file, "truth": truth, "label": label, "probability": round(probability, 6)}
            for file, truth, label, probability in found.wrong
        ],
        "refused": refused_as_json(found.refused),
        "seconds": seconds_as_json(seconds),
    }


def _print(found: "Evaluation") -> None:
    rows = [
        (name, *(_number(facts[key]) for key in ("precision", "recall", "f1")),
         str(facts["support"]))
        for name, facts in found.metrics["per_class"].items()
    ]  # fmt: skip
    table(("class", "precision", "recall", "F1", "pictures"), rows)
    low, high = found.metrics["accuracy_interval"]
    typer.echo(
        f"{found.split} accuracy {percent(found.metrics['accuracy'])} (95 % interval "
        f"{percent(low)} to {percent(high)}, {found.metrics['n']:,} pictures), "
        f"calibration error {percent(found.metrics['calibration']['error'])}"
    )
    if unknown := found.metrics["n"] - found.metrics.get("answered", found.metrics)["n"]:
        right = found.metrics["answered"]["accuracy"]
        of_others = "" if right is None else f"; of the others {percent(right)} are right"
        typer.echo(f"unknown to it: {unknown:,} of {found.metrics['n']:,}{of_others}")
    if "sets" in found.metrics:
        typer.echo(_sets(found.metrics["sets"]))
    for file, truth, label, probability in found.wrong[:5]:
        typer.echo(f"mistake: {file} is {truth}, answered {label} with {percent(probability)}")
    print_refused(found.refused, "--json lists them")


def _sets(sets: dict[str, Any]) -> str:
    low, high = sets["coverage_interval"]
    sizes = ", ".join(f"{count:,} of {size}" for size, count in sets["sizes"].items())
    told = (
        f"sets that should hold the truth for {percent(sets['asked'])} of pictures hold it for "
        f"{percent(sets['coverage'])} (95 % interval {percent(low)} to {percent(high)}), with "
        f"{sets['mean_size']:.2f} labels on average (pictures by labels: {sizes})"
    )
    answered = sets["answered"]
    if not 0 < answered["n"] < sum(sets["sizes"].values()):
        return told
    return f"{told}; of the {answered['n']:,} not unknown, for {percent(answered['coverage'])}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
