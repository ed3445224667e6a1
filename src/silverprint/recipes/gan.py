"""Train a generator and a discriminator against each other, on pictures of 16 to 64 pixels.

    silverprint generate gan DATA --epochs 12 --out DIR

In each step the discriminator learns from a batch of real pictures and one of made ones, and then
the generator from what the discriminator says of another batch. What ships is the moving average of
the generator's weights. After each epoch both are examined in the ways in which such a pair goes
wrong: see `examine`, and `reports.balance`, which says it in words.

The same call with the same folder takes a stopped run up where its last checkpoint left it; on a
processor the result is the same to the last bit.
"""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from silverprint.errors import ConfigError
from silverprint.models.gan import Discriminator, Generator, build_gan
from silverprint.recipes.gan_settings import GanSettings
from silverprint.runtime.disk import writing_to_cache
from silverprint.training.averaging import WeightAverage
from silverprint.training.fabric import start_fabric
from silverprint.training.journal import Journal, Tracker
from silverprint.training.optimisers import AdamW
from silverprint.training.pictures import Pictures
from silverprint.training.pixels import PixelData
from silverprint.training.progress import Advance
from silverprint.training.randomness import order_of_epoch, own_randomness
from silverprint.training.run_state import RunState
from silverprint.training.schedule import set_learning_rate
from silverprint.training.ticker import Ticker
from silverprint.training.variety import apartness, spread, told_apart

__all__ = ["GanSettings", "train_gan"]

EXAMINED = 512  # held-out pictures, and as many made ones, that an epoch is examined on
FOLLOWED = 10  # codes whose pictures are kept after each epoch
R1_EVERY = (
    16  # steps; the penalty is then so many times as heavy (https://arxiv.org/abs/1912.04958)
)
IN_THE_LOOP = ("discriminator loss", "generator loss", "answer to real", "answer to made")
SHOWN = ("told apart", "spread", "apartness")


@dataclass(frozen=True)
class Gan:
    """What came of it.

    Attributes:
        generator: the averaged one, in evaluation mode, on the processor.
        discriminator: as it was at the end.
        curves: measures by epoch: IN_THE_LOOP as means over the steps, and those of `examine`.
        followed: (epochs, FOLLOWED, C, S, S) uint8, what the same codes made after each epoch.
        resumed: epochs that an earlier, stopped run had made.
        seconds: of this call.
    """

    generator: Generator
    discriminator: Discriminator
    curves: dict[str, list[float]]
    followed: NDArray[np.uint8]
    resumed: int
    seconds: float

    @property
    def epochs(self) -> int:
        """How many there were."""
        return len(self.followed)

    @property
    def best_epoch(self) -> int:
        """Which one ships: the last, for no measure of one epoch says which is the best."""
        return self.epochs


def train_gan(
    train: PixelData, held: PixelData, classes: int, settings: GanSettings, folder: Path, *,
    advance: Advance = lambda count, note="": None,  # noqa: ARG005
    after_epoch: Callable[[Mapping[str, list[float]]], None] = lambda curves: None,  # noqa: ARG005
    track: Tracker | None = None,
) -> Gan:  # fmt: skip
    """Train both, and return them.

    Args:
        train: pictures to learn from; targets are labels.
        held: pictures that both are examined on.
        classes: how many classes both are told; 0 for none.
        settings: how to train.
        folder: of this very run; what an earlier, stopped call left there is taken up.
        advance: called with the number of pictures trained on since the last call, and a line.
        after_epoch: called with the curves so far.
        track: mirror the measures to TensorBoard or MLflow.

    Raises:
        ConfigError: a loss is no longer finite, the folder belongs to another run, or the pictures
            are too few, too small or too large.
    """
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    fabric = start_fabric(settings.device, settings.precision)
    _refuse(train, held, settings, fabric)
    with own_randomness(settings.seed):
        pair = _pair(train, classes, settings).to(fabric.device)
        state = _state(pair, len(train), classes, settings, folder, fabric)
        state.take_up()
        resumed = state.epoch
        pictures = Pictures.on(fabric.device, train)
        fixed = _exhibits(train, held, settings, classes, fabric)
        journal = Journal(folder, after=resumed, track=track)
        ticker = Ticker(advance, state, settings.epochs, SHOWN, IN_THE_LOOP[:2])
        ticker.tell(resumed * len(train) + state.step * settings.batch_size)

        while state.epoch < settings.epochs:
            told = learn_for_an_epoch(pair, state, pictures, classes, settings, ticker)
            measures = dict(zip(IN_THE_LOOP, state.losses.mean(dim=0).tolist(), strict=True))
            with state.averaged():
                measures |= examine(pair, fixed)
                _keep_followed(pair, fixed, folder, state.epoch)
            state.finish_epoch(measures, ())  # the last epoch ships
            journal.write(state.epoch, {**measures, **told})
            state.save()
            after_epoch(state.curves)

        with state.averaged():
            generator = copy.deepcopy(pair.generator)
        journal.close()
    return Gan(
        generator.cpu().eval().requires_grad_(False),
        pair.discriminator.cpu().eval().requires_grad_(False), state.curves,
        _followed(folder, settings.epochs), resumed, time.perf_counter() - began,
    )  # fmt: skip


def learn_for_an_epoch(
    pair: "Pair", state: RunState, pictures: Pictures, classes: int, settings: GanSettings,
    ticker: Ticker,
) -> dict[str, float]:  # fmt: skip
    """Go through the training pictures once, from the step on where an earlier run stopped.

    Returns:
        What the journal should know besides: the generator's last rate, seconds, and pictures a
        second.
    """
    steps, skipped, rate = len(state.losses), state.step, 0.0
    started = time.perf_counter()
    batches = order_of_epoch(len(pictures), settings.seed, state.epoch).tensor_split(steps)
    pair.train()
    for step in range(skipped, steps):
        rate = set_learning_rate(
            state, settings.learning_rate, settings.epochs, shape=settings.schedule
        )
        batch = pictures.take(batches[step])
        real, labels = batch.pixels.float() / 255, batch.targets if classes else None
        codes = _codes(2 * len(batch), settings.code_size, state).split(len(batch))
        penalty = settings.r1 * R1_EVERY if settings.r1 and step % R1_EVERY == 0 else 0.0
        told = teach_discriminator(pair, state, real, labels, codes[0], settings, penalty)
        answer = teach_generator(pair, state, labels, codes[1], settings)
        state.losses[step] = torch.stack([told[0], answer, *told[1:]])
        state.finish_step()
        ticker.tell(len(batch), rate)
        state.save_now_and_then()
    ticker.tell(0, rate, now=True)
    seconds = time.perf_counter() - started
    learned = len(pictures) * (1 - skipped / steps)
    return {"learning rate": rate, "seconds": seconds, "pictures per second": learned / seconds}


def teach_discriminator(
    pair: "Pair", state: RunState, real: Tensor, labels: Tensor | None, codes: Tensor,
    settings: GanSettings, penalty: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Make one step of the discriminator; return its loss, and its mean answers to both kinds."""
    with state.fabric.autocast():
        with torch.no_grad():
            made = pair.generator(codes, labels)
        both = None if labels is None else torch.cat([labels, labels])
        to_real, to_made = pair.discriminator(torch.cat([real, made]), both).chunk(2)
    if settings.loss == "hinge":
        loss = F.relu(1 - to_real).mean() + F.relu(1 + to_made).mean()
    else:
        loss = F.softplus(-to_real).mean() + F.softplus(to_made).mean()
    whole = loss + penalty / 2 * _slope(pair, state, real, labels) if penalty else loss
    _step(state.optimiser, whole)
    return loss.detach(), to_real.detach().mean(), to_made.detach().mean()


def teach_generator(
    pair: "Pair", state: RunState, labels: Tensor | None, codes: Tensor, settings: GanSettings
) -> Tensor:
    """Make one step of the generator, which alone learns from it; return its loss."""
    pair.discriminator.requires_grad_(False)
    with state.fabric.autocast():
        answers = pair.discriminator(pair.generator(codes, labels), labels)
    loss = -answers.mean() if settings.loss == "hinge" else F.softplus(-answers).mean()
    _step(state.optimiser, loss)
    pair.discriminator.requires_grad_(True)
    return loss.detach()


def _step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """Step what the loss reaches: Adam passes over weights that have no gradient."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def _slope(pair: "Pair", state: RunState, real: Tensor, labels: Tensor | None) -> Tensor:
    """Return R1: the mean squared slope at real pictures (https://arxiv.org/abs/1801.04406)."""
    real = real.detach().requires_grad_(True)
    with state.fabric.autocast():
        answers = pair.discriminator(real, labels)
    (slope,) = torch.autograd.grad(answers.sum(), real, create_graph=True)
    return slope.square().sum(dim=(1, 2, 3)).mean()


class Pair(nn.Module):
    """Both networks, so that one state dict and one checkpoint hold them."""

    def __init__(self, generator: Generator, discriminator: Discriminator) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator


@dataclass(frozen=True)
class Exhibits:
    """What both networks are examined on after each epoch, always the same.

    Attributes:
        seen: (n, C, S, S) uint8 pictures that were learned from.
        held: as many that were not; both on the device, with their labels.
        codes: (n, k), to be made into pictures of the labels of `held`.
        followed: (FOLLOWED, k), of which the pictures are kept.
        conditional: whether labels are told.
    """

    seen: Pictures
    held: Pictures
    codes: Tensor
    followed: Tensor
    conditional: bool


@torch.no_grad()
def examine(pair: Pair, given: Exhibits) -> dict[str, float]:
    """Measure what goes wrong first where two such networks lose their balance.

    Returns:
        "told apart", how often the discriminator answers higher to a held-out picture than to a
        made one, 0.5 being by chance; "spread" and "apartness", those of made pictures as a share
        of the held-out ones'; "by heart", how far the discriminator's answer falls from seen to
        held-out pictures, as a share of how far it falls from seen to made ones.
    """
    pair.eval()
    labels = given.held.targets if given.conditional else None
    made = pair.generator(given.codes, labels)
    real = given.held.pixels.float() / 255
    to_made, to_held = pair.discriminator(made, labels), pair.discriminator(real, labels)
    to_seen = pair.discriminator(
        given.seen.pixels.float() / 255, given.seen.targets if given.conditional else None
    )
    fall = float(to_seen.mean() - to_made.mean())
    return {
        "told apart": told_apart(to_held, to_made),
        "spread": spread(made) / max(spread(real), 1e-12),
        "apartness": apartness(made) / max(apartness(real), 1e-12),
        "by heart": float(to_seen.mean() - to_held.mean()) / fall if fall > 0 else 0.0,
    }


def _exhibits(
    train: PixelData, held: PixelData, settings: GanSettings, classes: int, fabric: Fabric
) -> Exhibits:
    random = np.random.default_rng(settings.seed)
    count = min(EXAMINED, len(held), len(train))
    codes = random.standard_normal((count + FOLLOWED, settings.code_size), dtype=np.float32)
    on_device = torch.as_tensor(codes, device=fabric.device)
    parts = []
    for data in (train, held):
        rows = np.sort(random.choice(len(data), count, replace=False))
        parts.append(Pictures.on(fabric.device, PixelData(data.pixels[rows], data.targets[rows])))
    return Exhibits(parts[0], parts[1], on_device[FOLLOWED:], on_device[:FOLLOWED], classes > 0)


@torch.no_grad()
def _keep_followed(pair: Pair, given: Exhibits, folder: Path, epoch: int) -> None:
    """Keep what the followed codes make after an epoch, for the strip in the report."""
    pair.eval()
    classes = pair.generator.classes
    labels = torch.arange(FOLLOWED, device=given.codes.device) % classes if classes else None
    made = (pair.generator(given.followed, labels) * 255).round().to(torch.uint8)
    with writing_to_cache(folder):
        np.save(folder / f"followed-{epoch}.npy", made.cpu().numpy())


def _followed(folder: Path, epochs: int) -> NDArray[np.uint8]:
    return np.stack([np.load(folder / f"followed-{epoch}.npy") for epoch in range(epochs)])


def _pair(train: PixelData, classes: int, settings: GanSettings) -> Pair:
    channels, height, width = train.pixels.shape[1:]
    return Pair(*build_gan(
        (channels, height, width), settings.code_size, settings.width, classes,
        upsampling=settings.upsampling, spectral=settings.spectral,
    ))  # fmt: skip


def _state(
    pair: Pair, count: int, classes: int, settings: GanSettings, folder: Path, fabric: Fabric
) -> RunState:
    optimiser = AdamW(
        [
            {"params": list(pair.generator.parameters()), "highest": settings.learning_rate},
            {"params": list(pair.discriminator.parameters()),
             "highest": settings.discriminator_rate},
        ],
        betas=(settings.momentum, 0.99), weight_decay=0.0, fused=True,
    )  # fmt: skip
    return RunState(
        folder=folder,
        identity={**asdict(settings), "pictures": count, "classes": classes},
        network=pair,
        optimiser=optimiser,
        average=WeightAverage(pair.generator, settings.average),
        chance=torch.Generator().manual_seed(settings.seed),
        losses=torch.zeros(-(-count // settings.batch_size), len(IN_THE_LOOP),
                           device=fabric.device),
        fabric=fabric,
        cure="try smaller rates, or spectral normalisation and hinge loss if they were changed",
    )  # fmt: skip


def _codes(count: int, size: int, state: RunState) -> Tensor:
    return torch.randn(count, size, generator=state.chance).to(state.fabric.device)


def _refuse(train: PixelData, held: PixelData, settings: GanSettings, fabric: Fabric) -> None:
    if fabric.world_size > 1:
        raise ConfigError("a gan trains in one process; leave torchrun out.")
    if len(train) < settings.batch_size:
        raise ConfigError(
            f"a gan needs at least as many pictures to learn from as its batch_size of "
            f"{settings.batch_size}; got {len(train)}. Add pictures, or lower batch_size."
        )
    if len(held) < 2:
        raise ConfigError(
            f"a gan needs at least 2 pictures to judge by; got {len(held)}. Add pictures."
        )
