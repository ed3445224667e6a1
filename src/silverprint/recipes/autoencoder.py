"""Train an autoencoder: pictures to k numbers and back, or noisy pictures to clean ones.

    silverprint generate autoencoder mnist --kind linear --code-size 32 --out DIR
    silverprint generate autoencoder mnist --noise gaussian --strength 0.5 --out DIR

All pictures lie on the device as uint8. Noise is drawn anew for each batch; the pictures that judge
an epoch get the same noise every time, so that epochs can be compared. Both losses of the curves
are measured at the end of an epoch with the same weights, on fixed pictures.

A linear one minimises what PCA solves in closed form. What brings it close: the mean picture is
taken off first, the way back begins as the transpose of the way in, the learning rate goes with the
size of the weights, and falls to nothing.

The same call with the same folder takes a stopped run up where its last checkpoint left it; on a
processor the result is the same to the last bit.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from silverprint.errors import ConfigError
from silverprint.models.autoencoders import Autoencoder, build_autoencoder
from silverprint.recipes.autoencoder_settings import AutoencoderSettings
from silverprint.runtime.noise import drawn_shape, spoil
from silverprint.training.fabric import start_fabric
from silverprint.training.journal import Journal
from silverprint.training.optimisers import AdamW, clip
from silverprint.training.progress import Advance
from silverprint.training.randomness import order_of_epoch, own_randomness
from silverprint.training.run_state import RunState
from silverprint.training.schedule import set_learning_rate
from silverprint.training.ticker import Ticker

__all__ = ["AutoencoderSettings", "FittedAutoencoder", "train_autoencoder"]

SAMPLE = 5000  # training pictures on which the curves' training loss is measured
EVALUATED_TOGETHER = 500  # pictures
CONVOLUTIONAL_RATE = 2e-3
LINEAR_RATE = 0.06  # over the root of a picture's numbers, which is the size of a weight
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": F.mse_loss, "l1": F.l1_loss}


@dataclass(frozen=True)
class FittedAutoencoder:
    """A trained autoencoder.

    Attributes:
        network: with the weights of the best epoch, on the processor, in evaluation mode.
        best_epoch: from 1.
        epochs: how many there were.
        resumed: from which of them on, in this call.
        curves: "training loss" and "validation loss" by epoch.
        seconds: of this call.
    """

    network: Autoencoder
    best_epoch: int
    epochs: int
    resumed: int
    curves: dict[str, list[float]]
    seconds: float


def train_autoencoder(
    train: NDArray[np.uint8], validation: NDArray[np.uint8], settings: AutoencoderSettings,
    folder: Path, *, advance: Advance = lambda count, note="": None,  # noqa: ARG005
) -> FittedAutoencoder:  # fmt: skip
    """Train, and return the network of the epoch with the lowest validation loss.

    Args:
        train: (n, C, S, S) to learn from.
        validation: (m, C, S, S) that judge each epoch.
        settings: how to train.
        folder: of this very run; holds the last and the best checkpoint and `metrics.jsonl`. What
            an earlier, stopped call with the same data and settings left there is taken up.
        advance: called with the number of pictures trained on since the last call, and a line.

    Raises:
        ConfigError: the pictures' size does not suit the network, the loss is no longer finite, or
            the folder belongs to another run.
    """
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    fabric = start_fabric(settings.device, _precision(settings))
    if fabric.world_size > 1:
        raise ConfigError("an autoencoder trains in one process; start it without torchrun.")
    with own_randomness(settings.seed):
        pictures = torch.as_tensor(train, device=fabric.device)
        generator = torch.Generator().manual_seed(settings.seed)
        sample = pictures[torch.randperm(len(train), generator=generator)[:SAMPLE].sort().values]
        held = torch.as_tensor(validation, device=fabric.device)
        network = build_autoencoder(
            settings.kind, mean_picture(train), settings.code_size, widths=settings.widths,
            tied=settings.tied, enlarging=settings.enlarging, seed=settings.seed,
        ).to(memory_format=torch.channels_last).to(fabric.device)  # fmt: skip
        model = fabric.setup_module(network) if _bf16(fabric) else network
        state = _state(network, settings, pictures, fabric, folder)
        state.take_up()
        resumed = state.epoch
        journal = Journal(folder, after=resumed)
        ticker = Ticker(advance, state, settings.epochs, ("validation loss",))
        ticker.tell(resumed * len(train) + state.step * settings.batch_size)

        while state.epoch < settings.epochs and not state.out_of_patience():
            told = learn_for_an_epoch(model, state, pictures, settings, ticker)
            measures = {
                f"{name} loss": judge(model, network, some, settings)
                for name, some in (("training", sample), ("validation", held))
            }
            state.finish_epoch(measures, (measures["validation loss"],))
            journal.write(state.epoch, {**measures, **told})
            state.save()

        state.load_best()
        journal.close()
    return FittedAutoencoder(
        network.cpu().eval().requires_grad_(False), state.best_epoch, state.epoch, resumed,
        state.curves, time.perf_counter() - began,
    )  # fmt: skip


def learn_for_an_epoch(
    model: Any, state: RunState, pictures: Tensor, settings: AutoencoderSettings, ticker: Ticker
) -> dict[str, float]:
    """Go through the training pictures once, from the step on where an earlier run stopped.

    Returns:
        What the journal should know: the mean loss of the steps, the last learning rate, seconds,
        and pictures a second.
    """
    steps, skipped = len(state.losses), state.step
    started, rate = time.perf_counter(), 0.0
    batches = order_of_epoch(len(pictures), settings.seed, state.epoch).tensor_split(steps)
    network, highest = state.network, _highest_rate(settings, pictures[0].numel())
    model.train()
    for step in range(skipped, steps):
        rate = set_learning_rate(
            state, highest, settings.epochs, warm_up=settings.warm_up, shape=settings.schedule
        )
        clean = pictures[batches[step].to(pictures.device)].float() / 255
        loss = loss_of(network, model(noisy(clean, settings, state.chance)), clean, settings)
        state.fabric.backward(loss)
        clip(network.parameters(), settings.clip)
        state.optimiser.step()
        network.zero_grad()
        state.losses[step] = loss.detach()
        state.finish_step()
        ticker.tell(len(clean), rate)
        state.save_now_and_then()
    ticker.tell(0, rate, now=True)
    seconds = time.perf_counter() - started
    return {
        "loss in the loop": state.losses.mean().item(),
        "learning rate": rate,
        "seconds": seconds,
        "pictures per second": len(pictures) * (1 - skipped / steps) / seconds,
    }


@torch.no_grad()
def judge(
    model: Any, network: Autoencoder, pictures: Tensor, settings: AutoencoderSettings
) -> float:
    """Return the mean loss on pictures (n, C, S, S) uint8, with the same noise every time."""
    model.eval()
    chance = torch.Generator().manual_seed(settings.seed)
    total = 0.0
    for part in pictures.split(EVALUATED_TOGETHER):
        clean = part.float() / 255
        logits = model(noisy(clean, settings, chance))
        total += loss_of(network, logits, clean, settings).item() * len(part)
    return total / len(pictures)


def noisy(clean: Tensor, settings: AutoencoderSettings, chance: torch.Generator) -> Tensor:
    """Return what is encoded: the pictures (n, C, S, S) in 0..1, under the noise asked for."""
    if settings.noise == "none":
        return clean
    shape = drawn_shape(settings.noise, tuple(clean.shape))
    draw = torch.randn if settings.noise == "gaussian" else torch.rand
    drawn = draw(shape, generator=chance).to(clean.device)
    return spoil(clean, drawn, settings.noise, settings.strength)


def loss_of(network: Any, logits: Tensor, clean: Tensor, settings: AutoencoderSettings) -> Tensor:
    """Return the mean loss of a value of a picture."""
    if settings.loss == "bce":
        return F.binary_cross_entropy_with_logits(logits.float(), clean)
    return LOSSES[settings.loss](network.finish(logits.float()), clean)


def mean_picture(pictures: NDArray[np.uint8]) -> Tensor:
    """Return the mean (C, S, S) float32 in 0..1."""
    return torch.from_numpy(pictures.mean(axis=0, dtype=np.float64).astype(np.float32) / 255)


def _precision(settings: AutoencoderSettings) -> Any:
    """A linear one is compared with PCA to the third digit, which bf16 would cost."""
    linear = settings.kind == "linear"
    return "f32" if linear and settings.precision == "auto" else settings.precision


def _bf16(fabric: Fabric) -> bool:
    return fabric._precision.precision != "32-true"


def _highest_rate(settings: AutoencoderSettings, numbers: int) -> float:
    """Return the learning rate at the end of its rise.

    Adam moves each weight by about the rate; those of a linear layer are about numbers^-0.5 large.
    """
    usual = LINEAR_RATE * numbers**-0.5 if settings.kind == "linear" else CONVOLUTIONAL_RATE
    return settings.learning_rate or usual


def _state(
    network: Autoencoder, settings: AutoencoderSettings, pictures: Tensor, fabric: Fabric,
    folder: Path,
) -> RunState:  # fmt: skip
    decay = settings.weight_decay
    optimiser = AdamW(network.parameters(), lr=1.0, weight_decay=decay, fused=True)
    fabric.setup_optimizers(optimiser)
    return RunState(
        folder=folder,
        identity={**asdict(settings), "pictures": len(pictures)},
        network=network,
        optimiser=optimiser,
        average=None,
        chance=torch.Generator().manual_seed(settings.seed),
        losses=torch.zeros(-(-len(pictures) // settings.batch_size), device=fabric.device),
        fabric=fabric,
        patience=settings.patience,
    )
