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
from typing import Any, cast

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from silverprint.data.augmentation import draw, mix, vary
from silverprint.data.policies import Policy, find_policy, suggest_policy
from silverprint.models.catalogue import build_network
from silverprint.models.head import Head
from silverprint.models.network import SmallNetwork
from silverprint.recipes.scratch_settings import ScratchSettings
from silverprint.training.averaging import WeightAverage
from silverprint.training.choices import Precision
from silverprint.training.fabric import share_of, start_fabric, total
from silverprint.training.fitted import FittedNetwork
from silverprint.training.journal import Journal, Tracker
from silverprint.training.losses import Link, correct, row_losses, weigh_classes
from silverprint.training.optimisers import AdamW, clip, decay_groups
from silverprint.training.pictures import Pictures
from silverprint.training.pixels import PixelData
from silverprint.training.progress import Advance
from silverprint.training.randomness import order_of_epoch, own_randomness
from silverprint.training.run_state import RunState
from silverprint.training.schedule import set_learning_rate
from silverprint.training.ticker import Ticker

__all__ = ["ScratchSettings", "train_from_scratch"]

SAMPLE = 5000  # training pictures on which the curves' training loss is measured
STATISTICS = 10_000  # training pictures whose mean and deviation normalise all
EVALUATED_TOGETHER = 1000  # pictures
GRAPH_CHECKS = (  # the name changed with torch's versions
    "_cuda_graph_capture_health_check",
    "_accelerator_graph_capture_health_check",
)
LEARNING_RATES = {
    "adamw": {"mlp": 1e-3, "cnn": 3e-3, "resnet": 3e-3},
    "sgd": {"mlp": 0.03, "cnn": 0.03, "resnet": 0.1},
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
        lesson = Lesson.of(train, validation, outputs, link, settings, classes, fabric)
        network = _network(settings, outputs, train).to(fabric.device)
        model = _model(network, fabric)
        state = _state(network, settings, lesson, folder)
        state.take_up()
        resumed = state.epoch
        journal = Journal(folder, after=resumed, track=track) if fabric.is_global_zero else None
        ticker = Ticker(advance, state, settings.epochs)
        ticker.tell(resumed * len(train) + state.step * settings.batch_size)

        while state.epoch < settings.epochs and not state.out_of_patience():
            told = learn_for_an_epoch(model, state, lesson, settings, ticker)
            with state.averaged():
                measures = judge(model, lesson)
                state.finish_epoch(measures, _key(measures, settings, state.epoch))
            if journal is not None:
                journal.write(state.epoch, {**measures, **told})
            state.save()

        state.load_best()
        if journal is not None:
            journal.close()
    classifier = network.cpu().classifier
    return FittedNetwork(
        network=network.eval().requires_grad_(False),
        head=Head(classifier.weight.numpy().copy(), classifier.bias.numpy().copy()),
        metric=settings.metric if validation is not None else "last epoch",
        best_epoch=state.best_epoch,
        curves=state.curves,
        epochs=state.epoch,
        resumed=resumed,
        seconds=time.perf_counter() - began,
    )


def learn_for_an_epoch(
    model: Any, state: RunState, lesson: "Lesson", settings: ScratchSettings, ticker: Ticker
) -> dict[str, float]:
    """Go through the training pictures once, from the step on where an earlier run stopped.

    Returns:
        What the journal should know: the mean loss of the steps, on varied pictures and with
        dropout; the last learning rate; seconds, and pictures a second.
    """
    fabric, steps, skipped = lesson.fabric, len(state.losses), state.step
    started, rate = time.perf_counter(), 0.0
    highest = settings.learning_rate or LEARNING_RATES[settings.optimiser][settings.model]
    batches = order_of_epoch(len(lesson.pictures), settings.seed, state.epoch).tensor_split(steps)
    model.train()
    for step in range(skipped, steps):
        rate = set_learning_rate(
            state, highest, settings.epochs, warm_up=settings.warm_up, shape=settings.schedule
        )
        batch = lesson.pictures.take(batches[step])
        share = _varied_share(batch, lesson, state.chance)
        parts = share.split(settings.accumulate)
        for number, part in enumerate(parts, start=1):
            waiting = number < len(parts) and fabric.world_size > 1
            with fabric.no_backward_sync(model) if waiting else nullcontext():
                losses = lesson.losses_of(model(part.pixels), part.targets)
                # Of the whole batch; gradients are means over the processes.
                loss = losses.sum() * (fabric.world_size / len(batch))
                fabric.backward(loss)
            state.losses[step] += loss.detach()
        regularise(state.network, settings)
        state.optimiser.step()
        state.network.zero_grad()
        state.finish_step()
        ticker.tell(len(batch), rate)
        state.save_now_and_then()
    ticker.tell(0, rate, now=True)
    seconds = time.perf_counter() - started
    mean = total(state.losses.mean(), fabric).item() / fabric.world_size
    return {
        "loss in the loop": mean,
        "learning rate": rate,
        "seconds": seconds,
        "pictures per second": len(lesson.pictures) * (1 - skipped / steps) / seconds,
    }


@dataclass(frozen=True)
class Lesson:
    """What is learned, from what, and how it is judged.

    Attributes:
        pictures: to learn from.
        sample: some of them, on which the curves' training loss is measured.
        held: pictures that judge; None where there are none.
        outputs: number of logits.
        link: "softmax" or "sigmoid".
        losses_of: logits and targets -> (n,) losses.
        policy: how pictures are varied; None for not at all.
        fabric: where all this takes place.
    """

    pictures: Pictures
    sample: Pictures
    held: Pictures | None
    outputs: int
    link: Link
    losses_of: Callable[[Tensor, Tensor], Tensor]
    policy: Policy | None
    fabric: Fabric

    @classmethod
    def of(
        cls, train: PixelData, validation: PixelData | None, outputs: int, link: Link,
        settings: ScratchSettings, classes: Sequence[str], fabric: Fabric,
    ) -> "Lesson":  # fmt: skip
        """Bring the pictures to the device, and settle what the settings leave open."""
        pictures = Pictures.on(fabric.device, train)
        generator = torch.Generator().manual_seed(settings.seed)
        rows = torch.randperm(len(pictures), generator=generator)[:SAMPLE].sort().values
        weight = weigh_classes(pictures.targets, link, outputs, settings.class_weights)
        losses_of = partial(
            row_losses, link=link, smoothing=settings.label_smoothing, class_weight=weight
        )
        held = None if validation is None else Pictures.on(fabric.device, validation)
        policy = _policy(settings, classes, pictures.pixels.shape[-1])
        return cls(
            pictures, pictures.take(rows), held, outputs, link, losses_of, policy, fabric
        )  # fmt: skip


class WithClassifier(nn.Module):
    """A network and its last layer as one module: pixels -> logits."""

    def __init__(self, network: SmallNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (n, c)."""
        return cast(Tensor, self.network.classifier(self.network(pixels)))


def _precision(settings: ScratchSettings) -> Precision:
    """An mlp this small spends more on rounding its weights to bf16 than it gains."""
    return "f32" if settings.precision == "auto" and settings.model == "mlp" else settings.precision


def _network(settings: ScratchSettings, outputs: int, train: PixelData) -> SmallNetwork:
    network = build_network(
        settings.model, outputs, torch.as_tensor(train.pixels[:: -(-len(train) // STATISTICS)]),
        preset=settings.preset, widths=settings.widths, dropout=settings.dropout,
        batch_norm=settings.batch_norm, initialisation=settings.initialisation, seed=settings.seed,
    )  # fmt: skip
    return network.to(memory_format=torch.channels_last)


def _model(network: SmallNetwork, fabric: Fabric) -> Any:
    """Return pixels -> logits, in Fabric's hands.

    One process in float32 needs neither autocast nor gradients gathered, and for a small mlp the
    wrapping would be felt.
    """
    model = WithClassifier(network)
    alone = fabric.world_size == 1 and fabric._precision.precision == "32-true"
    return model if alone else fabric.setup_module(model)


def _state(
    network: SmallNetwork, settings: ScratchSettings, lesson: Lesson, folder: Path
) -> RunState:
    fabric, pictures = lesson.fabric, lesson.pictures
    optimiser = optimiser_of(network, settings)
    fabric.setup_optimizers(optimiser)
    return RunState(
        folder=folder,
        identity={**asdict(settings), "pictures": len(pictures), "outputs": lesson.outputs},
        network=network,
        optimiser=optimiser,
        average=WeightAverage(network) if settings.average else None,
        chance=torch.Generator().manual_seed(settings.seed),
        losses=torch.zeros(-(-len(pictures) // settings.batch_size), device=fabric.device),
        fabric=fabric,
        patience=settings.patience,
    )


def optimiser_of(network: nn.Module, settings: ScratchSettings) -> torch.optim.Optimizer:
    """Return the optimiser; the learning rate is set before each step."""
    groups = decay_groups(network.parameters(), settings.weight_decay)
    optimiser: torch.optim.Optimizer
    if settings.optimiser == "sgd":
        optimiser = torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True, fused=True)
    else:
        optimiser = AdamW(groups, lr=1.0, fused=True)
    if all(p.device.type == "cpu" for p in network.parameters()):
        # Before each step torch asks whether a GPU records a graph. Where there is a CUDA build
        # but no driver that takes as long as the step of a small mlp: it looks for the driver anew.
        for question in GRAPH_CHECKS:
            if hasattr(optimiser, question):
                setattr(optimiser, question, lambda: None)
    return optimiser


def _policy(settings: ScratchSettings, classes: Sequence[str], side: int) -> Policy | None:
    """Return how to augment, or None for not at all."""
    name = settings.augment
    if name == "auto":
        name = "none" if settings.model == "mlp" else suggest_policy(classes, side)[0]
    policy = find_policy(name)
    return policy if policy.varies or policy.mixes else None


def _varied_share(batch: Pictures, lesson: Lesson, chance: torch.Generator) -> Pictures:
    """Vary a batch and return this process's share; all processes draw the same numbers."""
    policy, fabric = lesson.policy, lesson.fabric
    if policy is None:
        return batch.share(fabric)
    drawn = draw(len(batch), chance)
    if not policy.mixes:
        share = batch.share(fabric)
        return Pictures(vary(share.pixels, policy, share_of(drawn, fabric)), share.targets)
    targets = batch.targets
    if not targets.is_floating_point():
        targets = F.one_hot(targets, lesson.outputs).float()
    return Pictures(*mix(vary(batch.pixels, policy, drawn), targets, policy, chance)).share(fabric)


def regularise(network: nn.Module, settings: ScratchSettings) -> None:
    """Add the L1 penalty's gradient, then bound the whole gradient's norm."""
    if settings.l1:
        for parameter in network.parameters():
            if parameter.dim() > 1 and parameter.grad is not None:
                parameter.grad.add_(parameter.detach().sign(), alpha=settings.l1)
    clip(network.parameters(), settings.clip)


def judge(model: nn.Module, lesson: Lesson) -> dict[str, float]:
    """Return loss and accuracy on the sample of the training pictures and on those held out."""
    found = {}
    for name, pictures in (("training", lesson.sample), ("validation", lesson.held)):
        if pictures is not None:
            found[f"{name} loss"], found[f"{name} accuracy"] = evaluate(model, pictures, lesson)
    return found


@torch.no_grad()
def evaluate(model: nn.Module, pictures: Pictures, lesson: Lesson) -> tuple[float, float]:
    """Return mean loss and accuracy, each process having looked at its share."""
    model.eval()
    sums = torch.zeros(2, device=lesson.fabric.device)
    share = pictures.share(lesson.fabric)
    for part in share.split(-(-len(share) // EVALUATED_TOGETHER)):
        logits = model(part.pixels)
        right = correct(logits, part.targets, lesson.link)
        sums += torch.stack([lesson.losses_of(logits, part.targets).sum(), right.sum()])
    loss, accuracy = (total(sums, lesson.fabric) / len(pictures)).tolist()
    return loss, accuracy


def _key(measures: dict[str, float], settings: ScratchSettings, epoch: int) -> tuple[float, ...]:
    """Return what is the least for the best epoch; without validation that is the latest."""
    if "validation loss" not in measures:
        return (-epoch,)
    if settings.metric == "validation loss":
        return (measures["validation loss"],)
    return (-measures["validation accuracy"], measures["validation loss"])
