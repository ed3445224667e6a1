"""Which sets of labels hold the truth as often as asked, and are smallest? Prints Markdown.

    python benchmarks/conformal.py BUNDLE DATA

All held-out pictures are split into halves at random, many times: one half fits the temperature and
finds the line, the other is measured. Then the bundle's own line, found once on its validation
pictures, is measured on its test pictures; and so are those of bundles that learned from a few
hundred pictures and found it by cross-validation.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from common import percent, table
from silverprint.data.read import read
from silverprint.data.table import Dataset
from silverprint.runtime.bundle import read_bundle
from silverprint.training.metrics import calibration_of, fit_temperature, softmax
from silverprint.training.progress import Progress
from silverprint.workflows.evaluate import evaluate_bundle
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.train import train_bundle

COVERAGES = (0.80, 0.90, 0.95, 0.99)
SPLITS = 200
FEW, DRAWS = 300, 3
FREE, PENALTY = 2, 0.1  # RAPS: ranks without a penalty, and what each further one costs
Scores = Callable[[np.ndarray, np.ndarray], np.ndarray]


def least_likely(probabilities: np.ndarray, _: np.ndarray) -> np.ndarray:
    """LAC (Sadinle et al. 2019): a label is strange by what its own probability lacks."""
    return 1 - probabilities


def adaptive(share: Callable[[np.ndarray], np.ndarray], penalty: float = 0.0) -> Scores:
    """APS (Romano et al. 2020), and with a penalty on low ranks RAPS (Angelopoulos et al. 2021).

    A label is strange by the probability of all likelier ones and a share of its own.
    """

    def scores(probabilities: np.ndarray, chance: np.ndarray) -> np.ndarray:
        order = np.argsort(-probabilities, axis=1, kind="stable")
        rank = np.argsort(order, axis=1)
        ordered = np.take_along_axis(probabilities, order, 1)
        ahead = np.take_along_axis(np.cumsum(ordered, 1) - ordered, rank, 1)
        own = share(chance)[:, None]
        late = np.maximum(rank + own - FREE, 0) if penalty else 0
        return ahead + own * probabilities + penalty * late

    return scores


def by_rank(probabilities: np.ndarray, _: np.ndarray) -> np.ndarray:
    """The k likeliest labels, the same k for every picture."""
    return np.argsort(np.argsort(-probabilities, axis=1, kind="stable"), axis=1).astype(float)


METHODS: dict[str, tuple[Scores, bool]] = {  # how strange a label is; whether a set may be empty
    "LAC": (least_likely, True),
    "LAC, never empty": (least_likely, False),
    "APS": (adaptive(lambda chance: chance), True),
    "APS without chance": (adaptive(np.ones_like), False),
    "RAPS": (adaptive(lambda chance: chance, PENALTY), True),
    "RAPS without chance": (adaptive(np.ones_like, PENALTY), False),
    "the k likeliest": (by_rank, False),
}


def sets(
    known: np.ndarray, truth: np.ndarray, asked: np.ndarray, coverage: float, empty: bool
) -> np.ndarray:
    """Return (m, classes) bool: the sets for scores `asked`, the line found on scores `known`."""
    of_truth = np.sort(known[np.arange(len(truth)), truth])
    rank = int(np.ceil((len(truth) + 1) * coverage - 1e-9))
    chosen = asked <= (of_truth[rank - 1] if rank <= len(truth) else np.inf)
    if not empty:
        chosen[np.arange(len(asked)), asked.argmin(1)] = True
    return chosen


def study(logits: np.ndarray, labels: np.ndarray) -> tuple[list[list[str]], np.ndarray]:
    """Return a row a method, and each half's calibration error before and after the temperature."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in METHODS}
    errors = []
    random = np.random.default_rng(0)
    for _ in range(SPLITS):
        order = random.permutation(len(labels))
        half = order[: len(order) // 2], order[len(order) // 2 :]
        temperature = fit_temperature(logits[half[0]], labels[half[0]], "single-label")
        parts = [softmax(logits[rows] / temperature) for rows in half]
        truth = [labels[rows] for rows in half]
        errors.append([
            calibration_of("single-label", part, truth[1])["error"]
            for part in (softmax(logits[half[1]]), parts[1])
        ])  # fmt: skip
        for name, (score, empty) in METHODS.items():
            known, asked = (score(part, random.random(len(part))) for part in parts)
            found[name].append(np.array([
                measured(sets(known, truth[0], asked, coverage, empty), truth[1])
                for coverage in COVERAGES
            ]))  # fmt: skip
    rows = []
    for name, values in found.items():
        mean, spread = np.mean(values, axis=0), np.std(values, axis=0)
        cells = [
            f"{100 * m[0]:.1f} ± {100 * s[0]:.1f} %, **{m[1]:.2f}** ± {s[1]:.2f}"
            for m, s in zip(mean, spread, strict=True)
        ]
        rows.append([name, *cells, percent(mean[1, 2]), percent(mean[2, 3])])
    return rows, np.array(errors)


def measured(chosen: np.ndarray, truth: np.ndarray) -> tuple[float, float, float, float]:
    """Return coverage, mean size, share of empty sets, and the coverage of the worst class."""
    held, sizes = chosen[np.arange(len(truth)), truth], chosen.sum(1)
    worst = min(held[truth == label].mean() for label in np.unique(truth))
    return held.mean(), sizes.mean(), (sizes == 0).mean(), worst


def cross_validated(dataset: Dataset) -> list[list[str]]:
    """Return a row a draw of few training pictures: what its bundle's sets hold on test."""
    rows, quiet = [], Progress(quiet=True)
    for seed in range(DRAWS):
        drawn = np.random.default_rng(seed).permutation(dataset.rows("train"))[:FEW]
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "bundle"
            run = train_bundle(dataset.take(drawn), out, TrainSettings.of(), quiet)
            found = [
                evaluate_bundle(read_bundle(out), dataset, quiet, "test", coverage).metrics
                for coverage in COVERAGES
            ]
        cells = [
            f"{percent(part['sets']['coverage'])}, **{part['sets']['mean_size']:.2f}**"
            for part in found
        ]
        accuracies = (run.metrics["validation"]["accuracy"], found[0]["accuracy"])
        rows.append([str(seed), *cells, *map(percent, accuracies)])
    return rows


def main() -> None:
    """Compare them, then measure the one that ships."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    bundle, dataset, quiet = read_bundle(options.bundle), read(options.data), Progress(quiet=True)
    held = [evaluate_bundle(bundle, dataset, quiet, split) for split in ("validation", "test")]
    probabilities = np.concatenate([part.probabilities for part in held])
    labels = np.concatenate([part.dataset.labels for part in held])
    # A softmax tells its logits, up to a constant that changes nothing.
    logits = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    rows, errors = study(logits * bundle.manifest["calibration"]["temperature"], labels)
    plain, calibrated = (
        f"{100 * values.mean():.1f} ± {100 * values.std():.1f} %" for values in errors.T
    )
    asked = [f"asked {100 * coverage:.0f} %" for coverage in COVERAGES]
    print(
        f"## Sets of labels\n\n{dataset.name}, {len(labels)} held-out photos, {SPLITS} random "
        "halves: one fits the temperature and finds the line, the other is measured. Each cell: "
        "share of sets that hold the truth, and **labels in a set**; mean ± standard deviation "
        "over the halves. The last columns: empty sets where 90 % were asked, and the worst "
        "class's coverage, its mean, where 95 % were.\n\n"
        + table(["sets", *asked, "empty at 90 %", "worst class at 95 %"], rows)
        + f"\n\nExpected calibration error on the same halves: {plain} before the temperature, "
        f"{calibrated} after."
    )
    known = len(held[0].dataset)
    print(
        f"\nThe bundle that ships, its lines found on {known} validation photos, on its test "
        "photos (`silverprint evaluate BUNDLE DATA --coverage 0.95`):\n"
    )
    rows = []
    for coverage in COVERAGES:
        found = evaluate_bundle(bundle, dataset, quiet, "test", coverage)
        told, n = found.metrics["sets"], len(found.dataset)
        low, high = told["coverage_interval"]
        rows.append([
            f"{100 * coverage:.0f} %", f"{percent(told['coverage'])} of {n}",
            f"{100 * low:.1f} to {100 * high:.1f} %", f"{told['mean_size']:.3f}",
            ", ".join(f"{count} of {size}" for size, count in told["sizes"].items()),
            f"{percent(told['answered']['coverage'])} of {told['answered']['n']}",
        ])  # fmt: skip
    head = ["asked", "found", "95 % interval", "labels in a set", "photos by labels",
            "where not unknown"]  # fmt: skip
    print(table(head, rows))
    print(
        f"\nBundles from {FEW} of the training photos, chosen at random, their lines found by "
        "cross-validation, on the same test photos:\n"
    )
    head = ["draw", *asked, "accuracy, folds", "accuracy, test"]
    print(table(head, cross_validated(dataset)))


if __name__ == "__main__":
    main()
