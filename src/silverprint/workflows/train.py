"""`train`: read, look once, fit heads, calibrate, examine what was written, report."""

import datetime
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.backbones.cache import trim
from silverprint.backbones.engines import shipping_engines
from silverprint.backbones.look import Look, join_looks, look
from silverprint.backbones.prepare import PreparedBackbone, prepare_backbone
from silverprint.backbones.registry import choose_backbone
from silverprint.cluster.looking import place_of
from silverprint.data.splits import folds
from silverprint.data.table import SPLITS, Dataset, Split
from silverprint.errors import ConfigError, DataError
from silverprint.export.bundle import check_output, write_manifest, writing_bundle
from silverprint.models.stacked_heads import HeadConfig
from silverprint.recipes.head_data import AnyHeadData, HeadData, StreamedHeadData
from silverprint.recipes.heads import (
    Advance,
    FittedHead,
    best_of,
    cross_validate_heads,
    fit_heads,
)
from silverprint.runtime.paths import cache_folder
from silverprint.runtime.preprocessing import Preprocessing
from silverprint.training.metrics import calibration_of, evaluate, fit_temperature
from silverprint.training.progress import Progress
from silverprint.training.sets import lines_of
from silverprint.workflows.artifact import describe, examine, write_artifact
from silverprint.workflows.familiar import know_the_familiar
from silverprint.workflows.networks import (
    finetune_network,
    forget_stopped_runs,
    from_scratch,
)
from silverprint.workflows.processes import (
    lost_processes_told,
    main_process,
    main_process_first,
)
from silverprint.workflows.report import report_of
from silverprint.workflows.run import Training
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.settle import FEW_PICTURES, leaks, settle

HELD_OUT: tuple[Split, ...] = ("validation", "test")


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
        The finished run. Of several processes under torchrun only the first writes and measures.

    Raises:
        SilverprintError: an input is wrong; nothing was written.
    """
    check_output(out)
    with lost_processes_told():
        if settings.scratch is not None:
            run = from_scratch(dataset, settings, progress)
        else:
            run = from_pretrained(dataset, settings, progress)
    if not main_process():
        return run
    shipped = look_as_shipped(run, progress)
    calibrate(run, shipped)
    know_the_familiar(run, shipped, progress)
    with writing_bundle(out) as folder:
        with progress.stage("write"):
            write_artifact(run, folder)
        with progress.stage("examine"):
            run.probabilities = examine(run, shipped, folder)
            measure(run, shipped)
        with progress.stage("report"):
            report_of(run, folder, progress.seconds, provenance(run, command))
            write_manifest(folder, describe(run, progress.seconds))
    with progress.stage("trim"):
        forget_stopped_runs(run)
        trim(cache_folder(), settings.cache_limit)
    return run


def from_pretrained(dataset: Dataset, settings: TrainSettings, progress: Progress) -> Training:
    """Look once, fit the heads, and train the network itself where that was asked for."""
    heads = settings.heads()
    settings.fit_settings()  # checked before the pictures are looked at
    with main_process_first():
        run = look_at(dataset, settings, progress)
    with progress.stage("heads", settings.epochs, f"fitting {len(heads)} heads") as advance:
        fit(run, heads, lambda *_: advance(1))
    if settings.finetuning is not None:
        finetune_network(run, settings.finetuning, progress)
    return run


def look_at(dataset: Dataset, settings: TrainSettings, progress: Progress) -> Training:
    """Run every picture through the frozen network once, and settle the splits."""
    seen, prepared, preprocessing = look_once(dataset, settings, progress)
    with progress.stage("copies"):
        readable, cross_validated, copies = settle(dataset, settings, seen)
    run = Training(readable, settings, preprocessing, seen, prepared)
    run.cross_validated, run.copies = cross_validated, copies
    run.notices = [*seen.notices, *leaks(readable, seen), *copies.notices]
    return run


def look_once(
    dataset: Dataset, settings: TrainSettings, progress: Progress
) -> tuple[Look, PreparedBackbone, Preprocessing]:
    """Run every picture through the frozen network once; return what was seen, and by what."""
    cache = cache_folder()
    place = place_of(settings.on)
    engines = place.candidates(settings.engine)  # an impossible one is refused before any work
    prepared, preprocessing = frozen_network(settings, progress)
    looks: list[Look] = []
    with progress.stage("look", len(dataset), f"looking at {len(dataset):,} pictures") as advance:
        taught, held = dataset.rows("train"), _held_out(dataset)
        if len(taught):
            looks.append(look(
                prepared, preprocessing, dataset.sources, dataset.names,
                cache=cache, engine=engines, rows=taught, place=place, advance=advance,
            ))  # fmt: skip
        if len(held):  # they judge what ships, so they are looked at as it ships, and only so
            int8 = bool(looks) and looks[0].engine.endswith("int8")
            looks.append(look(
                prepared, preprocessing, dataset.sources, dataset.names, cache=cache,
                engine=shipping_engines("int8" if int8 else "f32"), rows=held, exact=True,
                place=place, advance=advance,
            ))  # fmt: skip
    return (looks[0] if len(looks) == 1 else join_looks(*looks)), prepared, preprocessing


def frozen_network(
    settings: TrainSettings, progress: Progress
) -> tuple[PreparedBackbone, Preprocessing]:
    """Return the network that looks, and how pictures become its input."""
    with progress.stage("prepare"):
        options = dict(settings.backbone_options)
        choice = choose_backbone(settings.backbone, settings.weights, options)
        prepared = prepare_backbone(choice, cache_folder(), settings.size, progress.say)
    return prepared, Preprocessing(
        size=prepared.size, fit=settings.fit, mean=prepared.mean, std=prepared.std
    )


def fit(run: Training, heads: Sequence[HeadConfig], advance: Advance) -> None:
    """Fit all heads and choose one, by validation or by cross-validation."""
    run.fitted = fit_all(run, heads, advance)
    run.best = best_of(run.fitted)
    if not np.isfinite(run.fitted[run.best].loss):
        raise ConfigError(
            "no head learned anything: every loss is infinite or not a number; "
            "try a smaller --learning-rate."
        )


def fit_all(run: Training, heads: Sequence[HeadConfig], advance: Advance) -> list[FittedHead]:
    """Fit all heads, each judged by validation or by cross-validation."""
    settings = run.settings.fit_settings()
    train = head_data(run, "train")
    if run.cross_validated and isinstance(train, HeadData):
        fold_of = _folds(run, run.dataset.rows("train"))
        return cross_validate_heads(heads, train, fold_of, settings, advance)
    return fit_heads(heads, train, head_data(run, "validation", train), settings, advance)


def head_data(run: Training, split: Split, reference: AnyHeadData | None = None) -> AnyHeadData:
    """Return a split's features and labels: in memory, or streamed where they are too many."""
    rows = run.dataset.rows(split)
    rest = run.dataset.labels[rows], run.outputs, run.link, run.settings.fit_settings(), reference
    stream = None if run.cross_validated else run.seen.stream(rows)
    if stream is not None:
        return StreamedHeadData.of(stream, *rest)
    return HeadData.of(run.seen.features(rows), *rest)


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
    assert run.copies is not None
    groups = run.copies.groups[rows]
    run.cross_validated = min(run.cross_validated, len(np.unique(groups)))
    fold_of: NDArray[np.int64] = folds(
        labels, run.cross_validated, seed=run.settings.seed, groups=groups
    )
    return fold_of


def look_as_shipped(run: Training, progress: Progress) -> dict[str, NDArray[np.float32]]:
    """Run the held-out pictures through the network as it ships, for the examination."""
    held = [name for name in HELD_OUT if run.dataset.has(name)]
    rows = _held_out(run.dataset)
    if not len(rows):
        return {}
    text = f"examining on {len(rows):,} held-out pictures"
    with progress.stage("look as shipped", len(rows), text) as advance:
        seen = look(
            run.prepared, run.preprocessing, run.dataset.sources, run.dataset.names,
            cache=run.cache, engine=shipping_engines(run.precision), rows=rows, exact=True,
            place=place_of(run.settings.on), advance=advance,
        )  # fmt: skip
    if seen.refused:
        file, reason = seen.refused[0]
        raise DataError(f"{file} changed while it was read: {reason}; run again.")
    splits = run.dataset.splits[rows]
    return {name: seen.features(np.flatnonzero(splits == SPLITS.index(name))) for name in held}


def _held_out(dataset: Dataset) -> NDArray[np.int64]:
    return np.flatnonzero(np.isin(dataset.splits, [SPLITS.index(name) for name in HELD_OUT]))


def calibrate(run: Training, shipped: dict[str, NDArray[np.float32]]) -> None:
    """Fit the temperature, and the lines of sets, on pictures that the network did not learn from.

    Sets are for one class a picture: several at once have no single truth to be held.
    """
    if run.held_out is not None:
        logits, rows = run.held_out, run.dataset.rows("train")
    else:
        logits = run.head.logits(shipped["validation"])
        rows = run.dataset.rows("validation")
    labels, task = run.dataset.labels[rows], run.dataset.task
    run.temperature = fit_temperature(logits, labels, task)
    run.sets = lines_of(run.probabilities_of(logits), labels) if task == "single-label" else {}


def measure(run: Training, shipped: dict[str, NDArray[np.float32]]) -> None:
    """Compute every split's measures from what the written file answered."""
    dataset = run.dataset
    for name in HELD_OUT:
        if name in run.probabilities:
            labels, logits = dataset.labels[dataset.rows(name)], run.head.logits(shipped[name])
            run.metrics[name] = _judged(run, run.probabilities[name], logits, labels)
    if run.held_out is not None and "validation" not in run.metrics:
        labels = dataset.labels[dataset.rows("train")]
        probabilities = run.probabilities_of(run.held_out)
        run.metrics["validation"] = {
            **_judged(run, probabilities, run.held_out, labels),
            "cross_validated": run.cross_validated,
        }


def _judged(
    run: Training, probabilities: NDArray[np.float32], logits: NDArray[np.float32],
    labels: NDArray[Any],
) -> dict[str, Any]:  # fmt: skip
    """Return the measures, and what the calibration was before: of the logits as they are."""
    found = evaluate(run.dataset.task, probabilities, labels, run.dataset.classes)
    plain = run.probabilities_of(logits, temperature=1)
    found["calibration"]["before"] = calibration_of(run.dataset.task, plain, labels)
    return found


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
