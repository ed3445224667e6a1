"""Train a pretrained network itself, after a head was fitted on what it saw while frozen.

    silverprint train PHOTOS --finetune [--unfreeze all|N]

The new layers are trained already: the head was fitted to convergence on the frozen network's
features, so there is nothing random in it that could upset the network. Now everything, or the last
N stages, learns with it, the head the fastest, and stages by `stage_factor`. Batch norms keep their
statistics, which a batch of a small dataset would only blur. With --unfreeze N a few views of each
picture pass through the frozen stages once, and what comes out is kept on disk (training/views.py).

On 3,068 photos of clothes, EfficientNet-Lite0, two cores with AMX: 59 s an epoch, and 25 s with
--unfreeze 2, where the same loop in plain torch takes 181 s (benchmarks/finetune.py). Five epochs,
6 minutes from files to bundle, test accuracy 0.922 (343 of 372, one seed) after 0.887 with the head
alone. The default rates are meant for such a handful of epochs.

The same call with the same folder takes a stopped run up where its last checkpoint left it; on a
processor the result is the same to the last bit.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from silverprint.backbones.networks import reload_backbone
from silverprint.backbones.prepare import PreparedBackbone
from silverprint.data.augmentation import (
    DRAWN,
    POLICIES,
    Policy,
    draw,
    find_policy,
    mix,
    vary,
)
from silverprint.data.policies import suggest_policy
from silverprint.errors import ConfigError
from silverprint.models.head import Head
from silverprint.models.thawing import (
    Thawed,
    Unfreeze,
    check_frozen,
    digest_of_frozen,
    let_learn,
    thaw,
)
from silverprint.training.averaging import WeightAverage
from silverprint.training.checks import Range, check_fields, is_kind
from silverprint.training.choices import ABOVE_0, Device, Precision
from silverprint.training.fabric import share_of, start_fabric, total
from silverprint.training.fitted import FittedNetwork
from silverprint.training.journal import Journal, Tracker
from silverprint.training.losses import ClassWeights, Link, correct, row_losses, weigh_classes
from silverprint.training.memory import kept_memory
from silverprint.training.optimisers import AdamW, decay_groups
from silverprint.training.pixels import PixelData
from silverprint.training.progress import Progress
from silverprint.training.randomness import own_randomness
from silverprint.training.run_state import RunState
from silverprint.training.schedule import set_learning_rate
from silverprint.training.views import look_at_views

EVALUATED_TOGETHER = 64  # pictures
SAMPLE = 1000  # most training pictures on which the curves' training loss is measured
LARGER = 8 / 7  # than the network's input: the side of the pictures that crops are taken from
Metric = Literal["validation loss", "validation accuracy"]


@dataclass(frozen=True)
class FinetuneSettings:
    """How to fine-tune.

    Attributes:
        unfreeze: "all", or how many of the last stages learn (see models/stages.py).
        epochs: passes over the training pictures.
        learning_rate: the highest, of the last stage.
        stage_factor: each stage learns this many times as fast as the one after it.
        head_learning_rate: the highest, of the head.
        batch_size: pictures a step, of all processes together.
        weight_decay: decoupled (AdamW), on weights, not on biases and norms.
        dropout: share of the features silenced.
        label_smoothing: share of the target spread over all classes.
        augment: a policy by name; "auto" is what `suggest_policy` says of the classes.
        views: of each picture, where the front of the network is frozen.
        warm_up: share of all steps in which the learning rate rises; then it falls along a cosine.
        average: decay of the moving average of the weights, which is judged and shipped; 0: none.
        clip: largest norm of the gradient; None for any.
        accumulate: parts a batch is computed in, one after the other, to need less memory.
        patience: epochs without a better metric after which training stops; None never stops.
        metric: what chooses the epoch that ships.
        precision: of products; "auto" is bf16 where that is faster.
        device: "auto", "cpu", "cuda" or "mps".
        seed: of everything random.
        class_weights: "auto", "balanced" or "none", as for heads.
    """

    unfreeze: Unfreeze = "all"
    epochs: int = 5
    learning_rate: float = 3e-4
    stage_factor: float = 1.0
    head_learning_rate: float = 1e-3
    batch_size: int = 32
    weight_decay: float = 0.05
    dropout: float = 0.2
    label_smoothing: float = 0.1
    augment: str = "auto"
    views: int = 4
    warm_up: float = 0.3
    average: float = 0.99
    clip: float | None = None
    accumulate: int = 1
    patience: int | None = None
    metric: Metric = "validation accuracy"
    precision: Precision = "auto"
    device: Device = "auto"
    seed: int = 0
    class_weights: ClassWeights = "auto"

    def __post_init__(self) -> None:
        if isinstance(self.unfreeze, str) and self.unfreeze.isdecimal():
            object.__setattr__(self, "unfreeze", int(self.unfreeze))  # as a command line gives it
        stages = is_kind(self.unfreeze, int) and 1 <= int(self.unfreeze) <= 1000
        if self.unfreeze != "all" and not stages:
            raise ConfigError(
                f"unfreeze must be all, or how many of the last stages learn, at least 1; got "
                f"{self.unfreeze!r}."
            )
        check_fields(self, CHOICES, RANGES, free=("unfreeze",))
        if self.augment != "auto":
            find_policy(self.augment)


CHOICES: dict[str, tuple[str, ...]] = {
    "metric": get_args(Metric),
    "precision": get_args(Precision),
    "device": get_args(Device),
    "class_weights": get_args(ClassWeights),
}
RANGES: dict[str, Range] = {
    "epochs": (int, 1, 100_000, "1..100000"),
    "learning_rate": (float, ABOVE_0, 10, "0..10, 0 excluded"),
    "stage_factor": (float, ABOVE_0, 1, "0..1, 0 excluded"),
    "head_learning_rate": (float, 0, 10, "0..10"),
    "batch_size": (int, 1, 65536, "1..65536"),
    "weight_decay": (float, 0, 10, "0..10"),
    "dropout": (float, 0, 0.99, "0..0.99"),
    "label_smoothing": (float, 0, 0.99, "0..0.99"),
    "views": (int, 1, 1000, "1..1000"),
    "warm_up": (float, 0, 1, "0..1"),
    "average": (float, 0, 0.99999, "0..0.99999"),
    "clip": (float, ABOVE_0, 1e6, "0..1000000, 0 excluded"),
    "accumulate": (int, 1, 65536, "1..65536"),
    "patience": (int, 1, 100_000, "1..100000"),
    "seed": (int, 0, 2**31 - 1, "0..2147483647"),
}


def picture_side(size: int) -> int:
    """Return the side at which training pictures should be given, for an input of that size."""
    return round(size * LARGER)


def finetune(
    prepared: PreparedBackbone, head: Head, train: PixelData, validation: PixelData, outputs: int,
    link: Link, settings: FinetuneSettings, folder: Path, *, classes: Sequence[str] = (),
    progress: Progress | None = None, track: Tracker | None = None,
) -> FittedNetwork:  # fmt: skip
    """Train, and return the network of the best epoch; the one it began with if none was better.

    Args:
        prepared: the pretrained network.
        head: fitted on its features; may have a hidden layer, which then learns too.
        train: pictures to learn from, at least as large as the network's input: (n, 3, T, T).
        validation: pictures that judge each epoch, just as they ship: (n, 3, S, S).
        outputs: number of logits.
        link: "softmax" or "sigmoid".
        settings: how to train.
        folder: of this very run; holds the last and the best checkpoint, `metrics.jsonl`, and what
            the frozen stages gave. What an earlier, stopped call with the same data and settings
            left there is taken up.
        classes: their names, which tell whether pictures may be mirrored.
        progress: shows the stages "views" (where something is frozen) and "fine-tune".
        track: mirror the measures to TensorBoard or MLflow.

    Raises:
        ConfigError: the loss is no longer finite, the folder belongs to another run, or the disk
            has no room for the views.
        BackboneError: frozen weights moved.
    """
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    progress = progress or Progress(quiet=True)
    fabric = start_fabric(settings.device, settings.precision)
    with kept_memory(), own_randomness(settings.seed + fabric.global_rank):
        network = reload_backbone(prepared.choice, prepared.size, prepared.weights)
        network = network.to(memory_format=torch.channels_last)
        thawed = thaw(network, settings.unfreeze, prepared.size)
        frozen = digest_of_frozen(network)
        for notice in thawed.notices:
            progress.say(notice)
        student = Student(thawed.back, head, settings.dropout)
        model: Any = fabric.setup_module(student)
        optimiser: Any = fabric.setup_optimizers(_optimiser(thawed, student, settings))
        if settings.augment == "auto":
            settings = replace(settings, augment=suggest_policy(classes, prepared.size)[0])
        inputs = _inputs(
            thawed, prepared, train, validation, outputs, settings, fabric, folder, progress
        )
        targets = torch.from_numpy(train.targets)
        weight = weigh_classes(targets, link, outputs, settings.class_weights)
        weight = None if weight is None else weight.to(fabric.device)
        identity = _identity(prepared, train, validation, settings, head)
        state = _state(student, optimiser, settings, fabric, folder, identity, len(train))
        state.take_up()
        resumed = state.epoch
        if not state.best_key:
            state.begin_with(_key(_measure(model, inputs.judges, link, fabric), settings))
        journal = Journal(folder, after=state.epoch, track=track) if fabric.is_global_zero else None
        pictures = settings.epochs * len(train)
        with progress.stage("fine-tune", pictures, _title(thawed)) as advance:
            advance(
                state.epoch * len(train)
                + sum(map(len, _batches(state, train, settings)[: state.step]))
            )
            while state.epoch < settings.epochs and not state.out_of_patience():
                started = time.perf_counter()
                first = state.step
                let_learn(student)
                for rows in _batches(state, train, settings)[first:]:
                    rate = set_learning_rate(
                        state, settings.learning_rate, settings.epochs, warm_up=settings.warm_up
                    )
                    batch = inputs.training(rows, state.epoch, state.chance)
                    loss = _learn(model, *batch, len(rows), link, weight, settings, fabric)
                    state.losses[state.step] = loss
                    if settings.clip is not None:
                        fabric.clip_gradients(model, optimiser, max_norm=settings.clip)
                    optimiser.step()
                    optimiser.zero_grad()
                    if state.average is not None:
                        state.average.update()
                    state.step += 1
                    state.refuse_non_finite(rate)
                    advance(len(rows), _note(state, settings))
                    if state.step < len(state.losses):
                        state.save_now_and_then()
                seconds, looped = time.perf_counter() - started, state.losses.mean().item()
                with nullcontext() if state.average is None else state.average.swapped_in():
                    measures = _measure(model, inputs.judges, link, fabric)
                    state.finish_epoch(measures, _key(measures, settings))
                if journal is not None:
                    share = 1 - first / len(state.losses)
                    facts = {"loss in the loop": looped, "learning rate": rate, "seconds": seconds}
                    facts["pictures per second"] = share * len(train) / seconds
                    journal.write(state.epoch, {**measures, **facts})
                state.save()
        if journal is not None:
            journal.close()
        state.load_best()
        check_frozen(network, frozen)
    network = network.cpu().eval().requires_grad_(False)
    fitted = student.cpu().requires_grad_(False).head()
    network.classifier = student.last if fitted.hidden_weight is None else None
    return FittedNetwork(
        network=network,
        head=fitted,
        metric=settings.metric,
        best_epoch=state.best_epoch,
        curves=state.curves,
        epochs=state.epoch,
        resumed=resumed,
        seconds=time.perf_counter() - began,
    )


def _learn(
    model: Any, given: Tensor, wanted: Tensor, whole: int, link: Link, weight: Tensor | None,
    settings: FinetuneSettings, fabric: Fabric,
) -> Tensor:  # fmt: skip
    """Add this process's gradients, a part at a time; return the loss of the whole batch."""
    loss = torch.zeros((), device=fabric.device)
    parts = [part.tensor_split(settings.accumulate) for part in (given, wanted)]
    for number, (some, theirs) in enumerate(zip(*parts, strict=True), start=1):
        with fabric.no_backward_sync(model, enabled=number < settings.accumulate):
            losses = row_losses(
                model(some), theirs, link, smoothing=settings.label_smoothing, class_weight=weight
            )
            # Processes are averaged, so each counts its share that many times.
            fabric.backward(losses.sum() * (fabric.world_size / whole))
        loss += losses.detach().sum() / whole
    return total(loss, fabric)


class Student(nn.Module):
    """What learns: the back of the network, and the head as torch layers."""

    def __init__(self, back: nn.Module, head: Head, dropout: float) -> None:
        super().__init__()
        self.back = back
        self.dropout = nn.Dropout(dropout)
        hidden = head.hidden_weight
        self.hidden = None if hidden is None else _linear(hidden, head.hidden_bias)
        self.last = _linear(head.output_weight, head.output_bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (n, outputs)."""
        features = self.dropout(self.back(inputs))
        if self.hidden is not None:
            features = torch.relu(self.hidden(features))
        logits: Tensor = self.last(features)
        return logits

    def head_parameters(self) -> list[nn.Parameter]:
        """Return those of the head."""
        layers = [self.last] if self.hidden is None else [self.hidden, self.last]
        return [parameter for layer in layers for parameter in layer.parameters()]

    def head(self) -> Head:
        """Return the head as arrays."""
        arrays = [parameter.detach().numpy().copy() for parameter in self.head_parameters()]
        return Head(*arrays[-2:], *arrays[:-2])


def _linear(weight: Any, bias: Any) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


def _optimiser(
    thawed: Thawed, student: Student, settings: FinetuneSettings
) -> torch.optim.Optimizer:
    """AdamW; each stage has its own learning rate, and its biases and gains do not decay."""
    count = len(thawed.stages)
    rates = [
        settings.learning_rate * settings.stage_factor ** (count - 1 - number)
        for number in range(count)
    ]
    parts = [*zip(thawed.stages, rates, strict=True)]
    parts.append((student.head_parameters(), settings.head_learning_rate))
    groups = [
        {**group, "lr": rate, "highest": rate}
        for parameters, rate in parts
        for group in decay_groups(parameters, settings.weight_decay)
        if group["params"]
    ]
    return AdamW(groups, fused=True)


# --- what the network is given ------------------------------------------------------------------


@dataclass(frozen=True)
class Judge:
    """Pictures that measure an epoch.

    Attributes:
        batch: positions among them -> what the student takes.
        targets: of all of them.
    """

    batch: Callable[[Tensor], Tensor]
    targets: Tensor


@dataclass(frozen=True)
class Inputs:
    """Where batches come from.

    Attributes:
        training: rows, epoch (from 0), chance -> this process's share of a varied batch, and of its
            targets.
        judges: "training", a fixed sample of the training pictures as they are, and "validation".
    """

    training: Callable[[Tensor, int, torch.Generator], tuple[Tensor, Tensor]]
    judges: dict[str, Judge]


class Pictures:
    """Pixels as the network takes them, varied or as they are."""

    def __init__(self, data: PixelData, size: int, policy: Policy, fabric: Fabric) -> None:
        self.size, self.policy, self.fabric = size, policy, fabric
        self.pixels = data.pixels
        self.targets = torch.from_numpy(data.targets).to(fabric.device)

    def plain(self, rows: Tensor) -> Tensor:
        """Return (n, 3, S, S) as they are."""
        pixels = self._read(rows)
        if pixels.shape[-1] == self.size:
            return pixels.contiguous(memory_format=torch.channels_last)
        return self._varied(pixels, POLICIES["none"], torch.zeros(len(rows), len(DRAWN)))

    def varied(self, rows: Tensor, chance: torch.Generator) -> Tensor:
        """Return (n, 3, S, S), each changed by the policy, but not mixed."""
        return self._varied(self._read(rows), self.policy, draw(len(rows), chance))

    def batch(self, rows: Tensor, chance: torch.Generator, outputs: int) -> tuple[Tensor, Tensor]:
        """Return this process's share of a varied and mixed batch, and of its targets."""
        targets = self.targets[rows.to(self.targets.device)]
        drawn = draw(len(rows), chance)
        if not self.policy.mixes:
            own = self._read(share_of(rows, self.fabric))
            varied = self._varied(own, self.policy, share_of(drawn, self.fabric))
            return varied, share_of(targets, self.fabric)
        if not targets.is_floating_point():
            targets = F.one_hot(targets, outputs).float()
        varied = self._varied(self._read(rows), self.policy, drawn)
        mixed, targets = mix(varied, targets, self.policy, chance)
        return share_of(mixed, self.fabric), share_of(targets, self.fabric)

    def _read(self, rows: Tensor) -> Tensor:
        chosen = np.ascontiguousarray(self.pixels[rows.numpy()])
        return torch.from_numpy(chosen).to(self.fabric.device)

    def _varied(self, pixels: Tensor, policy: Policy, drawn: Tensor) -> Tensor:
        varied = vary(pixels, policy, drawn, self.size)
        return varied.contiguous(memory_format=torch.channels_last)


def _inputs(
    thawed: Thawed, prepared: PreparedBackbone, train: PixelData, validation: PixelData,
    outputs: int, settings: FinetuneSettings, fabric: Fabric, folder: Path, progress: Progress,
) -> Inputs:  # fmt: skip
    """Pixels, varied anew for each batch; or views that the frozen stages have seen once."""
    policy = find_policy(settings.augment)
    pictures = Pictures(train, prepared.size, policy, fabric)
    held = Pictures(validation, prepared.size, policy, fabric)
    sample = _sample(len(train), min(len(validation), SAMPLE), settings.seed)
    if thawed.front is None:
        judges = {
            "training": Judge(lambda rows: pictures.plain(sample[rows]), pictures.targets[sample]),
            "validation": Judge(held.plain, held.targets),
        }
        return Inputs(lambda rows, _, chance: pictures.batch(rows, chance, outputs), judges)
    front = thawed.front.to(fabric.device)

    def look(pixels: Tensor) -> Tensor:
        with fabric.autocast():
            activations: Tensor = front(pixels)
        return activations

    looks: dict[str, tuple[Any, int, int]] = {
        "training": (lambda rows, _: look(pictures.plain(sample[rows])), len(sample), 0),
        "validation": (lambda rows, _: look(held.plain(rows)), len(validation), 0),
        "views": (
            lambda rows, chance: look(pictures.varied(rows, chance)), len(train), settings.views
        ),
    }  # fmt: skip
    key = f"{prepared.key} {settings}"
    many = sum(count * max(views, 1) for _, count, views in looks.values())
    title = f"looking at {settings.views} views"
    # The first process looks; the others then find everything in the files.
    with progress.stage("views", many, title) as advance, fabric.rank_zero_first():
        seen = {
            name: look_at_views(
                way, count, views, settings.seed, folder / f"{name}.activations",
                key=key, advance=advance,
            )
            for name, (way, count, views) in looks.items()
        }  # fmt: skip

    def stored(rows: Tensor, epoch: int, _: torch.Generator) -> tuple[Tensor, Tensor]:
        own = share_of(rows, fabric)
        return seen["views"].of(own, epoch).to(fabric.device), pictures.targets[own]

    judges = {
        "training": Judge(lambda rows: seen["training"].of(rows, 0), pictures.targets[sample]),
        "validation": Judge(lambda rows: seen["validation"].of(rows, 0), held.targets),
    }
    return Inputs(stored, judges)


def _sample(rows: int, count: int, seed: int) -> Tensor:
    chosen = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))[:count]
    return chosen.sort().values


def _title(thawed: Thawed) -> str:
    which = f"{len(thawed.stages)} of {thawed.total} stages"
    return f"fine-tuning {which if len(thawed.stages) < thawed.total else 'everything'}"


def _batches(state: RunState, train: PixelData, settings: FinetuneSettings) -> Sequence[Tensor]:
    """Return the rows of each step of an epoch, which depend on nothing but seed and epoch."""
    drawn = np.random.SeedSequence((settings.seed, state.epoch)).generate_state(1)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(int(drawn[0])))
    return order.tensor_split(len(state.losses))


def _measure(model: Any, judges: dict[str, Judge], link: Link, fabric: Fabric) -> dict[str, float]:
    """Return loss (nats a picture) and accuracy of each judge, without dropout."""
    model.eval()
    measures: dict[str, float] = {}
    for name, judge in judges.items():
        sums = torch.zeros(2, dtype=torch.float64, device=fabric.device)
        mine = share_of(torch.arange(len(judge.targets)), fabric)
        with torch.no_grad():
            for rows in mine.split(EVALUATED_TOGETHER):
                logits = model(judge.batch(rows).to(fabric.device))
                wanted = judge.targets[rows.to(judge.targets.device)]
                sums[0] += row_losses(logits, wanted, link).sum()
                sums[1] += correct(logits, wanted, link).sum()
        loss, accuracy = (total(sums, fabric) / len(judge.targets)).tolist()
        measures |= {f"{name} loss": loss, f"{name} accuracy": accuracy}
    return measures


# --- the run ------------------------------------------------------------------------------------


def _state(
    student: nn.Module, optimiser: Any, settings: FinetuneSettings, fabric: Fabric, folder: Path,
    identity: dict[str, Any], rows: int,
) -> RunState:  # fmt: skip
    return RunState(
        folder=folder,
        identity=identity,
        network=student,
        optimiser=optimiser,
        average=WeightAverage(student, settings.average) if settings.average else None,
        chance=torch.Generator().manual_seed(settings.seed),
        losses=torch.zeros(-(-rows // settings.batch_size), device=fabric.device),
        fabric=fabric,
        patience=settings.patience,
    )


def _identity(
    prepared: PreparedBackbone, train: PixelData, validation: PixelData,
    settings: FinetuneSettings, head: Head,
) -> dict[str, Any]:  # fmt: skip
    """Return what a stopped run must have in common with the one that takes it up."""
    digest = hashlib.sha256()
    for data in (train, validation):
        digest.update(f"{data.pixels.shape}".encode())
        digest.update(np.ascontiguousarray(data.pixels[:: max(1, len(data) // 16)]).tobytes())
        digest.update(data.targets.tobytes())
    for array in head.tensors().values():
        digest.update(array.tobytes())
    return {**asdict(settings), "backbone": prepared.key, "pictures": digest.hexdigest()}


def _key(measures: dict[str, float], settings: FinetuneSettings) -> tuple[float, ...]:
    """Return what is least for the best epoch; of two with one accuracy the lower loss wins."""
    loss = measures["validation loss"]
    if settings.metric == "validation loss":
        return (loss,)
    return (-measures["validation accuracy"], loss)


def _note(state: RunState, settings: FinetuneSettings) -> str:
    """Return how far it is, for people."""
    line = f"epoch {state.epoch + 1}/{settings.epochs}, loss {state.losses[state.step - 1]:.3f}"
    measured = state.curves.get(settings.metric)
    return line if not measured else f"{line}, {settings.metric} {measured[-1]:.4f}"
