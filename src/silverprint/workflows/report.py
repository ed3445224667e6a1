"""Turn a finished run into report.html."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from silverprint.data.table import SPLITS, Dataset, Split
from silverprint.errors import ImageError
from silverprint.recipes.heads import best_of
from silverprint.reports.contents import Curve, Picture, Report
from silverprint.reports.report import write_report
from silverprint.runtime.bundle import REPORT
from silverprint.runtime.images import decode

if TYPE_CHECKING:
    from silverprint.workflows.run import Training

SAMPLES = 24
THUMBNAIL = 160  # pixels on the longer side


def report_of(
    run: "Training", folder: Path, seconds: Mapping[str, float], provenance: Mapping[str, str]
) -> None:
    """Write report.html into the bundle's folder."""
    dataset = run.dataset
    counts: dict[str, dict[str, int]] = {
        name: dataset.class_counts(name) for name in SPLITS if dataset.has(name)
    }
    samples, mistakes = examples(run)
    report = Report(
        title=dataset.name,
        summary=summary(dataset, run.metrics),
        classes=dataset.classes,
        task=dataset.task,
        metrics=run.metrics,
        class_counts=counts,
        samples=samples,
        mistakes=mistakes,
        curves=_curves(run),
        candidates=_candidates(run),
        notices=[*dataset.notices, *run.notices],
        refused=run.seen.refused,
        seconds=dict(seconds),
        provenance=dict(provenance),
    )
    write_report(report, folder / REPORT)


def summary(dataset: Dataset, metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Say the result in one sentence."""
    for split in ("test", "validation"):
        if split not in metrics:
            continue
        found = metrics[split]
        right = round(found["accuracy"] * found["n"])
        which = f"{split} pictures it had never seen"
        if split == "validation":
            which = "pictures held out while it learned"
        return (
            f"Told apart {len(dataset.classes)} classes; right on {right:,} of {found['n']:,} "
            f"{which}."
        )
    return f"Learned {len(dataset.classes)} classes; nothing was held out to test it on."


def _curves(run: "Training") -> list[Curve]:
    """Return what ships by epoch; an exact head has no epochs, so then the best trained one's."""
    curves, note = run.curves, ""
    trained = [fitted for fitted in run.fitted if fitted.curves]
    if not curves and trained:
        shown = trained[best_of(trained)]
        curves, note = shown.curves, f" ({shown.config.hidden_size} hidden units)"
    return [Curve(name + note, tuple(values)) for name, values in curves.items()]


def _candidates(run: "Training") -> list[dict[str, Any]]:
    rows = []
    for i, fitted in enumerate(run.fitted):
        row = fitted.row()
        row["validation_accuracy"] = row.pop("accuracy")
        row["validation_loss"] = row.pop("loss")
        row["learning_rate"] = "exact" if fitted.config.exact else row["learning_rate"]
        rows.append({**row, "chosen": i == run.best})
    return rows


def examples(run: "Training") -> tuple[list[Picture], list[Picture]]:
    """Return sample predictions and the worst mistakes, on test or else on validation."""
    dataset = run.dataset
    split: Split = "test" if "test" in run.probabilities else "validation"
    if split in run.probabilities:
        rows, probabilities = dataset.rows(split), run.probabilities[split]
    else:
        assert run.held_out is not None
        rows, probabilities = dataset.rows("train"), run.probabilities_of(run.held_out)
    return choose_examples(dataset, rows, probabilities, run.settings.seed)


def choose_examples(
    dataset: Dataset, rows: NDArray[np.int64], probabilities: NDArray[np.float32], seed: int
) -> tuple[list[Picture], list[Picture]]:
    """Return up to SAMPLES random pictures, and as many of the most confident mistakes."""
    if dataset.task == "single-label":
        wrong = probabilities.argmax(1) != dataset.labels[rows]
        confidence = probabilities.max(1)
    else:
        # The most confident wrong entry of each picture's row.
        off = (probabilities >= 0.5) != (dataset.labels[rows] > 0)
        wrong = off.any(1)
        confidence = (np.abs(probabilities - 0.5) * off).max(1) + 0.5
    random = np.random.default_rng(seed).permutation(len(rows))[:SAMPLES]
    worst = [i for i in np.argsort(-confidence, kind="stable") if wrong[i]][:SAMPLES]
    return (
        [p for i in random if (p := _picture(dataset, rows[i], probabilities[i])) is not None],
        [p for i in worst if (p := _picture(dataset, rows[i], probabilities[i])) is not None],
    )


def _picture(dataset: Dataset, row: int, probabilities: NDArray[np.float32]) -> Picture | None:
    name = dataset.names[row]
    try:
        image = decode(dataset.sources[row], name=name, min_side=THUMBNAIL)
    except ImageError:
        return None  # gone since it was looked at
    order = np.argsort(-probabilities, kind="stable")[:3]
    top = tuple((dataset.classes[int(i)], float(probabilities[i])) for i in order)
    if dataset.task == "single-label":
        truth, predicted = dataset.classes[int(dataset.labels[row])], top[0][0]
    else:
        truth = _joined(dataset.classes, dataset.labels[row] > 0)
        predicted = _joined(dataset.classes, probabilities >= 0.5)
    small = Image.fromarray(image)
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return Picture(np.asarray(small), name, truth, predicted, top[0][1], top)


def _joined(classes: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    return ", ".join(classes[i] for i in map(int, np.flatnonzero(chosen))) or "(none)"
