"""Where a training stands: what its checkpoints hold, and which epoch was the best so far."""

import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from silverprint.errors import ConfigError
from silverprint.training.averaging import WeightAverage
from silverprint.training.checkpoint import load_checkpoint, load_optimiser, save_checkpoint
from silverprint.training.fabric import share_file
from silverprint.training.journal import METRICS
from silverprint.training.randomness import random_states, restore_random_states

LAST, BEST = "last.safetensors", "best.safetensors"
SECONDS_BETWEEN_CHECKPOINTS = 60.0


@dataclass
class RunState:
    """A training in progress.

    Attributes:
        folder: where the last and the best checkpoint lie.
        identity: plain values that decide the result; a checkpoint with others is refused.
        network: what trains.
        optimiser: of it.
        average: of its weights, or None.
        chance: draws the augmentation.
        losses: (steps,) the loss of each step of this epoch, or (steps, parts) of it.
        fabric: where it trains; its first process writes.
        patience: epochs without a better one that are let pass; None for any number.
        cure: what to try where a loss is no number.
        epoch: how many are finished.
        step: how many of the next one's are made.
        best_epoch: from 1; 0 before there is one, or while the network it began with is the best.
        best_key: what was the least so far.
        curves: measures by epoch.
        steps: of an epoch.
    """

    folder: Path
    identity: dict[str, Any]
    network: nn.Module
    optimiser: torch.optim.Optimizer
    average: WeightAverage | None
    chance: torch.Generator
    losses: Tensor
    fabric: Fabric
    patience: int | None = None
    cure: str = "try a learning rate ten times smaller, or --clip 1"
    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_key: tuple[float, ...] = ()
    curves: dict[str, list[float]] = field(default_factory=dict)
    saved: float = field(default_factory=time.monotonic)
    steps: int = field(init=False)

    def __post_init__(self) -> None:
        self.steps = len(self.losses)  # asking a tensor at every step would show in small networks

    def take_up(self) -> None:
        """Go on from the last checkpoint, where there is one.

        Raises:
            ConfigError: it cannot be read, or belongs to another run.
        """
        path = self.folder / LAST
        for name in (LAST, BEST, METRICS):
            share_file(self.folder / name, self.fabric)
        if not path.exists():
            return
        state = load_checkpoint(path)
        self._refuse_another(path, state["identity"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.best_epoch, self.best_key = state["best_epoch"], state["best_key"]
        self.curves = state["curves"]
        self.losses.copy_(state["losses"])
        self.network.load_state_dict(state["network"])
        load_optimiser(self.optimiser, state["optimiser"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.chance.set_state(state["chance"])
        restore_random_states(state["random"], self.fabric)

    def save(self) -> None:
        """Write the last checkpoint; every process calls this."""
        random = random_states(self.fabric)
        self.saved = time.monotonic()
        if not self.fabric.is_global_zero:
            return
        state = {
            "identity": self._identity(),
            "epoch": self.epoch,
            "step": self.step,
            "best_epoch": self.best_epoch,
            "best_key": self.best_key,
            "curves": self.curves,
            "losses": self.losses,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "chance": self.chance.get_state(),
            "random": random,
        }
        save_checkpoint(self.folder / LAST, state)

    def averaged(self) -> AbstractContextManager[None]:
        """Give the network the average of its weights, where there is one, for a with block."""
        return nullcontext() if self.average is None else self.average.swapped_in()

    def finish_step(self) -> None:
        """Note that a step was made."""
        if self.average is not None:
            self.average.update()
        self.step += 1

    def save_now_and_then(self) -> None:
        """Write the last checkpoint if the one before is old; every process calls this.

        At the end of an epoch it does not: its measures are still to come.
        """
        if self.step == self.steps:
            return
        late = time.monotonic() - self.saved > SECONDS_BETWEEN_CHECKPOINTS
        if self.fabric.broadcast(late) if self.fabric.world_size > 1 else late:
            self.save()

    def begin_with(self, key: tuple[float, ...]) -> None:
        """Take the network as it is now for the best so far, as epoch 0; for one not taken up."""
        self._keep_if_best(key)

    def finish_epoch(self, measures: Mapping[str, float], key: tuple[float, ...]) -> None:
        """Note an epoch's measures; keep its weights if its key is the least so far.

        The network holds the weights that were judged. A key that is not finite is never the least.
        """
        self.epoch, self.step = self.epoch + 1, 0
        self.losses.zero_()
        for name, value in measures.items():
            self.curves.setdefault(name, []).append(value)
        self._keep_if_best(key)

    def _keep_if_best(self, key: tuple[float, ...]) -> None:
        if all(map(math.isfinite, key)) and (not self.best_key or key < self.best_key):
            self.best_epoch, self.best_key = self.epoch, key
            if self.fabric.is_global_zero:
                weights = self.network.state_dict()
                save_checkpoint(self.folder / BEST, {"epoch": self.epoch, "network": weights})

    def out_of_patience(self) -> bool:
        """Whether too many epochs passed since the best one."""
        return self.patience is not None and self.epoch - self.best_epoch >= self.patience

    def load_best(self) -> None:
        """Give the network the weights of the best epoch."""
        share_file(self.folder / BEST, self.fabric)
        if self.best_key:
            self.network.load_state_dict(load_checkpoint(self.folder / BEST)["network"])

    def refuse_non_finite(self, learning_rate: float) -> None:
        """Stop where a step's loss is no number.

        Raises:
            ConfigError: it names the step, the epoch and the learning rate.
        """
        wrong = (~torch.isfinite(self.losses[: self.step])).nonzero()
        if len(wrong):
            step = int(wrong[0, 0])
            raise ConfigError(
                f"the loss became {self.losses[step].sum().item()} at step {step + 1} of "
                f"{len(self.losses)} in epoch {self.epoch + 1}, with a learning rate of "
                f"{learning_rate:.3g}; {self.cure}."
            )

    def _identity(self) -> dict[str, Any]:
        return {**self.identity, "processes": self.fabric.world_size}

    def _refuse_another(self, path: Path, found: Mapping[str, Any]) -> None:
        for name, mine in self._identity().items():
            if found.get(name) != mine:
                raise ConfigError(
                    f"checkpoint {path} belongs to a run with {name} {found.get(name)!r}, not "
                    f"{mine!r}; go on as it began, or give --fresh to train from the beginning."
                )
