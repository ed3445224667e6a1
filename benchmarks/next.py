"""Which pictures to label next? Prints a Markdown section, and draws its charts.

    SILVERPRINT_DATA=... python benchmarks/next.py --seeds 6

Of each data set's training pictures START a class have labels; each way of picking asks for STEP
more at a time, and a linear head on the frozen features learns anew from all that are labelled, its
temperature being cross-validated. All pictures of the validation and test splits judge. Every way
begins with the same labelled pictures; a seed decides which.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from common import HERE, percent, table
from silverprint.data.read import read
from silverprint.data.splits import folds
from silverprint.models.head import Head
from silverprint.models.stacked_heads import HeadConfig
from silverprint.recipes.heads import FitSettings, HeadData, cross_validate_heads
from silverprint.reports.drawing import (
    WIDTH,
    Scale,
    horizontal_grid,
    nice_scale,
    standalone,
    svg,
    text,
)
from silverprint.reports.markup import element
from silverprint.training.metrics import fit_temperature, softmax
from silverprint.training.progress import Progress
from silverprint.training.selection import choose, uncertainties
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.train import look_once

DATA = ("clothing", "cifar10-subset")
START, STEP, ROUNDS = 5, 50, 9
HEAD = HeadConfig(weight_decay=0.1)
SETTINGS = FitSettings()
CHARTS = HERE.parent / "docs" / "labelling"
# (probabilities, features, features of labelled pictures, seed) -> positions
Way = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]


def unit(features: np.ndarray) -> np.ndarray:
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def entropy(probabilities: np.ndarray) -> np.ndarray:
    return -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(1)


def sure_of_nothing(probabilities: np.ndarray) -> np.ndarray:
    """Return probabilities whose uncertainty is 1 everywhere, so that only spread counts."""
    return np.full_like(probabilities, 1 / probabilities.shape[1])


def k_center(features: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Take what lies farthest from all labelled and taken pictures (Sener and Savarese 2018)."""
    features, labelled = unit(features), unit(labelled)
    near, taken = (features @ labelled.T).max(1), []
    for _ in range(STEP):
        taken.append(int(near.argmin()))
        near = np.maximum(near, features @ features[taken[-1]])
    return np.array(taken)


def badge(probabilities: np.ndarray, features: np.ndarray, seed: int) -> np.ndarray:
    """Draw k-means++ centres of the last layer's gradients for the likeliest label (Ash 2020)."""
    random, features = np.random.default_rng(seed), unit(features)
    error = probabilities - np.eye(probabilities.shape[1])[probabilities.argmax(1)]
    length = (error**2).sum(1)  # of the gradient, whose other factor is a unit vector
    distance, taken = length.copy(), []
    for _ in range(STEP):
        distance[taken] = 0
        taken.append(int(random.choice(len(distance), p=distance / distance.sum())))
        one = taken[-1]
        apart = length + length[one] - 2 * (error @ error[one]) * (features @ features[one])
        distance = np.maximum(apart if len(taken) == 1 else np.minimum(distance, apart), 0)
    return np.array(taken)


WAYS: dict[str, Way] = {
    "random": lambda p, _, __, seed: np.random.default_rng(seed).permutation(len(p))[:STEP],
    "least margin": lambda p, *_: np.argsort(-uncertainties(p))[:STEP],
    "most entropy": lambda p, *_: np.argsort(-entropy(p))[:STEP],
    "k-center": lambda _, x, known, __: k_center(x, known),
    "spread alone": lambda p, x, known, seed: choose(sure_of_nothing(p), x, STEP, known, seed),
    "BADGE": lambda p, x, _, seed: badge(p, x, seed),
    "ours, without --with": lambda p, x, _, seed: choose(p, x, STEP, None, seed),
    "ours": lambda p, x, known, seed: choose(p, x, STEP, known, seed),
}
DRAWN = {"random": "dots", "least margin": "long", "ours": "solid"}


def fit(features: np.ndarray, labels: np.ndarray, classes: int) -> tuple[Head, float]:
    """Return a head and its temperature."""
    data = HeadData.of(features, labels, classes, "softmax", SETTINGS)
    (fitted,) = cross_validate_heads([HEAD], data, folds(labels, 3, seed=0), SETTINGS)
    return fitted.head, fit_temperature(fitted.held_out, labels, "single-label")


def learn(features: np.ndarray, labels: np.ndarray, splits: np.ndarray, way: Way,
          seed: int, spent: list[float]) -> list[float]:  # fmt: skip
    """Return the accuracies after each round of labelling; note what picking took."""
    random, classes = np.random.default_rng(seed), int(labels.max()) + 1
    pool, judged = np.flatnonzero(splits == 0), np.flatnonzero(splits != 0)
    known = np.concatenate([
        random.permutation(pool[labels[pool] == one])[:START] for one in range(classes)
    ])  # fmt: skip
    accuracies = []
    for number in range(ROUNDS + 1):
        head, temperature = fit(features[known], labels[known], classes)
        accuracies.append((head.logits(features[judged]).argmax(1) == labels[judged]).mean())
        rest = np.setdiff1d(pool, known)
        probabilities = softmax(head.logits(features[rest]) / temperature)
        began = time.perf_counter()
        picked = way(probabilities, features[rest], features[known], 100 * seed + number)
        spent.append(time.perf_counter() - began)
        known = np.concatenate([known, rest[picked]])
    return accuracies


def chart(found: Mapping[str, np.ndarray], name: str, counts: np.ndarray) -> str:
    """Return mean accuracy by number of labels as a drawing."""
    right, height = WIDTH - 18, 250
    means = {way: found[way].mean(0) for way in DRAWN}
    across = Scale(counts[0], counts[-1], 44, right, tuple(counts[::3].tolist()))
    up = nice_scale(np.concatenate(list(means.values())).tolist(), height - 34, 62)
    parts = [horizontal_grid(up, 44, right, lambda value: f"{100 * value:g}%")]
    parts += [text(across(tick), height - 17, f"{tick:g}", "middle") for tick in across.ticks]
    parts.append(text(right, height - 3, "labels", "end"))
    for row, (way, style) in enumerate(DRAWN.items()):
        points = zip(counts.tolist(), means[way].tolist(), strict=True)
        line = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in points)
        parts.append(element("path", d=f"M{line}", class_=style))
        parts.append(element("path", d=f"M44 {8 + 16 * row}h26", class_=style))
        parts.append(text(77, 12 + 16 * row, way, class_="name"))
    label = f"{name}: accuracy by number of labels for {', '.join(DRAWN)}"
    return standalone(svg(WIDTH, height, parts, label), f"{name}: accuracy by number of labels")


def spread(values: np.ndarray) -> str:
    """Write mean and standard deviation."""
    return f"{100 * values.mean():.1f} % ± {100 * values.std(ddof=1):.1f}"


def measure(name: str, seeds: int) -> str:
    """Compare all ways on one data set; write its chart."""
    dataset = read(Path(os.environ["SILVERPRINT_DATA"]) / name)
    seen, _, _ = look_once(dataset, TrainSettings.of(), Progress(quiet=True))
    features, labels = seen.features(), dataset.labels[seen.rows]
    splits = dataset.splits[seen.rows]
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for seed in range(seeds):
        for way, pick in WAYS.items():
            found[way].append(learn(features, labels, splits, pick, seed, seconds[way]))
    accuracies = {way: np.array(values) for way, values in found.items()}
    counts = START * len(dataset.classes) + STEP * np.arange(ROUNDS + 1)
    CHARTS.mkdir(exist_ok=True)
    (CHARTS / f"{name}.svg").write_text(chart(accuracies, name, counts), "utf-8")
    shown = (1, 3, 5, ROUNDS)
    rows = []
    for way, values in accuracies.items():
        means = values[:, 1:].mean(1)
        gain = means - accuracies["random"][:, 1:].mean(1)
        rows.append([
            way,
            *(spread(values[:, k]) for k in shown), percent(means.mean()),
            f"{100 * gain.mean():+.2f} ± {100 * gain.std(ddof=1):.2f}",
            f"{(gain > 0).sum()} of {seeds}", f"{statistics.median(seconds[way]):.3f}",
        ])  # fmt: skip
    head = ["way", *(f"{counts[k]} labels" for k in shown), "mean of all rounds",
            "above random, points", "better in", "s to pick"]  # fmt: skip
    first = accuracies["random"][:, 0]
    return (
        f"{name}: {int((splits == 0).sum()):,} pictures to pick from, {int((splits != 0).sum()):,} "
        f"judge; {counts[0]} labels at the start give {percent(first.mean())}; {seeds} seeds, "
        f"mean ± standard deviation.\n\n{table(head, rows)}"
    )


def main() -> None:
    """Compare the ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--data", default=",".join(DATA))
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = [measure(name, options.seeds) for name in options.data.split(",")]
    print("## Which pictures to label next\n\n" + "\n\n".join(parts))


if __name__ == "__main__":
    main()
