"""Train a small network from nothing, on pictures of 16 to 96 pixels that fit into memory.

    silverprint train DATA --from-scratch --model mlp|cnn|resnet --epochs 12 --out DIR

All pictures lie on the device as uint8 and are augmented there, a batch at a time. What the curves
call training loss and accuracy is measured like validation: at the end of an epoch, with the same
weights, without augmentation and dropout, on a fixed sample of the training pictures. So the two
part exactly when the network begins to learn its pictures by heart. Both losses are what is
minimised: label smoothing is in them, or they would rise while the network gets better.

The same call with the same folder takes a stopped run up where its last checkpoint left it; on a
processor the result is the same to the last bit.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from silverprint.data.augmentation import draw, mix, vary
from silverprint.data.policies import Policy, find_policy, suggest_policy
from silverprint.errors import ConfigError, closest
from silverprint.models.catalogue import build_network, check_model
from silverprint.models.head import Head
from silverprint.models.network import Initialisation, SmallNetwork
from silverprint.training.averaging import WeightAverage
from silverprint.training.fabric import Device, Precision, share_of, start_fabric, total
from silverprint.training.fitted import FittedNetwork
from silverprint.training.journal import Journal, Tracker
from silverprint.training.losses import ClassWeights, Link, correct, row_losses, weigh_classes
from silverprint.training.pixels import PixelData
from silverprint.training.progress import Advance
from silverprint.training.randomness import own_randomness
from silverprint.training.run_state import RunState
from silverprint.training.schedule import Shape, learning_rate_factor

SAMPLE = 5000  # training pictures on which the curves' training loss is measured
STATISTICS = 10_000  # training pictures whose mean and deviation normalise all
EVALUATED_TOGETHER = 1000  # pictures
SECONDS_BETWEEN_NOTES = 0.2
RECENT = 50  # steps whose mean loss is shown
LEARNING_RATES = {"mlp": 1e-3, "cnn": 3e-3, "resnet": 3e-3}
Metric = Literal["validation loss", "validation accuracy"]
Losses = Callable[[Tensor, Tensor], Tensor]  # logits, targets -> (n,)
OptimiserName = Literal["adamw", "sgd"]


@dataclass(frozen=True)
class ScratchSettings:
    """How to train a network from scratch.

    Attributes:
        model: "mlp", "cnn" or "resnet".
        preset: a shape of that model by name, such as "signs" for cnn; empty for its first.
        widths: units or channels of each layer, block or group, in place of the preset's.
        epochs: passes over the training pictures.
        batch_size: pictures a step, of all processes together.
        learning_rate: the highest; None for one that suits the model.
        weight_decay: decoupled (AdamW), on weights, not on biases and norms.
        l1: added to the loss: this times the sum of all absolute weights.
        dropout: share of the last features silenced (mlp: of every layer's); None for the preset's.
        batch_norm: None for the model's own way: a cnn has it, an mlp has not, a resnet always has.
        label_smoothing: share of the target spread over all classes.
        initialisation: "zeros", "ones", "uniform", "normal", "xavier" or "he".
        augment: a policy by name; "auto" is "none" for an mlp, else what `suggest_policy` says.
        optimiser: "adamw", or "sgd" with Nesterov momentum 0.9.
        schedule: "cosine", "linear" or "constant", after the warm-up.
        warm_up: share of all steps in which the learning rate rises.
        patience: epochs without a better metric after which training stops; None never stops.
        metric: what chooses the epoch that ships; of equal accuracies the lower loss wins.
        clip: largest norm of the gradient; None for any.
        accumulate: parts a batch is computed in, one after the other, to need less memory.
        average: whether the moving average of the weights is judged and shipped.
        precision: of products; "auto" is bf16 where that is faster.
        device: "auto", "cpu", "cuda" or "mps".
        seed: of everything random.
        class_weights: "auto", "balanced" or "none", as for heads.
    """

    model: str = "cnn"
    preset: str = ""
    widths: tuple[int, ...] = ()
    epochs: int = 12
    batch_size: int = 128
    learning_rate: float | None = None
    weight_decay: float = 0.05
    l1: float = 0.0
    dropout: float | None = None
    batch_norm: bool | None = None
    label_smoothing: float = 0.1
    initialisation: Initialisation = "he"
    augment: str = "auto"
    optimiser: OptimiserName = "adamw"
    schedule: Shape = "cosine"
    warm_up: float = 0.1
    patience: int | None = None
    metric: Metric = "validation accuracy"
    clip: float | None = None
    accumulate: int = 1
    average: bool = True
    precision: Precision = "auto"
    device: Device = "auto"
    seed: int = 0
    class_weights: ClassWeights = "auto"

    def __post_init__(self) -> None:
        check_model(self.model, self.preset)
        object.__setattr__(self, "widths", tuple(self.widths))
        for name, choices in CHOICES.items():
            _one_of(name, getattr(self, name), choices)
        if self.augment != "auto":
            find_policy(self.augment)
        for name, (kind, least, most, words) in RANGES.items():
            given = getattr(self, name)
            for value in given if isinstance(given, tuple) else (given,):
                if value is not None and not _within(value, kind, least, most):
                    raise ConfigError(f"{name} must lie within {words}; got {value!r}.")


CHOICES: dict[str, tuple[str, ...]] = {
    "initialisation": get_args(Initialisation),
    "optimiser": get_args(OptimiserName),
    "schedule": get_args(Shape),
    "metric": get_args(Metric),
    "precision": get_args(Precision),
    "device": get_args(Device),
    "class_weights": get_args(ClassWeights),
}
ABOVE_0 = 1e-12
RANGES: dict[str, tuple[type, float, float, str]] = {
    "widths": (int, 1, 65536, "1..65536"),
    "epochs": (int, 1, 100_000, "1..100000"),
    "batch_size": (int, 1, 1_000_000, "1..1000000"),
    "learning_rate": (float, ABOVE_0, 100, "0..100, 0 excluded"),
    "weight_decay": (float, 0, 10, "0..10"),
    "l1": (float, 0, 10, "0..10"),
    "dropout": (float, 0, 0.99, "0..0.99"),
    "label_smoothing": (float, 0, 0.99, "0..0.99"),
    "warm_up": (float, 0, 1, "0..1"),
    "patience": (int, 1, 100_000, "1..100000"),
    "clip": (float, ABOVE_0, 1e6, "0..1000000, 0 excluded"),
    "accumulate": (int, 1, 65536, "1..65536"),
    "seed": (int, 0, 2**31, "0..2147483648"),
}


def train_from_scratch(
    train: PixelData, validation: PixelData | None, outputs: int, link: Link,
    settings: ScratchSettings, folder: Path, *, classes: Sequence[str] = (),
    advance: Advance = lambda count, note="": None,  # noqa: ARG005
    track: Tracker | None = None,
) -> FittedNetwork:  # fmt: skip
    """Train, and return the network of the best epoch.

    Args:
        train: pictures to learn from.
        validation: pictures that judge each epoch; None ships the last epoch.
        outputs: number of logits.
        link: "softmax" or "sigmoid".
        settings: how to train.
        folder: of this very run; holds the last and the best checkpoint and `metrics.jsonl`. What
            an earlier, stopped call with the same data and settings left there is taken up.
        classes: the classes' names, by which `augment="auto"` knows whether a flip would lie.
        advance: called with the number of pictures trained on since the last call, and a line.
        track: mirror the measures to TensorBoard or MLflow.

    Raises:
        ConfigError: the loss is no longer finite, or the folder belongs to another run.
    """
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    fabric = start_fabric(settings.device, _precision(settings))
    with own_randomness(settings.seed + fabric.global_rank):
        pictures = Pictures.on(fabric.device, train)
        sample = _sample(pictures, settings.seed)
        held = None if validation is None else Pictures.on(fabric.device, validation)
        losses_of = partial(
            row_losses, link=link, smoothing=settings.label_smoothing,
            class_weight=weigh_classes(pictures.targets, link, outputs, settings.class_weights),
        )  # fmt: skip
        policy = _policy(settings, classes, train.pixels.shape[-1])
        network = _network(settings, outputs, pictures.pixels.cpu()).to(fabric.device)
        optimiser = _optimiser(network, settings)
        average = WeightAverage(network) if settings.average else None
        model: Any = fabric.setup_module(WithClassifier(network))
        fabric.setup_optimizers(optimiser)

        steps = -(-len(pictures) // settings.batch_size)
        state = RunState(
            folder, {**asdict(settings), "pictures": len(pictures)}, network, optimiser, average,
            torch.Generator().manual_seed(settings.seed), torch.zeros(steps, device=fabric.device),
            fabric, settings.patience,
        )  # fmt: skip
        state.take_up()
        resumed = state.epoch
        journal = Journal(folder, after=resumed, track=track) if fabric.is_global_zero else None
        ticker = Ticker(advance, state, settings.epochs)
        ticker.tell(resumed * len(pictures) + state.step * settings.batch_size)

        while state.epoch < settings.epochs and not state.out_of_patience():
            started, skipped = time.perf_counter(), state.step
            batches = _order(pictures, settings.seed, state.epoch).tensor_split(steps)
            model.train()
            for step in range(skipped, steps):
                rate = _set_learning_rate(optimiser, settings, state.epoch * steps + step, steps)
                batch = pictures.take(batches[step])
                share = _augmented_share(batch, policy, state.chance, outputs, fabric)
                # Losses are divided by the whole batch, and processes are averaged.
                scale = fabric.world_size / len(batch)
                parts = share.split(settings.accumulate)
                for number, part in enumerate(parts, start=1):
                    with fabric.no_backward_sync(model, enabled=number < len(parts)):
                        loss = scale * losses_of(model(part.pixels), part.targets).sum()
                        fabric.backward(loss)
                    state.losses[step] += loss.detach()
                _regularise(network, settings)
                optimiser.step()
                optimiser.zero_grad()
                if average is not None:
                    average.update()
                state.step = step + 1
                ticker.tell(len(batch), rate)
                state.save_now_and_then()
            ticker.tell(0, rate, now=True)
            seconds = time.perf_counter() - started
            with nullcontext() if average is None else average.swapped_in():
                measures = _measures(model, sample, held, losses_of, link, fabric)
                state.finish_epoch(measures, _key(measures, settings, state.epoch))
            if journal is not None:
                rows = len(pictures) * (steps - skipped) / steps
                loop = {
                    "loss in the loop": state.losses.mean().item(),
                    "learning rate": rate,
                    "seconds": seconds,
                    "pictures per second": rows / seconds,
                }
                journal.write(state.epoch, {**measures, **loop})
            state.losses.zero_()
            state.save()

        state.load_best()
        if journal is not None:
            journal.close()
    return FittedNetwork(
        network=network.cpu().eval().requires_grad_(False),
        head=Head(*(tensor.detach().numpy().copy() for tensor in network.classifier.parameters())),
        metric=settings.metric if held is not None else "last epoch",
        best_epoch=state.best_epoch,
        curves=state.curves,
        epochs=state.epoch,
        resumed=resumed,
        seconds=time.perf_counter() - began,
    )


@dataclass(frozen=True)
class Pictures:
    """Pictures on the device, all or a batch of them.

    Attributes:
        pixels: (n, C, S, S) uint8, or float32 on the scale 0..255.
        targets: as for the loss.
    """

    pixels: Tensor
    targets: Tensor

    @classmethod
    def on(cls, device: torch.device, data: PixelData) -> "Pictures":
        """Copy all of them to the device."""
        return cls(torch.as_tensor(data.pixels, device=device),
                   torch.as_tensor(data.targets, device=device))  # fmt: skip

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, rows: Tensor) -> "Pictures":
        """Return these rows."""
        return Pictures(self.pixels[rows], self.targets[rows])

    def share(self, fabric: Fabric) -> "Pictures":
        """Return this process's part."""
        return Pictures(share_of(self.pixels, fabric), share_of(self.targets, fabric))

    def split(self, parts: int) -> list["Pictures"]:
        """Return equal parts, none of them empty."""
        parts = max(1, min(parts, len(self)))
        pairs = zip(self.pixels.tensor_split(parts), self.targets.tensor_split(parts), strict=True)
        return [Pictures(pixels, targets) for pixels, targets in pairs]


class WithClassifier(nn.Module):
    """A network and its last layer as one module: pixels -> logits."""

    def __init__(self, network: SmallNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (n, c)."""
        return cast(Tensor, self.network.classifier(self.network(pixels)))


class Ticker:
    """Says how far a training is, a few times a second; stops it where the loss is no number."""

    def __init__(self, advance: Advance, state: RunState, epochs: int) -> None:
        self._advance, self._state, self._epochs = advance, state, epochs
        self._unsaid, self._said = 0, 0.0

    def tell(self, pictures: int, learning_rate: float = 0.0, now: bool = False) -> None:
        """Count pictures, and speak if it is time."""
        self._unsaid += pictures
        if not now and time.monotonic() - self._said < SECONDS_BETWEEN_NOTES:
            return
        state = self._state
        state.refuse_non_finite(learning_rate)
        line = f"epoch {min(state.epoch + 1, self._epochs)}/{self._epochs}"
        if state.step:
            line += f", loss {state.losses[: state.step][-RECENT:].mean().item():.4f}"
        judged = [
            name for name in ("validation accuracy", "training accuracy") if name in state.curves
        ]
        if judged:
            line += f", {judged[0]} {state.curves[judged[0]][-1]:.4f}"
        self._advance(self._unsaid, line)
        self._unsaid, self._said = 0, time.monotonic()


def _precision(settings: ScratchSettings) -> Precision:
    """An mlp this small spends more on rounding its weights to bf16 than it gains."""
    return "f32" if settings.precision == "auto" and settings.model == "mlp" else settings.precision


def _network(settings: ScratchSettings, outputs: int, pixels: Tensor) -> SmallNetwork:
    norm = settings.model != "mlp" if settings.batch_norm is None else settings.batch_norm
    network = build_network(
        settings.model, outputs, pixels[:: max(1, len(pixels) // STATISTICS)],
        preset=settings.preset, widths=settings.widths, dropout=settings.dropout, batch_norm=norm,
        initialisation=settings.initialisation, seed=settings.seed,
    )  # fmt: skip
    return network.to(memory_format=torch.channels_last)


def _optimiser(network: nn.Module, settings: ScratchSettings) -> torch.optim.Optimizer:
    trained = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True, fused=True)
    return torch.optim.AdamW(groups, lr=1.0, fused=True)


def _set_learning_rate(
    optimiser: torch.optim.Optimizer, settings: ScratchSettings, step: int, steps: int
) -> float:
    """Set and return the learning rate of a step of the whole run; `steps` are those an epoch."""
    every = steps * settings.epochs
    warm_up = round(settings.warm_up * every)
    factor = learning_rate_factor(step, every, warm_up=warm_up, shape=settings.schedule)
    rate = factor * (settings.learning_rate or LEARNING_RATES[settings.model])
    for group in optimiser.param_groups:
        group["lr"] = rate
    return rate


def _order(pictures: Pictures, seed: int, epoch: int) -> Tensor:
    """Return the rows of an epoch in random order; it depends on nothing but seed and epoch."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(len(pictures), generator=generator).to(pictures.pixels.device)


def _sample(pictures: Pictures, seed: int) -> Pictures:
    """Return the training pictures on which the curves' training loss is measured."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(pictures), generator=generator)[:SAMPLE].sort().values
    return pictures.take(rows.to(pictures.pixels.device))


def _policy(settings: ScratchSettings, classes: Sequence[str], side: int) -> Policy | None:
    """Return how to augment, or None for not at all."""
    name = settings.augment
    if name == "auto":
        name = "none" if settings.model == "mlp" else suggest_policy(classes, side)[0]
    policy = find_policy(name)
    return policy if policy.varies or policy.mixes else None


def _augmented_share(
    batch: Pictures, policy: Policy | None, chance: torch.Generator, outputs: int, fabric: Fabric
) -> Pictures:
    """Vary a batch and return this process's share; all processes draw the same numbers."""
    if policy is None:
        return batch.share(fabric)
    drawn = draw(len(batch), chance)
    if not policy.mixes:
        share = batch.share(fabric)
        return Pictures(vary(share.pixels, policy, share_of(drawn, fabric)), share.targets)
    targets = batch.targets
    if not targets.is_floating_point():
        targets = F.one_hot(targets, outputs).float()
    return Pictures(*mix(vary(batch.pixels, policy, drawn), targets, policy, chance)).share(fabric)


def _regularise(network: nn.Module, settings: ScratchSettings) -> None:
    """Add the L1 penalty's gradient, then bound the whole gradient's norm."""
    trained = [p for p in network.parameters() if p.grad is not None]
    if settings.l1:
        for parameter in trained:
            if parameter.dim() > 1 and parameter.grad is not None:
                parameter.grad.add_(parameter.detach().sign(), alpha=settings.l1)
    if settings.clip is not None:
        torch.nn.utils.clip_grad_norm_(trained, settings.clip)


def _measures(
    model: nn.Module, sample: Pictures, held: Pictures | None, losses_of: Losses, link: Link,
    fabric: Fabric,
) -> dict[str, float]:  # fmt: skip
    """Return loss and accuracy on the sample of the training pictures and on those held out."""
    found = {}
    for name, pictures in (("training", sample), ("validation", held)):
        if pictures is not None:
            loss, accuracy = evaluate(model, pictures, losses_of, link, fabric)
            found[f"{name} loss"], found[f"{name} accuracy"] = loss, accuracy
    return found


@torch.no_grad()
def evaluate(
    model: nn.Module, pictures: Pictures, losses_of: Losses, link: Link, fabric: Fabric
) -> tuple[float, float]:
    """Return mean loss and accuracy, each process having looked at its share."""
    model.eval()
    sums = torch.zeros(2, device=fabric.device)
    share = pictures.share(fabric)
    for part in share.split(-(-len(share) // EVALUATED_TOGETHER)):
        logits = model(part.pixels)
        losses = losses_of(logits, part.targets)
        sums += torch.stack([losses.sum(), correct(logits, part.targets, link).sum()])
    loss, accuracy = (total(sums, fabric) / len(pictures)).tolist()
    return loss, accuracy


def _key(measures: dict[str, float], settings: ScratchSettings, epoch: int) -> tuple[float, ...]:
    """Return what is the least for the best epoch; without validation that is the latest."""
    if "validation loss" not in measures:
        return (-epoch,)
    if settings.metric == "validation loss":
        return (measures["validation loss"],)
    return (-measures["validation accuracy"], measures["validation loss"])


def _within(value: object, kind: type, least: float, most: float) -> bool:
    numeric = (int,) if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, numeric):
        return False
    return least <= value <= most


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(
            f"{name} must be one of {', '.join(choices)}; got {value!r}."
            f"{closest(str(value), choices)}"
        )
