"""The learning-rate range test: let the rate grow at every step and watch the loss.

    silverprint tune DATA --find-lr [--from-scratch | --finetune]

Smith, "Cyclical Learning Rates for Training Neural Networks", 2015 (arXiv:1506.01186): while the
rate is too small the loss hardly moves, then it falls, and where the rate is too large it rises.
One such run of some hundred steps, from very small to far too large, shows where that is. Nothing
that is trained here is kept.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from silverprint.backbones.networks import reload_backbone
from silverprint.backbones.prepare import PreparedBackbone
from silverprint.data.augmentation import augment, mix
from silverprint.data.policies import find_policy, suggest_policy
from silverprint.errors import ConfigError
from silverprint.models.catalogue import build_network
from silverprint.models.head import Head
from silverprint.models.network import initialise
from silverprint.models.stacked_heads import HeadConfig
from silverprint.models.thawing import let_learn, thaw
from silverprint.recipes.finetune import Student
from silverprint.recipes.finetune_settings import FinetuneSettings
from silverprint.recipes.heads import STEPS, FitSettings, HeadData
from silverprint.recipes.scratch import (
    ScratchSettings,
    WithClassifier,
    optimiser_of,
    regularise,
)
from silverprint.training.choices import Device, Precision
from silverprint.training.fabric import start_fabric
from silverprint.training.losses import ClassWeights, Link, row_losses, weigh_classes
from silverprint.training.optimisers import AdamW, clip, decay_groups
from silverprint.training.pixels import PixelData
from silverprint.training.progress import Advance
from silverprint.training.randomness import own_randomness

LOWEST, HIGHEST = 1e-6, 10.0
STEPS_A_TEST = 120
SMOOTHING = 0.9  # of the moving average of the losses
DIVERGED = 4.0  # times the lowest smoothed loss: there the test ends
MARGIN = 10.0
LEAST_FALL = 0.02  # of the loss, for a curve that says anything
RULE = (
    "a tenth of the rate at which the smoothed loss is lowest: there it is about to rise, and a "
    "whole training needs some distance from that"
)
Batch = Callable[[Tensor], tuple[Tensor, Tensor]]  # rows -> inputs and targets


@dataclass(frozen=True)
class RangeTest:
    """What the test saw.

    Attributes:
        rates: the learning rate of each step.
        losses: of each step's batch, before the step was made, nats.
        smoothed: their moving average.
        suggestion: a learning rate to train with, by RULE.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: float


def range_test(
    step: Callable[[float], float], *, lowest: float = LOWEST, highest: float = HIGHEST,
    steps: int = STEPS_A_TEST, advance: Advance = lambda count, note="": None,  # noqa: ARG005
) -> RangeTest:  # fmt: skip
    """Make steps with a rate that grows exponentially, until the loss runs away.

    Args:
        step: makes one step with a learning rate, and returns the loss before it.
        lowest: the first rate.
        highest: the last.
        steps: how many to make.
        advance: called after each.

    Raises:
        ConfigError: the loss is no number at once, or falls at no rate.
    """
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    mean = 0.0
    for number in range(steps):
        rate = lowest * (highest / lowest) ** (number / max(1, steps - 1))
        loss = step(rate)
        if not math.isfinite(loss):
            break
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        rates.append(rate)
        losses.append(loss)
        # An average that begins at 0 is too small by this factor (Kingma and Ba, 2014).
        smoothed.append(mean / (1 - SMOOTHING ** (number + 1)))
        advance(1, f"rate {rate:.1e}, loss {smoothed[-1]:.3f}")
        if smoothed[-1] > DIVERGED * min(smoothed):
            break
    if not rates:
        raise ConfigError(f"the loss is no number at the lowest rate, {lowest:g}, already.")
    best = min(range(len(rates)), key=smoothed.__getitem__)
    if smoothed[best] > smoothed[0] * (1 - LEAST_FALL):
        raise ConfigError(
            f"the loss hardly falls at any learning rate from {lowest:g} to {rates[-1]:.2g}, so "
            "there is none to suggest; look at how the weights begin, and at the labels."
        )
    return RangeTest(rates, losses, smoothed, _rounded(max(lowest, rates[best] / MARGIN)))


def range_of_head(
    config: HeadConfig, data: HeadData, settings: FitSettings,
    advance: Advance = lambda count, note="": None,  # noqa: ARG005
) -> RangeTest:  # fmt: skip
    """Test a head with a hidden layer; its learning rate is left aside.

    Raises:
        ConfigError: the head has no hidden layer; a linear one is solved exactly.
    """
    if not config.hidden_size:
        raise ConfigError(
            "--find-lr is for heads with a hidden layer; a linear head is solved exactly. "
            "Give --set hidden_size=128, --from-scratch or --finetune."
        )
    width = config.hidden_size
    with own_randomness(settings.seed):
        model = nn.Sequential(
            nn.Linear(data.features.shape[1], width),
            *([nn.BatchNorm1d(width)] if config.batch_norm else []),
            nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(width, data.outputs),
        )  # fmt: skip
        initialise(model, config.initialisation, torch.Generator().manual_seed(settings.seed))
        rows = len(data.features)
        steps = max(-(-rows // settings.batch_size), min(STEPS, rows // 16), 1)

        def batch(chosen: Tensor) -> tuple[Tensor, Tensor]:
            return data.features[chosen], data.targets[chosen]

        step = _Stepper(
            model, batch, rows, -(-rows // steps), data.link, data.outputs, settings.class_weights,
            data.targets, config.weight_decay, config.label_smoothing, settings.seed,
        )  # fmt: skip
        return range_test(step, advance=advance)


def range_of_scratch(
    train: PixelData, outputs: int, link: Link, settings: ScratchSettings,
    classes: Sequence[str], advance: Advance = lambda count, note="": None,  # noqa: ARG005
) -> RangeTest:  # fmt: skip
    """Test a small network on its training pictures, varied as they will be."""
    with own_randomness(settings.seed):
        pixels, targets = torch.from_numpy(train.pixels), torch.from_numpy(train.targets)
        network = build_network(
            settings.model, outputs, pixels[:: max(1, len(pixels) // 10_000)],
            preset=settings.preset, widths=settings.widths, dropout=settings.dropout,
            batch_norm=settings.batch_norm, initialisation=settings.initialisation,
            seed=settings.seed,
        )  # fmt: skip
        policy = settings.augment
        if policy == "auto":
            side = pixels.shape[-1]
            policy = "none" if settings.model == "mlp" else suggest_policy(classes, side)[0]
        batch = _varied(pixels, targets, outputs, link, policy, pixels.shape[-1], settings.seed)
        step = _Stepper(
            WithClassifier(network), batch, len(pixels), settings.batch_size, link, outputs,
            settings.class_weights, targets, settings.weight_decay, settings.label_smoothing,
            settings.seed, settings.device, settings.precision,
            optimiser=lambda: optimiser_of(network, settings),
            regularise=lambda: regularise(network, settings),
        )  # fmt: skip
        return range_test(step, advance=advance)


def range_of_finetuning(
    prepared: PreparedBackbone, head: Head, train: PixelData, outputs: int, link: Link,
    settings: FinetuneSettings, classes: Sequence[str],
    advance: Advance = lambda count, note="": None,  # noqa: ARG005
) -> RangeTest:  # fmt: skip
    """Test a pretrained network after its head was fitted; all that learns has the same rate."""
    with own_randomness(settings.seed):
        network = reload_backbone(prepared.choice, prepared.size, prepared.weights)
        thawed = thaw(network, settings.unfreeze, prepared.size)
        student = Student(thawed.back, head, settings.dropout)
        whole = student if thawed.front is None else nn.Sequential(thawed.front, student)
        policy = settings.augment
        if policy == "auto":
            policy = suggest_policy(classes, prepared.size)[0]
        pixels, targets = torch.from_numpy(train.pixels), torch.from_numpy(train.targets)
        batch = _varied(pixels, targets, outputs, link, policy, prepared.size, settings.seed)
        step = _Stepper(
            whole, batch, len(pixels), settings.batch_size, link, outputs,
            settings.class_weights, targets, settings.weight_decay, settings.label_smoothing,
            settings.seed, settings.device, settings.precision,
            regularise=lambda: clip(whole.parameters(), settings.clip),
        )  # fmt: skip
        let_learn(whole)  # after which running statistics stay as they are
        return range_test(step, lowest=1e-7, highest=1.0, steps=STEPS_A_TEST // 2, advance=advance)


class _Stepper:
    """Makes one step after the other, of AdamW if no other, on batches in random order."""

    def __init__(
        self, model: nn.Module, batch: Batch, rows: int, batch_size: int, link: Link, outputs: int,
        class_weights: ClassWeights, targets: Tensor, weight_decay: float, smoothing: float,
        seed: int, device: Device = "cpu", precision: Precision = "f32", *,
        optimiser: Callable[[], torch.optim.Optimizer] | None = None,
        regularise: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        fabric = start_fabric(device, precision)
        weight = weigh_classes(targets, link, outputs, class_weights)
        self._fabric, self._link, self._smoothing = fabric, link, smoothing
        self._weight = None if weight is None else weight.to(fabric.device)
        self._batch, self._rows, self._size = batch, rows, min(batch_size, rows)
        self._order = torch.Generator().manual_seed(seed)
        self._left = torch.zeros(0, dtype=torch.int64)
        model.train().to(memory_format=torch.channels_last)
        self._model, self._regularise = fabric.setup_module(model), regularise
        groups = decay_groups(model.parameters(), weight_decay)
        self._optimiser = AdamW(groups, lr=1.0) if optimiser is None else optimiser()

    def __call__(self, rate: float) -> float:
        """Make a step and return the loss that its batch had before it."""
        if len(self._left) < self._size:
            self._left = torch.randperm(self._rows, generator=self._order)
        chosen, self._left = self._left[: self._size], self._left[self._size :]
        inputs, targets = (one.to(self._fabric.device) for one in self._batch(chosen))
        loss = row_losses(
            self._model(inputs), targets, self._link, smoothing=self._smoothing,
            class_weight=self._weight,
        ).mean()  # fmt: skip
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._fabric.backward(loss)
        self._regularise()
        self._optimiser.step()
        self._optimiser.zero_grad()
        return float(loss.detach())


def _varied(
    pixels: Tensor, targets: Tensor, outputs: int, link: Link, name: str, size: int, seed: int
) -> Batch:
    policy, chance = find_policy(name), torch.Generator().manual_seed(seed)

    def batch(rows: Tensor) -> tuple[Tensor, Tensor]:
        given, wanted = augment(pixels[rows], policy, chance, size), targets[rows]
        if not policy.mixes:
            return given, wanted
        if link == "softmax":
            wanted = nn.functional.one_hot(wanted, outputs).float()
        return mix(given, wanted, policy, chance)

    return batch


def _rounded(rate: float) -> float:
    """Return a rate with one digit: it is not known any better."""
    return float(f"{rate:.0e}")
