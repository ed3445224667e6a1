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
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from silverprint.backbones.networks import reload_backbone
from silverprint.backbones.prepare import PreparedBackbone
from silverprint.data.policies import suggest_policy
from silverprint.models.head import Head
from silverprint.models.thawing import (
    Thawed,
    check_frozen,
    digest_of_frozen,
    let_learn,
    thaw,
)
from silverprint.recipes.finetune_inputs import Judge, prepare_inputs
from silverprint.recipes.finetune_settings import FinetuneSettings
from silverprint.training.averaging import WeightAverage
from silverprint.training.fabric import share_of, start_fabric, total
from silverprint.training.fitted import FittedNetwork
from silverprint.training.journal import Journal, Tracker
from silverprint.training.losses import Link, correct, row_losses, weigh_classes
from silverprint.training.memory import kept_memory
from silverprint.training.optimisers import AdamW, decay_groups
from silverprint.training.pixels import PixelData
from silverprint.training.progress import Progress
from silverprint.training.randomness import own_randomness
from silverprint.training.run_state import RunState
from silverprint.training.schedule import set_learning_rate

__all__ = ["FinetuneSettings", "finetune", "picture_side"]

EVALUATED_TOGETHER = 64  # pictures
LARGER = 8 / 7  # than the network's input (256 px for 224): pictures that crops are taken from


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
        inputs = prepare_inputs(
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
                    state.finish_step()
                    state.refuse_non_finite(rate)
                    advance(len(rows), _note(state, settings))
                    state.save_now_and_then()
                seconds, looped = time.perf_counter() - started, state.losses.mean().item()
                with state.averaged():
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
