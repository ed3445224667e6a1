"""Train a whole network, from nothing or from a pretrained one, and put it in the bundle's way.

While a network trains, what it needs to go on after a stop lies in cache/runs/<key>/, the key being
everything that decides the result: the same command takes a stopped run up again. The folder goes
once the bundle is written.
"""

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from silverprint import __version__
from silverprint.backbones.look import Look
from silverprint.backbones.prepare import write_network
from silverprint.backbones.registry import BackboneChoice
from silverprint.backbones.verify import PICTURES, verify_network
from silverprint.data.conventions import counted
from silverprint.data.table import SPLITS, Dataset, Split
from silverprint.errors import ConfigError, DataError, ImageError
from silverprint.runtime.images import decode
from silverprint.runtime.preprocessing import Fit, Preprocessing
from silverprint.training.pixels import PixelData
from silverprint.training.progress import Progress
from silverprint.workflows.processes import main_process
from silverprint.workflows.run import Training
from silverprint.workflows.run_folders import forget_old_runs, hold_run, leave
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.settle import leaks, settle

if TYPE_CHECKING:
    from silverprint.recipes.finetune_settings import FinetuneSettings
    from silverprint.recipes.scratch_settings import ScratchSettings

LARGEST_SIDE = 64  # pixels; what larger pictures are reduced to, unless a size is asked for


def run_folder(run: Training, recipe: Any) -> Path:
    """Return the folder of this very run, whether or not an earlier process began it.

    It belongs to this process until that ends.

    Raises:
        ConfigError: another process is at the same run.
    """
    dataset = run.dataset
    told = [__version__, run.settings.to_json(), repr(recipe), run.preprocessing.to_json()]
    told.append(dataset.classes)
    if run.chosen is not None:
        told.append(run.chosen.row())
    data = (*run.seen.digests, dataset.labels.tobytes(), dataset.splits.tobytes())
    return hold_run(told, data, fresh=run.settings.fresh)


def forget_stopped_runs(run: Training) -> None:
    """Remove this run's folder, and those that were left long ago."""
    if run.folder is not None:
        leave(run.folder)
    forget_old_runs()


def from_scratch(dataset: Dataset, settings: TrainSettings, progress: Progress) -> Training:
    """Train a small network on these pictures alone."""
    assert settings.scratch is not None
    run, parts = read_small(dataset, settings, progress)
    train_small(run, parts, settings.scratch, progress)
    pixels = parts["validation"].pixels[:PICTURES]
    few = np.repeat(pixels, 3 // pixels.shape[1], axis=1)
    ship_network(run, few, settings.scratch.model, "your own: trained on your pictures alone")
    return run


def read_small(
    dataset: Dataset, settings: TrainSettings, progress: Progress,
    splits: Sequence[Split] = ("train", "validation"),
) -> tuple[Training, dict[str, PixelData]]:  # fmt: skip
    """Read all pictures into memory; return the run, and the pictures of these splits."""
    from silverprint.training.pixels import is_grey, load_pixels

    preprocessing = Preprocessing(size=settings.size or natural_size(dataset), fit=settings.fit)
    rows = np.arange(len(dataset))
    channels = 1 if is_grey(dataset, rows) else 3
    text = f"reading {len(dataset):,} pictures at {preprocessing.size} px"
    with progress.stage("pixels", len(dataset), text) as advance:
        pixels = load_pixels(dataset, preprocessing, rows, channels=channels, advance=advance)
    seen = Look("torch", pixels.rows, pixels.digests, pixels.refused)
    readable = settle(dataset, settings, seen).dataset
    run = Training(readable, settings, preprocessing, seen)
    run.notices = leaks(readable, seen)
    parts: dict[str, PixelData] = {}
    for split in splits:
        chosen = readable.rows(split)
        parts[split] = PixelData(pixels.values[chosen], targets_of(run, chosen))
    return run, parts


def read_pixels(
    dataset: Dataset, split: Split | None, size: int | None, fit: Fit
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Read the pictures of a split, or all; return their pixels and labels, see `api.pixels`."""
    from silverprint.training.pixels import is_grey, load_pixels

    every, rows = np.arange(len(dataset)), _rows(dataset, split)
    preprocessing = Preprocessing(natural_size(dataset) if size is None else size, fit)
    found = load_pixels(dataset, preprocessing, rows, channels=1 if is_grey(dataset, every) else 3)
    tell_left_out(dataset, split, len(found.rows), found.refused)
    return found.values, dataset.labels[found.rows]


def read_features(
    dataset: Dataset, split: Split | None, settings: TrainSettings, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Look at the pictures of a split, or all; return features and labels, see `api.features`."""
    from silverprint.workflows.train import look_once

    chosen = dataset.take(_rows(dataset, split))
    if not len(chosen):
        tell_left_out(dataset, split, 0, [])
    seen, _, _ = look_once(chosen, settings, progress)
    tell_left_out(dataset, split, len(seen.rows), seen.refused)
    return seen.features(), chosen.labels[seen.rows]


def tell_left_out(
    dataset: Dataset, split: Split | None, read: int, refused: list[tuple[str, str]]
) -> None:
    """Warn of pictures that could not be read; refuse to go on with none."""
    where = dataset.name if split is None else f"the {split} split of {dataset.name}"
    if not read:
        first = "".join(f"; {name}: {reason}" for name, reason in refused[:1])
        raise DataError(f"{where} has no picture that can be read{first}.")
    if refused:
        named = "; ".join(f"{name}: {reason}" for name, reason in refused[:5])
        count = counted(len(refused), "picture")
        warnings.warn(f"{count} of {where} left out: {named}.", stacklevel=4)


def _rows(dataset: Dataset, split: Split | None) -> NDArray[np.int64]:
    if split is not None and split not in SPLITS:
        raise ConfigError(f"split must be one of {', '.join(SPLITS)}; got {split!r}.")
    return np.arange(len(dataset)) if split is None else dataset.rows(split)


def train_small(
    run: Training, parts: dict[str, PixelData], settings: "ScratchSettings", progress: Progress
) -> None:
    """Train a small network, or go on where a stopped run of the same settings was."""
    from silverprint.recipes.scratch import train_from_scratch

    run.folder = run.folder or run_folder(run, settings)
    total = settings.epochs * len(parts["train"].targets)
    with progress.stage("train", total, f"training {settings.model}") as advance:
        run.network = train_from_scratch(
            parts["train"], parts["validation"], run.outputs, run.link, settings, run.folder,
            classes=run.dataset.classes, advance=advance, track=run.settings.track,
        )  # fmt: skip


def finetune_network(run: Training, settings: "FinetuneSettings", progress: Progress) -> None:
    """Go on from the fitted head: train the pretrained network too."""
    run.folder = run_folder(run, settings)
    parts = read_large(run, run.folder, progress)
    train_pretrained(run, parts, settings, progress)
    assert run.network is not None
    if run.network.best_epoch == 0:
        run.notices.append(
            f"Fine-tuning did not better the {run.network.metric} of the head on the frozen "
            "network, so that head is what ships."
        )
    choice = run.prepared.choice
    ship_network(run, parts["validation"].pixels, choice.name, choice.licence)


def read_large(run: Training, folder: Path, progress: Progress) -> dict[str, PixelData]:
    """Read pictures as pixels into files of the folder: those to learn from, and those that judge.

    Pictures to learn from are kept a little larger than the network's input, so that a crop of them
    loses nothing; those that judge are exactly as they ship.
    """
    from silverprint.recipes.finetune import picture_side
    from silverprint.training.pixels import load_pixels

    size = run.preprocessing.size
    sides = {"train": min(picture_side(size), 2048), "validation": size}
    rows = {split: run.dataset.rows(split) for split in ("train", "validation")}
    parts, count = {}, sum(map(len, rows.values()))
    with progress.stage("pixels", count, f"reading {count:,} pictures") as advance:
        for split, side in sides.items():
            pixels = load_pixels(
                run.dataset, replace(run.preprocessing, size=side), rows[split],
                file=folder / f"{split}-{os.environ.get('RANK', '0')}.pixels", advance=advance,
            )  # fmt: skip
            if pixels.refused:
                file, reason = pixels.refused[0]
                raise DataError(f"{file} changed while it was read: {reason}; run again.")
            parts[split] = PixelData(pixels.values, targets_of(run, rows[split]))
    return parts


def train_pretrained(
    run: Training, parts: dict[str, PixelData], settings: "FinetuneSettings", progress: Progress
) -> None:
    """Fine-tune, or go on where a stopped run of the same settings was."""
    from silverprint.recipes.finetune import finetune

    run.folder = run.folder or run_folder(run, settings)
    run.network = finetune(
        run.prepared, run.head, parts["train"], parts["validation"], run.outputs, run.link,
        settings, run.folder, classes=run.dataset.classes, progress=progress,
        track=run.settings.track,
    )  # fmt: skip


def natural_size(dataset: Dataset) -> int:
    """Return the side that the pictures have, made even, within 16 to LARGEST_SIDE pixels."""
    longest = longest_side(dataset)
    return min(max(longest + longest % 2, 16), LARGEST_SIDE) if longest else LARGEST_SIDE


def longest_side(dataset: Dataset) -> int:
    """Return the longest side of some of the pictures, as soon as that is LARGEST_SIDE or more."""
    longest = 0
    step = max(1, len(dataset) // 64)
    for source, name in zip(dataset.sources[::step], dataset.names[::step], strict=True):
        try:
            longest = max(longest, *decode(source, name=name, min_side=LARGEST_SIDE).shape[:2])
        except ImageError:
            continue
        if longest >= LARGEST_SIDE:
            break
    return longest


def targets_of(run: Training, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return (n,) int64 for softmax; (n, outputs) float32 of 0 and 1 for sigmoid."""
    labels = run.dataset.labels[rows]
    if run.link == "softmax":
        return labels
    return labels.reshape(len(rows), run.outputs).astype(np.float32)


def ship_network(run: Training, pixels: NDArray[np.uint8], name: str, licence: str) -> None:
    """Write the files of the network that was trained, for the examination and the bundle.

    Args:
        run: the run.
        pixels: (n, 3, S, S) pictures on which the file must agree with the network.
        name: of the network.
        licence: of its weights.
    """
    assert run.network is not None
    assert run.folder is not None
    if not main_process():
        return
    network: Any = run.network.network
    choice = BackboneChoice(name, name, "trained here", None, licence)
    run.network_files = write_network(network, choice, run.folder / f"network-{run.folder.name}")
    verify_network(run.network_files, network, np.array(pixels[:PICTURES]))
    run.cache = run.folder
    run.preprocessing = replace(run.preprocessing, mean=network.mean, std=network.std)
