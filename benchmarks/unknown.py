"""Which number tells a known picture from an unknown one? Prints a Markdown section.

    SILVERPRINT_DATA=... python benchmarks/unknown.py

Known: the clothing test photos. Unknown: everything else among the shared pictures. Each detector
is made from the training pictures' features and the fitted head; its threshold keeps 95 % of the
validation pictures. The test pictures are only looked at for the table.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import roc_auc_score

from common import percent, table
from silverprint.backbones.engines import shipping_engines
from silverprint.backbones.look import look
from silverprint.data.read import read
from silverprint.training.metrics import softmax
from silverprint.training.progress import Progress
from silverprint.training.reference import class_centres
from silverprint.workflows.run import Training
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.train import calibrate, fit, look_as_shipped, look_at

ENDINGS = {".jpg", ".jpeg", ".png"}
KEPT = 0.95
Scores = dict[str, Callable[[np.ndarray], np.ndarray]]


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def detectors(run: Training) -> Scores:
    """Return name -> features (n, d) to scores (n,), higher for pictures that are more unknown."""
    rows = run.dataset.rows("train")
    features, labels = run.seen.features(rows), run.dataset.labels[rows]
    classes = len(run.dataset.classes)
    centres = class_centres(features, labels, classes)
    bank = unit(features)

    def logits(given: np.ndarray) -> np.ndarray:
        return run.head.logits(given) / run.temperature

    def neighbours(count: int, bank: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        def distance(given: np.ndarray) -> np.ndarray:
            return 1 - np.partition(unit(given) @ bank.T, -count, axis=1)[:, -count]

        return distance

    def mahalanobis(change: Callable, relative: bool = False) -> Callable[[np.ndarray], np.ndarray]:
        known = change(features)
        means = np.stack([known[labels == label].mean(0) for label in range(classes)])
        inside = np.linalg.inv(ledoit_wolf(known - means[labels])[0])
        middle = known.mean(0)
        around = np.linalg.inv(ledoit_wolf(known - middle)[0])

        def quadratic(moved: np.ndarray, matrix: np.ndarray) -> np.ndarray:
            return ((moved @ matrix) * moved).sum(-1)

        def distance(given: np.ndarray) -> np.ndarray:
            given = change(given)
            nearest = np.min([quadratic(given - mean, inside) for mean in means], axis=0)
            return nearest - quadratic(given - middle, around) if relative else nearest

        return distance

    rng = np.random.default_rng(0)
    thinned = bank[rng.permutation(len(bank))[:1000]]
    return {
        "max probability": lambda given: 1 - softmax(logits(given)).max(1),
        "max logit": lambda given: -logits(given).max(1),
        "energy": lambda given: -np.logaddexp.reduce(logits(given), axis=1),
        "entropy": lambda given: (
            -(softmax(logits(given)) * np.log(softmax(logits(given)) + 1e-12)).sum(1)
        ),
        "nearest class centre, cosine": lambda given: 1 - (unit(given) @ centres.T).max(1),
        "1 nearest neighbour, cosine": neighbours(1, bank),
        "5 nearest neighbours, cosine": neighbours(5, bank),
        "20 nearest neighbours, cosine": neighbours(20, bank),
        "5 nearest neighbours among 1,000": neighbours(5, thinned),
        "Mahalanobis": mahalanobis(lambda given: given),
        "Mahalanobis of unit features": mahalanobis(unit),
        "relative Mahalanobis": mahalanobis(lambda given: given, relative=True),
        "relative Mahalanobis of unit features": mahalanobis(unit, relative=True),
    }


def seen_by(run: Training, files: Iterable[Path]) -> np.ndarray:
    names = [str(file) for file in files]
    return look(
        run.prepared, run.preprocessing, names, names, cache=run.cache,
        engine=shipping_engines(run.precision),
    ).features()  # fmt: skip


def main() -> None:
    """Compare them."""
    shared = Path(os.environ["SILVERPRINT_DATA"])
    progress = Progress(quiet=True)
    settings = TrainSettings.of()
    run = look_at(read(shared / "clothing"), settings, progress)
    fit(run, settings.heads(), lambda *_: None)
    shipped = look_as_shipped(run, progress)
    calibrate(run, shipped)
    unknown = {
        name: seen_by(run, sorted(file for file in (shared / name).rglob("*")
                                  if file.suffix.lower() in ENDINGS))
        for name in ("doggy-door", "asl/photos", "style", "edges")
    }  # fmt: skip
    labels = run.dataset.labels[run.dataset.rows("test")]
    right = run.head.logits(shipped["test"]).argmax(1) == labels
    rows = []
    for name, score in detectors(run).items():
        limit = np.quantile(score(shipped["validation"]), KEPT)
        known = score(shipped["test"])
        areas, caught = [], []
        for features in unknown.values():
            strange = score(features)
            truth = np.r_[np.zeros(len(known)), np.ones(len(strange))]
            areas.append(roc_auc_score(truth, np.r_[known, strange]))
            caught.append((strange > limit).mean())
        kept = known <= limit
        rows.append([
            name, *(f"{area:.3f}" for area in areas), f"{np.mean(areas):.3f}",
            *(percent(share) for share in caught), percent(np.mean(caught)),
            percent(kept.mean()), percent(right[kept].mean()),
        ])  # fmt: skip
    areas_of, caught_of = (f"AUROC {name}" for name in unknown), (f"{n} caught" for n in unknown)
    head = ["detector", *areas_of, "mean", *caught_of, "mean", "known kept", "accuracy of those"]
    counts = ", ".join(f"{name} {len(found)}" for name, found in unknown.items())
    print(
        f"## Unknown pictures\n\nKnown: {len(labels)} clothing test photos, "
        f"{percent(right.mean())} of them named right. Unknown: {counts}. Thresholds keep 95 % of "
        "the validation photos.\n\n" + table(head, rows)
    )


if __name__ == "__main__":
    main()
