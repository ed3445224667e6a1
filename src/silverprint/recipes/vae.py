"""Train a variational autoencoder: learn to make pictures like those it is shown.

    silverprint generate vae DATA --latent 32 --epochs 30 --out DIR

What is minimised is the negative evidence lower bound, in nats a picture: what the reconstruction
costs, plus beta times how far the code's distribution lies from the prior. With `samples` over 1 it
is the importance-weighted bound (https://arxiv.org/abs/1509.00519) instead. The curves hold both
terms apart, measured like validation: with the weights that would ship, on fixed draws.

The same call with the same folder takes a stopped run up where its last checkpoint left it; on a
processor the result is the same to the last bit.
"""

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from silverprint.models.shapes import VaeShape
from silverprint.models.vae import Terms, Vae
from silverprint.recipes.vae_settings import VaeSettings
from silverprint.training.averaging import WeightAverage
from silverprint.training.fabric import share_of, start_fabric, total
from silverprint.training.journal import Journal
from silverprint.training.optimisers import AdamW, clip, decay_groups
from silverprint.training.pictures import Pictures
from silverprint.training.pixels import PixelData
from silverprint.training.progress import Advance
from silverprint.training.randomness import order_of_epoch, own_randomness
from silverprint.training.run_state import RunState
from silverprint.training.schedule import set_learning_rate
from silverprint.training.ticker import Ticker

__all__ = ["TrainedVae", "VaeSettings", "train_vae"]

SAMPLE = 2000  # training pictures on which the curves' training terms are measured
JUDGED = 5000  # validation pictures that judge an epoch
EVALUATED_TOGETHER = 500  # pictures
SHOWN = ("validation loss", "validation reconstruction", "validation divergence")


@dataclass(frozen=True)
class TrainedVae:
    """What came of it.

    Attributes:
        network: of the best epoch, on the processor.
        curves: by epoch, "training" and "validation" each: loss, reconstruction, divergence; nats.
        best_epoch: from 1.
        epochs: how many were trained.
        resumed: the epoch at which this call took the run up; 0 for the beginning.
        seconds: of this call.
    """

    network: Vae
    curves: dict[str, list[float]]
    best_epoch: int
    epochs: int
    resumed: int
    seconds: float


def train_vae(
    train: PixelData, validation: PixelData, settings: VaeSettings, folder: Path,
    *, classes: int = 0, advance: Advance = lambda count, note="": None,  # noqa: ARG005
) -> TrainedVae:  # fmt: skip
    """Train, and return the network of the epoch with the best bound on the validation pictures.

    Args:
        train: pictures to learn from.
        validation: pictures that judge each epoch.
        settings: how to train.
        folder: of this very run; what a stopped call left there is taken up.
        classes: how many labels there are, where settings.conditional.
        advance: called with the number of pictures trained on since the last call, and a line.

    Raises:
        ConfigError: the loss is no longer finite, the folder belongs to another run, or the
            pictures' side does not suit the network.
    """
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    plain = settings.precision == "auto" and settings.network == "mlp"
    fabric = start_fabric(settings.device, "f32" if plain else settings.precision)
    with own_randomness(settings.seed + fabric.global_rank):
        torch.manual_seed(settings.seed)  # every process begins with the same weights
        lesson = Lesson.of(train, validation, settings, fabric)
        network = Vae(shape_of(train, settings, classes)).to(fabric.device)
        network = network.to(memory_format=torch.channels_last)
        model: Any = fabric.setup_module(network)
        state = _state(network, settings, lesson, folder)
        state.take_up()
        resumed = state.epoch
        journal = Journal(folder, after=resumed) if fabric.is_global_zero else None
        ticker = Ticker(advance, state, settings.epochs, SHOWN)
        ticker.tell(resumed * len(train) + state.step * settings.batch_size)

        while state.epoch < settings.epochs and not state.out_of_patience():
            told = learn_for_an_epoch(model, state, lesson, settings, ticker)
            with state.averaged():
                measures = judge(model, lesson, settings)
                state.finish_epoch(measures, (measures["validation loss"],))
            if journal is not None:
                journal.write(state.epoch, {**measures, **told})
            state.save()

        state.load_best()
        if journal is not None:
            journal.close()
    return TrainedVae(
        network.cpu().to(memory_format=torch.contiguous_format).eval().requires_grad_(False),
        state.curves, state.best_epoch, state.epoch, resumed, time.perf_counter() - began,
    )  # fmt: skip


def learn_for_an_epoch(
    model: Any, state: RunState, lesson: "Lesson", settings: VaeSettings, ticker: Ticker
) -> dict[str, float]:
    """Go through the training pictures once, from the step on where an earlier run stopped.

    Returns:
        What the journal should know: the mean loss of the steps, the last learning rate and beta,
        seconds, and pictures a second.
    """
    fabric, steps, skipped = lesson.fabric, len(state.losses), state.step
    started, rate, beta = time.perf_counter(), 0.0, settings.beta
    rising = round(settings.beta_warm_up * steps * settings.epochs)
    batches = order_of_epoch(len(lesson.pictures), settings.seed, state.epoch).tensor_split(steps)
    model.train()
    for step in range(skipped, steps):
        rate = set_learning_rate(
            state, settings.learning_rate, settings.epochs, warm_up=settings.warm_up,
            shape=settings.schedule,
        )  # fmt: skip
        beta = settings.beta * min(1.0, (state.epoch * steps + step + 1) / max(rising, 1))
        batch = lesson.pictures.take(batches[step])
        pixels = draw_pixels(batch.pixels, lesson.binary, state.chance)
        noise = torch.randn(len(batch), settings.samples, settings.latent, generator=state.chance)
        noise = share_of(noise.to(pixels.device), fabric).transpose(0, 1)
        terms = model(share_of(pixels, fabric), noise, share_of(batch.targets, fabric))
        # Of the whole batch; gradients are means over the processes.
        loss = losses_of(terms, beta, settings.free_bits).sum() * (fabric.world_size / len(batch))
        fabric.backward(loss)
        clip(state.network.parameters(), settings.clip)
        state.optimiser.step()
        state.network.zero_grad()
        state.losses[step] = loss.detach()
        state.finish_step()
        ticker.tell(len(batch), rate)
        state.save_now_and_then()
    ticker.tell(0, rate, now=True)
    seconds = time.perf_counter() - started
    return {
        "loss in the loop": total(state.losses.mean(), fabric).item() / fabric.world_size,
        "learning rate": rate,
        "beta": beta,
        "seconds": seconds,
        "pictures per second": len(lesson.pictures) * (1 - skipped / steps) / seconds,
    }


def losses_of(terms: Terms, beta: float = 1.0, free_bits: float = 0.0) -> Tensor:
    """Return the negative bound (n,) in nats.

    Where the divergence's expectation is known, it takes the place of the draw's, which has the
    same mean and strays more. With several samples it is the importance-weighted bound.
    """
    reconstruction, divergence, units = terms
    if len(reconstruction) > 1:
        return math.log(len(reconstruction)) - (-reconstruction - divergence).logsumexp(0)
    if units is None:
        return reconstruction[0] + beta * divergence[0]
    if free_bits:  # of the batch's mean, by unit (https://arxiv.org/abs/1606.04934)
        mean = units.mean(0)
        units = units * (mean > free_bits) + free_bits * (mean <= free_bits)
    return reconstruction[0] + beta * units.sum(1)


def draw_pixels(pixels: Tensor, binary: bool, chance: torch.Generator) -> Tensor:
    """Return uint8 pictures as float32 in 0..1; where binary, each pixel is drawn 0 or 1 anew."""
    values = pixels.float() / 255
    if not binary:
        return values
    drawn = torch.rand(values.shape, generator=chance).to(values.device)
    return (drawn < values).float()


def drawn(vae: Vae, data: PixelData, seed: int) -> tuple[Tensor, Tensor]:
    """Return pictures as their likelihood takes them, (n, C, S, S) float32, and labels (n,)."""
    binary = vae.shape.likelihood == "bernoulli"
    chance = torch.Generator().manual_seed(seed)
    pixels = draw_pixels(torch.as_tensor(data.pixels), binary, chance)
    return pixels, torch.as_tensor(data.targets)


def shape_of(train: PixelData, settings: VaeSettings, classes: int) -> VaeShape:
    """Return how the network for these pictures is built."""
    channels, side = train.pixels.shape[1:3]
    likelihood = settings.likelihood
    if likelihood == "auto":
        likelihood = "bernoulli" if channels == 1 else "gaussian"
    return VaeShape(
        channels, side, settings.latent, settings.network, settings.widths, settings.blocks,
        likelihood, settings.couplings if settings.prior == "flow" else 0,
        classes if settings.conditional else 0,
    )  # fmt: skip


@dataclass(frozen=True)
class Lesson:
    """What is learned from, and what it is judged by.

    Attributes:
        pictures: to learn from, uint8.
        sample: some of them, as they are judged: float32, drawn once.
        held: validation pictures, likewise.
        binary: whether pixels are drawn 0 or 1.
        fabric: where all this takes place.
    """

    pictures: Pictures
    sample: Pictures
    held: Pictures
    binary: bool
    fabric: Fabric

    @classmethod
    def of(
        cls, train: PixelData, validation: PixelData, settings: VaeSettings, fabric: Fabric
    ) -> "Lesson":
        """Bring the pictures to the device."""
        binary = shape_of(train, settings, 0).likelihood == "bernoulli"
        chance = torch.Generator().manual_seed(settings.seed)

        def some(all_of_them: Pictures, count: int) -> Pictures:
            rows = torch.randperm(len(all_of_them), generator=chance)[:count].sort().values
            found = all_of_them.take(rows)
            return Pictures(draw_pixels(found.pixels, binary, chance), found.targets)

        pictures = Pictures.on(fabric.device, train)
        held = Pictures.on(fabric.device, validation)
        return cls(pictures, some(pictures, SAMPLE), some(held, JUDGED), binary, fabric)


@torch.no_grad()
def judge(model: Any, lesson: Lesson, settings: VaeSettings) -> dict[str, float]:
    """Return the negative bound (beta 1, one code a picture) and its two terms, on fixed draws."""
    model.eval()
    found = {}
    for name, pictures in (("training", lesson.sample), ("validation", lesson.held)):
        share = pictures.share(lesson.fabric)
        chance = torch.Generator().manual_seed(settings.seed + lesson.fabric.global_rank)
        sums = torch.zeros(2, device=lesson.fabric.device)
        for part in share.split(-(-len(share) // EVALUATED_TOGETHER)):
            noise = torch.randn(1, len(part), settings.latent, generator=chance)
            terms = model(part.pixels, noise.to(part.pixels.device), part.targets)
            divergence = terms.divergence if terms.units is None else terms.units
            sums += torch.stack([terms.reconstruction.sum(), divergence.sum()])
        reconstruction, divergence = (total(sums, lesson.fabric) / len(pictures)).tolist()
        found[f"{name} loss"] = reconstruction + divergence
        found[f"{name} reconstruction"] = reconstruction
        found[f"{name} divergence"] = divergence
    return found


def _state(network: Vae, settings: VaeSettings, lesson: Lesson, folder: Path) -> RunState:
    steps = -(-len(lesson.pictures) // settings.batch_size)
    groups = decay_groups(network.parameters(), settings.weight_decay)
    optimiser = AdamW(groups, lr=1.0, fused=True)
    lesson.fabric.setup_optimizers(optimiser)
    return RunState(
        folder=folder,
        identity={**asdict(settings), "pictures": len(lesson.pictures)},
        network=network,
        optimiser=optimiser,
        average=WeightAverage(network) if settings.average else None,
        chance=torch.Generator().manual_seed(settings.seed),
        losses=torch.zeros(steps, device=lesson.fabric.device),
        fabric=lesson.fabric,
        patience=settings.patience,
    )
