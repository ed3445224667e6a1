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
from scipy.stats import entropy
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import roc_auc_score

from common import percent, table
from silverprint.backbones.engines import shipping_engines
from silverprint.backbones.look import look
from silverprint.data.read import read
from silverprint.models.stacked_heads import HeadConfig
from silverprint.recipes.heads import FitSettings, HeadData, fit_heads
from silverprint.training.metrics import softmax
from silverprint.training.progress import Progress
from silverprint.training.reference import class_centres
from silverprint.workflows.run import Training
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.train import calibrate, fit, look_as_shipped, look_at

ENDINGS = {".jpg", ".jpeg", ".png"}
KEPT = 0.95
Logits = Callable[[np.ndarray], np.ndarray]
Scores = dict[str, Callable[[np.ndarray], np.ndarray]]


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def detectors(features: np.ndarray, labels: np.ndarray, logits: Logits) -> Scores:
    """Return name -> features (n, d) to scores (n,), higher for pictures that are more unknown.

    Args:
        features: (n, d) of the training pictures.
        labels: (n,) of them.
        logits: features (n, d) -> calibrated logits (n, classes).
    """
    classes = labels.max() + 1
    centres = class_centres(features, labels, classes)
    bank = unit(features)

    def neighbours(count: int, bank: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        def distance(given: np.ndarray) -> np.ndarray:
            return 1 - np.partition(unit(given) @ bank.T, -count, axis=1)[:, -count]

        return distance

    def mahalanobis(change: Callable) -> Callable[[np.ndarray], np.ndarray]:
        known = change(features)
        means = np.stack([known[labels == label].mean(0) for label in range(classes)])
        inside = np.linalg.inv(ledoit_wolf(known - means[labels])[0])

        def distance(given: np.ndarray) -> np.ndarray:
            moved = change(given)[None] - means[:, None]
            return ((moved @ inside) * moved).sum(-1).min(0)

        return distance

    def centre(given: np.ndarray) -> np.ndarray:
        return 1 - (unit(given) @ centres.T).max(1)

    def energy(given: np.ndarray) -> np.ndarray:
        return -np.logaddexp.reduce(logits(given), axis=1)

    def both(given: np.ndarray) -> np.ndarray:
        return centre(given) / centre(features).std() + energy(given) / energy(features).std()

    thinned = bank[np.random.default_rng(0).permutation(len(bank))[:1000]]
    return {
        "max probability": lambda given: 1 - softmax(logits(given)).max(1),
        "max logit": lambda given: -logits(given).max(1),
        "energy": energy,
        "entropy": lambda given: entropy(softmax(logits(given)), axis=1),
        "nearest class centre, cosine": centre,
        "nearest class centre and energy": both,
        "1 nearest neighbour, cosine": neighbours(1, bank),
        "5 nearest neighbours, cosine": neighbours(5, bank),
        "20 nearest neighbours, cosine": neighbours(20, bank),
        "5 nearest neighbours among 1,000": neighbours(5, thinned),
        "Mahalanobis": mahalanobis(lambda given: given),
        "Mahalanobis of unit features": mahalanobis(unit),
    }


def left_out(run: Training, shipped: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """Return each detector's mean AUROC and share caught, where one class of ten is unknown."""
    rows = {name: run.dataset.rows(name) for name in ("train", "validation", "test")}
    labels = {name: run.dataset.labels[rows[name]] for name in rows}
    features = {"train": run.seen.features(rows["train"]), **shipped}
    found: dict[str, list[tuple[float, float]]] = {}
    settings = FitSettings()
    for missing in range(len(run.dataset.classes)):
        kept = {name: labels[name] != missing for name in rows}
        data = {
            name: HeadData.of(
                features[name][kept[name]],
                labels[name][kept[name]] - (labels[name][kept[name]] > missing),
                len(run.dataset.classes) - 1, "softmax", settings,
            )
            for name in ("train", "validation")
        }  # fmt: skip
        fitted = fit_heads([HeadConfig(weight_decay=0.03)], data["train"], data["validation"],
                           settings, lambda *_: None)[0]  # fmt: skip
        known = features["train"][kept["train"]]
        its = labels["train"][kept["train"]]
        made = detectors(known, its - (its > missing), fitted.head.logits)
        for name, score in made.items():
            limit = np.quantile(score(features["validation"][kept["validation"]]), KEPT)
            scores = score(features["test"])
            found.setdefault(name, []).append((
                roc_auc_score(~kept["test"], scores), (scores[~kept["test"]] > limit).mean(),
            ))  # fmt: skip
    return {name: tuple(np.mean(values, axis=0)) for name, values in found.items()}


def seen_by(run: Training, files: Iterable[Path]) -> np.ndarray:
    paths = list(files)
    names = [str(path) for path in paths]
    return look(
        run.prepared, run.preprocessing, paths, names, cache=run.cache,
        engine=shipping_engines(run.precision), exact=True,
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
    near = left_out(run, shipped)
    rows = []
    train = run.dataset.rows("train")
    made = detectors(
        run.seen.features(train), run.dataset.labels[train],
        lambda given: run.head.logits(given) / run.temperature,
    )  # fmt: skip
    for name, score in made.items():
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
            f"{near[name][0]:.3f}", percent(near[name][1]),
        ])  # fmt: skip
    areas_of, caught_of = (f"AUROC {name}" for name in unknown), (f"{n} caught" for n in unknown)
    head = ["detector", *areas_of, "mean", *caught_of, "mean", "known kept", "accuracy of those",
            "AUROC a class left out", "caught"]  # fmt: skip
    counts = ", ".join(f"{name} {len(found)}" for name, found in unknown.items())
    print(
        f"## Unknown pictures\n\nKnown: {len(labels)} clothing test photos, "
        f"{percent(right.mean())} of them named right. Unknown: {counts}. Thresholds keep 95 % of "
        "the validation photos.\n\n" + table(head, rows)
    )


if __name__ == "__main__":
    main()
