"""`train`: read, look once, fit heads, calibrate, examine what was written, report."""

import datetime
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.backbones.cache import trim
from silverprint.backbones.engines import engine_candidates
from silverprint.backbones.look import Look, look
from silverprint.backbones.prepare import PreparedBackbone, prepare_backbone
from silverprint.backbones.registry import choose_backbone
from silverprint.data.splits import folds, split_validation
from silverprint.data.table import SPLITS, Dataset
from silverprint.errors import ConfigError, DataError
from silverprint.export.bundle import check_output, write_manifest, writing_bundle
from silverprint.models.stacked_heads import HeadConfig
from silverprint.recipes.heads import (
    Advance,
    FittedHead,
    HeadData,
    Link,
    best_of,
    cross_validate_heads,
    fit_heads,
)
from silverprint.runtime.paths import cache_folder
from silverprint.runtime.preprocessing import Preprocessing
from silverprint.training.metrics import evaluate, fit_temperature
from silverprint.training.progress import Progress
from silverprint.workflows.artifact import describe, examine, graph_link, write_artifact
from silverprint.workflows.report import report_of
from silverprint.workflows.settings import TrainSettings

# Under this many training pictures one held-out share says too little; folds use every picture.
FEW_PICTURES = 500


@dataclass
class Training:
    """A run in progress: each step fills in what the next ones need.

    Attributes:
        dataset: pictures that could be read, with their splits.
        settings: the run's settings.
        prepared: the network.
        preprocessing: how pictures become its input.
        seen: what the network saw in all of them.
        fitted: every head that was tried.
        best: index of the chosen one.
        temperature: by which the chosen one's logits are divided.
        cross_validated: number of folds, or 0.
        metrics: split -> measures.
        probabilities: split -> (n, classes) as the written file gave them.
        notices: what the user should know.
    """

    dataset: Dataset
    settings: TrainSettings
    prepared: PreparedBackbone
    preprocessing: Preprocessing
    seen: Look
    fitted: list[FittedHead] = field(default_factory=list)
    best: int = 0
    temperature: float = 1.0
    cross_validated: int = 0
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    probabilities: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    @property
    def link(self) -> Link:
        """Softmax for one of many classes; sigmoid for one of two, or for several at once."""
        many = self.dataset.task == "single-label" and len(self.dataset.classes) > 2
        return "softmax" if many else "sigmoid"

    @property
    def outputs(self) -> int:
        """Number of logits: one where there are two classes to choose from."""
        two = self.dataset.task == "single-label" and len(self.dataset.classes) == 2
        return 1 if two else len(self.dataset.classes)

    @property
    def chosen(self) -> FittedHead:
        """The head that ships."""
        return self.fitted[self.best]


def train_bundle(
    dataset: Dataset, out: Path, settings: TrainSettings, progress: Progress, command: str = ""
) -> Training:
    """Train on a dataset and write the bundle.

    Args:
        dataset: labelled pictures, with or without validation and test splits.
        out: folder of the bundle; one that is there already is replaced at the very end.
        settings: how to train.
        progress: shows stages, and keeps their times.
        command: how this was called, for the report.

    Returns:
        The finished run.

    Raises:
        SilverprintError: an input is wrong; nothing was written.
    """
    check_output(out)
    heads = settings.heads()
    settings.fit_settings()  # checked before the pictures are looked at
    run = look_at(dataset, settings, progress)
    with progress.stage("heads", settings.epochs, f"fitting {len(heads)} heads") as advance:
        fit(run, heads, lambda *_: advance(1))
    shipped = look_as_shipped(run, progress)
    calibrate(run, shipped)
    with writing_bundle(out) as folder:
        with progress.stage("write"):
            write_artifact(run, folder)
        with progress.stage("examine"):
            run.probabilities = examine(run, shipped, folder)
            measure(run)
        with progress.stage("report"):
            report_of(run, folder, progress.seconds, provenance(run, command))
            write_manifest(folder, describe(run, progress.seconds))
    with progress.stage("trim"):
        trim(cache_folder(), settings.cache_limit)
    return run


def look_at(dataset: Dataset, settings: TrainSettings, progress: Progress) -> Training:
    """Run every picture through the frozen network once, and settle the splits."""
    cache = cache_folder()
    engine_candidates(settings.engine)  # an impossible one is refused before any work
    with progress.stage("prepare"):
        options = dict(settings.backbone_options)
        choice = choose_backbone(settings.backbone, settings.weights, options)
        prepared = prepare_backbone(choice, cache, settings.size, progress.say)
    preprocessing = Preprocessing(
        size=prepared.size, fit=settings.fit, mean=prepared.mean, std=prepared.std
    )
    with progress.stage("look", len(dataset), f"looking at {len(dataset):,} pictures") as advance:
        seen = look(
            prepared, preprocessing, dataset.sources, dataset.names,
            cache=cache, engine=settings.engine, advance=advance,
        )  # fmt: skip
    readable = _without_refused(dataset, seen)
    seen.rows = np.arange(len(readable))
    run = Training(readable, settings, prepared, preprocessing, seen)
    run.notices = list(seen.notices)
    _settle_splits(run)
    return run


def _without_refused(dataset: Dataset, seen: Look) -> Dataset:
    """Drop the pictures that could not be read; they are listed by name and reason."""
    if not seen.refused:
        return dataset
    if not len(seen.rows):
        file, reason = seen.refused[0]
        raise DataError(
            f"{dataset.name}: none of {len(dataset)} pictures can be read; the first: "
            f"{file}: {reason}."
        )
    kept = dataset.take(seen.rows)
    before, after = dataset.class_counts("train"), kept.class_counts("train")
    emptied = [name for name in before if before[name] and not after[name]]
    if emptied:
        raise DataError(
            f"{dataset.name}: no training picture of {', '.join(emptied)} can be read; "
            f"the first refused file: {seen.refused[0][0]}: {seen.refused[0][1]}."
        )
    return kept


def _settle_splits(run: Training) -> None:
    """Cross-validate few pictures; else make a validation split where there is none."""
    dataset, settings = run.dataset, run.settings
    count = len(dataset.rows("train"))
    if not count:
        raise DataError(f"{dataset.name} has no training pictures; its splits hold only others.")
    if count < FEW_PICTURES:
        run.cross_validated = settings.folds
    elif not dataset.has("validation"):
        # Files with the same bytes stay on one side.
        groups = np.unique(np.array(run.seen.digests, dtype="S32"), return_inverse=True)[1]
        run.dataset = split_validation(
            dataset, fraction=settings.validation_fraction, seed=settings.seed, groups=groups
        )


def fit(run: Training, heads: Sequence[HeadConfig], advance: Advance) -> None:
    """Fit all heads and choose one, by validation or by cross-validation."""
    dataset, settings = run.dataset, run.settings.fit_settings()
    rows = dataset.rows("train")
    train = HeadData.of(
        run.seen.features(rows), dataset.labels[rows], run.outputs, run.link, settings
    )
    if run.cross_validated:
        fold_of = _folds(run, rows)
        run.fitted = cross_validate_heads(heads, train, fold_of, settings, advance)
    else:
        held = dataset.rows("validation")
        validation = HeadData.of(
            run.seen.features(held), dataset.labels[held], run.outputs, run.link, settings, train
        )
        run.fitted = fit_heads(heads, train, validation, settings, advance)
    run.best = best_of(run.fitted)
    if not np.isfinite(run.chosen.loss):
        raise ConfigError(
            "no head learned anything: every loss is infinite or not a number; "
            "try a smaller --learning-rate."
        )


def _folds(run: Training, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    labels = run.dataset.labels[rows]
    if run.dataset.task == "single-label":
        smallest = int(np.bincount(labels)[np.unique(labels)].min())
        if smallest < 2:
            counts = run.dataset.class_counts("train")
            lonely = [name for name, count in counts.items() if count == 1]
            raise DataError(
                f"{run.dataset.name}: {', '.join(lonely)} has one picture; with fewer than "
                f"{FEW_PICTURES} pictures each class needs at least 2 to be cross-validated."
            )
        run.cross_validated = min(run.cross_validated, smallest)
    digests = np.array([run.seen.digests[row] for row in rows], dtype="S32")
    groups = np.unique(digests, return_inverse=True)[1]
    fold_of: NDArray[np.int64] = folds(
        labels, run.cross_validated, seed=run.settings.seed, groups=groups
    )
    return fold_of


def look_as_shipped(run: Training, progress: Progress) -> dict[str, NDArray[np.float32]]:
    """Run the held-out pictures through the network as it ships, for the examination."""
    held = [name for name in ("validation", "test") if run.dataset.has(name)]
    rows = np.flatnonzero(np.isin(run.dataset.splits, [SPLITS.index(name) for name in held]))
    if not len(rows):
        return {}
    precision = "int8" if run.seen.engine.endswith("int8") else "f32"
    text = f"examining on {len(rows):,} held-out pictures"
    with progress.stage("look as shipped", len(rows), text) as advance:
        seen = look(
            run.prepared, run.preprocessing, run.dataset.sources, run.dataset.names,
            cache=cache_folder(), engine=f"onnxruntime-{precision}", rows=rows, advance=advance,
        )  # fmt: skip
    if seen.refused:
        file, reason = seen.refused[0]
        raise DataError(f"{file} changed while it was read: {reason}; run again.")
    splits = run.dataset.splits[rows]
    return {name: seen.features(np.flatnonzero(splits == SPLITS.index(name))) for name in held}


def calibrate(run: Training, shipped: dict[str, NDArray[np.float32]]) -> None:
    """Fit the temperature on pictures that the head did not learn from."""
    if run.chosen.held_out is not None:
        logits, rows = run.chosen.held_out, run.dataset.rows("train")
    else:
        logits = run.chosen.head.logits(shipped["validation"])
        rows = run.dataset.rows("validation")
    run.temperature = fit_temperature(logits, run.dataset.labels[rows], run.dataset.task)


def measure(run: Training) -> None:
    """Compute every split's measures from what the written file answered."""
    dataset = run.dataset
    for name in SPLITS:
        if name not in run.probabilities:
            continue
        probabilities, labels = run.probabilities[name], dataset.labels[dataset.rows(name)]
        run.metrics[name] = evaluate(dataset.task, probabilities, labels, dataset.classes)
    if run.cross_validated and "validation" not in run.metrics:
        assert run.chosen.held_out is not None
        probabilities = held_out_probabilities(run)
        labels = dataset.labels[dataset.rows("train")]
        run.metrics["validation"] = {
            **evaluate(dataset.task, probabilities, labels, dataset.classes),
            "cross_validated": run.cross_validated,
        }


def held_out_probabilities(run: Training) -> NDArray[np.float32]:
    """Return (n, classes) for the training pictures, each from a head that did not see it."""
    from silverprint.training.metrics import sigmoid, softmax

    assert run.chosen.held_out is not None
    logits = run.chosen.held_out / np.float32(run.temperature)
    if run.link == "softmax":
        return softmax(logits)
    probability = sigmoid(logits)
    two = graph_link(run) == "binary"
    return np.concatenate([1 - probability, probability], 1) if two else probability


def provenance(run: Training, command: str) -> dict[str, str]:
    """Return what a person needs to know to get the same bundle again."""
    choice = run.prepared.choice
    libraries = ("silverprint", "torch", "onnxruntime", "numpy", "pillow")
    return {
        "backbone": choice.name,
        "architecture": choice.architecture,
        "weights": f"{choice.source}, key {run.prepared.key}",
        "weights licence": choice.licence,
        "engine": run.seen.engine,
        "input": f"{run.preprocessing.size} x {run.preprocessing.size}, {run.preprocessing.fit}",
        "seed": str(run.settings.seed),
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        **{name: version(name) for name in libraries},
    }
