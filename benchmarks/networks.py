"""Networks trained here: what they reach, and in how many minutes. Used by run.py.

Each section takes the folder of the clothing photos, whose neighbours hold the other datasets.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import PROGRAM, percent, table, timed

LETTERS = "abcdefghiklmnopqrstuvwxy"  # what the numbers of the sign language files mean
INITIALISATIONS = ("zeros", "ones", "uniform", "normal", "he")
MINUTES = 60


def silverprint(cache: Path, *arguments: object) -> tuple[float, Any]:
    """Run a verb with --json; return its wall seconds and its result."""
    command = [PROGRAM, *map(str, arguments), "--json"]
    if arguments[0] != "predict":
        command.append("--quiet")
    seconds, output, _ = timed(command, cache)
    return seconds, json.loads(output)


def trained(
    folder: Path, rows: Sequence[tuple[str, Sequence[object]]]
) -> tuple[list[list[str]], dict[str, Any]]:
    """Train each (name, arguments); return table rows, and each result by name."""
    lines, results = [], {}
    for name, arguments in rows:
        out = folder / name.replace(" ", "-")
        seconds, result = silverprint(folder / "cache", "train", *arguments, "--out", out)
        results[name] = {**result, "seconds in all": seconds}
        network = result.get("network", {})
        lines.append([
            name,
            percent(result["metrics"]["test"]["accuracy"]),
            percent(result["metrics"]["validation"]["accuracy"]),
            str(network.get("epochs", "–")),
            f"{trained_seconds(result['seconds']) / MINUTES:.1f}",
            f"{seconds / MINUTES:.1f}",
        ])  # fmt: skip
    return lines, results


def trained_seconds(stages: dict[str, float]) -> float:
    """Return what the training itself took, whatever was trained."""
    return sum(stages.get(name, 0.0) for name in ("heads", "views", "train", "fine-tune"))


HEADER = ("network", "test", "validation", "epochs", "minutes of training", "minutes in all")


def digits(data: Path, _: int, folder: Path) -> str:
    """MNIST and Fashion-MNIST."""
    lines, _ = trained(
        folder,
        [
            ("MNIST MLP", (data.parent / "mnist", "--from-scratch", "--model", "mlp")),
            ("MNIST CNN", (data.parent / "mnist", "--from-scratch", "--model", "cnn")),
            ("Fashion-MNIST CNN", ("fashion-mnist", "--from-scratch", "--model", "cnn",
                                   "--epochs", 16, "--augment", "light")),
        ],
    )  # fmt: skip
    return "## MNIST and Fashion-MNIST from scratch\n\n" + table(HEADER, lines)


def signs(data: Path, _: int, folder: Path) -> str:
    """Sign language: what generalises to other hands?"""
    pixels = (data.parent / "asl" / "pixels", "--class-names", ",".join(LETTERS))
    small = (*pixels, "--from-scratch", "--validation-fraction", 0.15, "--epochs", 60)
    cnn = (*small, "--model", "cnn", "--set", "preset=signs", "--augment")
    large = data.parent / "asl" / "photos"
    lines, _ = trained(
        folder,
        [
            ("MLP", (*small, "--model", "mlp")),
            ("CNN", (*cnn, "none")),
            ("CNN augmented", (*cnn, "signs")),
            ("frozen Lite0 on the 28-pixel frames", pixels),
            ("frozen Lite0 on the 200-pixel photos", (large,)),
            ("fine-tuned Lite0 on the 200-pixel photos", (large, "--finetune")),
        ],
    )
    photos = sorted((data.parent / "asl" / "signs").glob("*.png"))
    for line in lines:
        bundle = folder / line[0].replace(" ", "-")
        _, answers = silverprint(folder / "cache", "predict", bundle, *photos)
        right = [path.stem for path, said in zip(photos, answers, strict=True)
                 if said["label"] == path.stem]  # fmt: skip
        line.append(f"{len(right)} of {len(photos)}: {' '.join(right) or '–'}")
    return (
        "## Sign language\n\n24 letters; the test frames are later than the training frames, and "
        "the 24 photos are of other hands.\n\n" + table((*HEADER, "photos of other hands"), lines)
    )


def cifar(data: Path, _: int, folder: Path) -> str:
    """From scratch against transfer, in the same minutes."""
    subset = data.parent / "cifar10-subset"
    scratch = (subset, "--from-scratch", "--epochs", 40, "--model")
    lines, _ = trained(
        folder,
        [
            ("frozen Lite0", (subset,)),
            ("frozen Lite0, then fine-tuned at 96 px", (subset, "--finetune", "--size", 96)),
            ("CNN from scratch", (*scratch, "cnn")),
            ("ResNet from scratch", (*scratch, "resnet")),
        ],
    )
    return "## CIFAR-10, 6,000 pictures: from scratch against transfer\n\n" + table(HEADER, lines)


def initialisation(data: Path, _: int, folder: Path) -> str:
    """Where weights begin."""
    out = folder / "initialisation"
    seconds, result = silverprint(
        folder / "cache", "tune", data.parent / "mnist", "--from-scratch", "--set", "model=mlp",
        "--set", "epochs=5", "--sweep", f"initialisation={','.join(INITIALISATIONS)}", "--out", out,
    )  # fmt: skip
    rows = [
        [row["config"]["initialisation"], percent(row["validation"]["accuracy"])]
        for row in result["results"]
    ]
    return (
        "## Weight initialisation, MNIST MLP, 5 epochs\n\n"
        + table(("initialisation", "validation"), rows)
        + f"\n\n{seconds:.0f} s in all."
    )


def finetuning(data: Path, _: int, folder: Path) -> str:
    """The main job, with --finetune."""
    lines, _ = trained(folder, [("clothing --finetune", (data, "--finetune"))])
    return "## Fine-tuning\n\n" + table(HEADER, lines)


def presets(data: Path, _: int, folder: Path) -> str:
    """The classic four configurations."""
    seconds, result = silverprint(
        folder / "cache", "compare", data, "--presets", "1,2,3,4",
        "--out", folder / "compare",
    )  # fmt: skip
    rows = []
    for row in result["results"]:
        test = row["metrics"]["test"]
        measures = (test[name] for name in ("accuracy", "macro_precision", "macro_recall"))
        rows.append(
            [f"{row['preset']}: {row['words']}", *map(percent, measures), f"{row['seconds']:.0f}"]
        )
    return (
        "## Four presets, clothing\n\n"
        + table(("preset", "test accuracy", "precision", "recall", "seconds"), rows)
        + f"\n\n{result['verdict']} {seconds / MINUTES:.1f} minutes in all."
    )


SECTIONS = {
    "digits": digits,
    "signs": signs,
    "cifar": cifar,
    "initialisation": initialisation,
    "finetuning": finetuning,
    "presets": presets,
}
