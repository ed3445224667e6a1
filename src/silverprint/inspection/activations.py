"""What a network's layers hold: filters, activations, and what pooling, norms and dropout do."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from silverprint.errors import ConfigError, closest
from silverprint.inspection.heat import Array, Pixels

LISTED = 20  # names in an error
DROPOUTS = (nn.Dropout, nn.Dropout2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True)
class Passed:
    """What went through one layer.

    Attributes:
        name: of the layer.
        inputs: (n, c, h, w) or (n, d).
        outputs: likewise.
    """

    name: str
    inputs: Array
    outputs: Array


def check_layer(network: nn.Module, name: str) -> None:
    """Refuse a layer that the network does not have.

    Raises:
        ConfigError: naming the closest, and the layers there are.
    """
    known = [
        known
        for known, module in network.named_modules()
        if known and not isinstance(module, nn.Identity)
    ]
    if name not in known:
        more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
        raise ConfigError(
            f"layer {name!r} is not in this network.{closest(name, known)} It has "
            f"{', '.join(known[:LISTED])}{more}; --layers lists them all."
        )


def check_map(network: nn.Module, pixels: Tensor, name: str) -> None:
    """Refuse a layer whose output is no feature map.

    Raises:
        ConfigError: it gives a vector, or tokens, or does not run.
    """
    passed = record(network, pixels, [name])
    if not passed or passed[0].outputs.ndim != 4:
        shape = " x ".join(map(str, passed[0].outputs.shape[1:])) if passed else "nothing"
        raise ConfigError(
            f"layer {name!r} gives no feature map but {shape}; --layers lists what each gives."
        )


@torch.no_grad()
def record(network: nn.Module, pixels: Tensor, names: Sequence[str]) -> list[Passed]:
    """Return what goes through these layers, in the order in which they run.

    A layer that runs more than once is told of as it ran last; one that gives no tensor, or does
    not run, is left out.

    Args:
        network: in evaluation mode.
        pixels: (n, 3, S, S), normalised.
        names: of the layers.
    """
    passed: dict[str, Passed] = {}
    handles = []
    for name in names:
        before: list[Array] = []

        def note_before(_: nn.Module, given: Any, before: list[Array] = before) -> None:
            before[:] = [given[0].clone().numpy()] if given and torch.is_tensor(given[0]) else []

        def note(
            _: nn.Module, __: Any, result: Any, name: str = name, before: list[Array] = before
        ) -> None:
            if torch.is_tensor(result) and before:
                passed.pop(name, None)
                passed[name] = Passed(name, before[0], result.clone().numpy())

        module = network.get_submodule(name)
        handles += [
            module.register_forward_pre_hook(note_before),
            module.register_forward_hook(note),
        ]
    try:
        network(pixels)
    finally:
        for handle in handles:
            handle.remove()
    return list(passed.values())


def names_of(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[str]:
    """Return the layers of some kinds."""
    return [name for name, module in network.named_modules() if isinstance(module, kinds)]


def first_filters(network: nn.Module, size: int) -> tuple[str, Array] | None:
    """Return the first layer that learns, and its weights as pictures (n, 1 or 3, h, w).

    None where it is neither a convolution of a picture nor joined to all its pixels.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.in_channels in (1, 3):
            return name, module.weight.detach().numpy()
        if isinstance(module, nn.Linear):
            channels, rest = divmod(module.in_features, size**2)
            if rest or channels not in (1, 3):
                return None
            return name, module.weight.detach().numpy().reshape(-1, channels, size, size)
    return None


def filters_as_pictures(weights: Array) -> Pixels:
    """Return filters (n, 1 or 3, h, w) as (n, h, w, 3) uint8: 0 is grey, each fills the range."""
    strongest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True).clip(1e-12)
    pictures: Pixels = np.rint(127.5 + 127.5 * weights / strongest).astype(np.uint8)
    return pictures.repeat(3 // weights.shape[1], axis=1).transpose(0, 2, 3, 1)


def as_maps(values: Array, most: int) -> Array:
    """Return activations (c, h, w), (tokens, d) or (d,) as maps (n, h, w), each 0 to its largest.

    Channels that say nothing at all stay dark. Of more than `most`, an even choice is taken.
    """
    if values.ndim == 1:
        side = int(np.ceil(np.sqrt(len(values))))
        padded = np.zeros(side**2, dtype=np.float32)
        padded[: len(values)] = values
        values = padded.reshape(1, side, side)
    elif values.ndim == 2:
        values = values[None]
    chosen = np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int)
    maps = values[chosen]
    low = np.minimum(maps.min(axis=(1, 2), keepdims=True), 0)
    scaled: Array = (maps - low) / (maps - low).max(axis=(1, 2), keepdims=True).clip(1e-12)
    return scaled


def strongest_channels(maps: Array, count: int) -> list[int]:
    """Return the channels of (c, h, w) that vary most over the picture."""
    return [int(i) for i in np.argsort(-maps.std(axis=(1, 2)), kind="stable")[:count]]


@torch.no_grad()
def dropout_runs(
    network: nn.Module, pixels: Tensor, log_odds: Any, runs: int, seed: int = 0
) -> Array:
    """Return (runs, classes) log-odds of one picture, dropout drawing anew each time."""
    with _dropping(network), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found: Array = log_odds(network(pixels.repeat(runs, 1, 1, 1))).numpy()
    return found


def dropped(network: nn.Module, pixels: Tensor, name: str, seed: int = 0) -> Passed | None:
    """Return what went through a dropout layer while it drops, as in training."""
    with _dropping(network), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = record(network, pixels, [name])
    return found[0] if found else None


@contextmanager
def _dropping(network: nn.Module) -> Iterator[None]:
    """Put dropout, and nothing else, into training mode for a while."""
    layers = [module for module in network.modules() if isinstance(module, DROPOUTS)]
    for layer in layers:
        layer.train()
    try:
        yield
    finally:
        for layer in layers:
            layer.eval()


def channel_statistics(values: Array) -> tuple[Array, Array]:
    """Return the mean and deviation (c,) of each channel over pictures and places."""
    axes = (0, 2, 3) if values.ndim == 4 else (0,)
    return values.mean(axis=axes), values.std(axis=axes)
