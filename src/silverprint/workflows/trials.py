"""One configuration of a network trained here, tried on pictures that are read once for all."""

import contextlib
import dataclasses
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from silverprint.data.table import Dataset
from silverprint.errors import ConfigError
from silverprint.runtime.paths import cache_folder
from silverprint.training.fitted import FittedNetwork
from silverprint.training.pixels import PixelData
from silverprint.training.progress import Progress
from silverprint.workflows.networks import (
    read_large,
    read_small,
    train_pretrained,
    train_small,
)
from silverprint.workflows.run import Training
from silverprint.workflows.run_folders import leave
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.sweeps import Config, Tried, head_lists
from silverprint.workflows.train import fit, look_at


class Trials:
    """Tries configurations one after the other; use it as a context manager.

    Pictures are read again only where a setting decides how. What a trial leaves behind when it is
    stopped lies in the cache, where the same trial goes on from it.

    Attributes:
        base: the run of the last configuration, before any network was trained.
        parts: its training and validation pictures.
    """

    def __init__(self, dataset: Dataset, progress: Progress) -> None:
        self.base: Training | None = None
        self.parts: dict[str, PixelData] = {}
        self._dataset, self._progress = dataset, progress
        self._read: Any = None
        self._heads: Any = None
        self._files = contextlib.ExitStack()

    def __enter__(self) -> "Trials":
        return self

    def __exit__(self, *_: object) -> None:
        self.parts = {}
        self._files.close()

    def prepare(self, config: Mapping[str, Any]) -> Training:
        """Read the pictures, and fit the head where one is needed; return a run to train in."""
        settings = TrainSettings.of(**config)
        # What has no say in how pictures are read and split is left out.
        blank: dict[str, Any] = dict.fromkeys(head_lists(), ())
        blank |= {"scratch": None, "finetuning": None, "epochs": 1, "patience": 1}
        read = dataclasses.replace(settings, **blank, batch_norm=False)
        if read != self._read:
            self._read_pictures(settings)
            self._read, self._heads = read, None
        assert self.base is not None
        run = dataclasses.replace(self.base, settings=settings, folder=None, notices=[])
        heads = settings.heads(), settings.fit_settings()
        if settings.finetuning is not None and heads != self._heads:
            with self._progress.stage("heads"):
                fit(run, heads[0], lambda *_: None)
            self.base.fitted, self.base.best, self._heads = run.fitted, run.best, heads
        return run

    def run_one(self, config: Config) -> Tried:
        """Train once; a training that diverges is a result too, without measures."""
        run = self.prepare(config)
        try:
            if run.settings.scratch is not None:
                train_small(run, self.parts, run.settings.scratch, self._progress)
            elif run.settings.finetuning is not None:
                train_pretrained(run, self.parts, run.settings.finetuning, self._progress)
            tried = _tried(config, run)
        except ConfigError as error:
            if "loss" not in str(error):
                raise
            self._progress.say(f"diverged: {error}")
            tried = Tried(config, None, None)
        if run.folder is not None:
            leave(run.folder)
        return tried

    def _read_pictures(self, settings: TrainSettings) -> None:
        self.parts = {}
        self._files.close()
        if settings.scratch is not None:
            self.base, self.parts = read_small(self._dataset, settings, self._progress)
            return
        self.base = look_at(self._dataset, settings, self._progress)
        runs = cache_folder() / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        files = self._files.enter_context(tempfile.TemporaryDirectory(dir=runs, prefix="pixels-"))
        self.parts = read_large(self.base, Path(files), self._progress)


def _tried(config: Config, run: Training) -> Tried:
    network = run.network
    assert network is not None
    accuracy, loss = _of_best_epoch(network, run)
    if not math.isfinite(loss):
        return Tried(config, None, None, network.best_epoch, network.curves)
    return Tried(config, accuracy, loss, network.best_epoch, network.curves)


def _of_best_epoch(network: FittedNetwork, run: Training) -> tuple[float, float]:
    """Return accuracy and loss of what would ship; epoch 0 is the head that training began with."""
    if network.best_epoch == 0:
        return (run.chosen.accuracy, run.chosen.loss) if run.chosen else (math.nan, math.nan)
    epoch = network.best_epoch - 1
    return network.curves["validation accuracy"][epoch], network.curves["validation loss"][epoch]
