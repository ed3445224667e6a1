"""A training run in progress, whatever is trained: the state that the steps of `train` share."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.backbones.look import Look
from silverprint.backbones.prepare import PreparedBackbone
from silverprint.data.table import Dataset
from silverprint.export.graph import Link as GraphLink
from silverprint.models.head import Head
from silverprint.recipes.heads import FittedHead, Link
from silverprint.runtime.paths import cache_folder
from silverprint.runtime.preprocessing import Preprocessing
from silverprint.training.fitted import FittedNetwork
from silverprint.training.metrics import sigmoid, softmax
from silverprint.training.reference import Familiar
from silverprint.workflows.copies import NearCopies
from silverprint.workflows.settings import TrainSettings


@dataclass
class Training:
    """A run in progress: each step fills in what the next ones need.

    Attributes:
        dataset: pictures that could be read, with their splits.
        settings: the run's settings.
        preprocessing: how pictures become its input.
        seen: what a frozen network saw in all of them; of a network from scratch only which files
            could be read.
        network_files: the network that ships, on disk; none before it is trained.
        fitted: every head that was tried; none from scratch.
        best: index of the chosen one.
        network: the network, where it was trained itself.
        cache: where what the network sees may be kept.
        folder: what lies there lets this run go on after a stop; none for heads, which are quick.
        temperature: by which the logits are divided.
        cross_validated: number of folds, or 0.
        metrics: split -> measures.
        probabilities: split -> (n, classes) as the written file gave them.
        familiar: what makes the distance from the training pictures.
        reference: what is usual for pictures that were held out.
        unknown: which distances are too far, by the share of known pictures that is answered.
        sets: from which probability on a class belongs to a picture's set, by the asked coverage.
        copies: which pictures show the same; none from scratch.
        notices: what the user should know.
    """

    dataset: Dataset
    settings: TrainSettings
    preprocessing: Preprocessing
    seen: Look
    network_files: PreparedBackbone | None = None
    fitted: list[FittedHead] = field(default_factory=list)
    best: int = 0
    network: FittedNetwork | None = None
    cache: Path = field(default_factory=cache_folder)
    folder: Path | None = None
    temperature: float = 1.0
    cross_validated: int = 0
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    probabilities: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    familiar: Familiar | None = None
    reference: dict[str, Any] = field(default_factory=dict)
    unknown: dict[str, Any] = field(default_factory=dict)
    sets: dict[str, Any] = field(default_factory=dict)
    copies: NearCopies | None = None
    notices: list[str] = field(default_factory=list)

    @property
    def prepared(self) -> PreparedBackbone:
        """The network that ships, on disk."""
        assert self.network_files is not None, "the network is not trained yet"
        return self.network_files

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
    def graph_link(self) -> GraphLink:
        """How logits become probabilities in the file."""
        two = self.outputs == 1 and self.dataset.task == "single-label"
        return "binary" if two else self.link

    @property
    def chosen(self) -> FittedHead | None:
        """The best of the heads on the frozen network."""
        return self.fitted[self.best] if self.fitted else None

    @property
    def head(self) -> Head:
        """The last layers that ship."""
        if self.network is not None:
            return self.network.head
        assert self.chosen is not None
        return self.chosen.head

    @property
    def held_out(self) -> NDArray[np.float32] | None:
        """(n, outputs) logits of the training pictures while held out, where cross-validated."""
        return None if self.network or self.chosen is None else self.chosen.held_out

    @property
    def curves(self) -> dict[str, list[float]]:
        """Loss and accuracy by epoch; empty where the head was solved exactly."""
        if self.network is not None:
            return self.network.curves
        return {} if self.chosen is None else self.chosen.curves

    def learned(self) -> dict[str, Any]:
        """What was chosen, as plain JSON types: the head, and the epoch of a trained network."""
        facts: dict[str, Any] = {}
        if self.chosen is not None:
            facts["chosen"] = {**self.chosen.row(), "curves": _finite(self.chosen.curves)}
        if self.network is not None:
            facts["network"] = {
                "best_epoch": self.network.best_epoch,
                "epochs": self.network.epochs,
                "by": self.network.metric,
                "curves": self.network.curves,
            }
        return facts

    @property
    def precision(self) -> str:
        """That of the network that ships: "f32", or "int8" where that was asked for."""
        int8 = self.network is None and self.seen.engine.endswith("int8")
        return "int8" if int8 else "f32"

    def probabilities_of(
        self, logits: NDArray[np.float32], temperature: float | None = None
    ) -> NDArray[np.float32]:
        """Return probabilities (n, classes) of logits (n, outputs); calibrated unless told how."""
        chosen = self.temperature if temperature is None else temperature
        calibrated = logits / np.float32(chosen)
        if self.link == "softmax":
            return softmax(calibrated)
        probability = sigmoid(calibrated)
        two = self.graph_link == "binary"
        return np.concatenate([1 - probability, probability], 1) if two else probability


def _finite(curves: dict[str, list[float]]) -> dict[str, list[float | None]]:
    """Return curves as JSON can hold them: a head may diverge after its best epoch."""
    return {
        name: [value if math.isfinite(value) else None for value in values]
        for name, values in curves.items()
    }
