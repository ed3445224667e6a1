"""A frozen network as a judge of pictures: feature maps of chosen layers, with gradients.

Networks made to classify are poor judges as they are. They throw away half of the pixels at once,
and max pooling passes gradients to one pixel in four: pictures made to please them get a
checkerboard. Here maxima become averages, and a picture is enlarged by as much as the network's
first layer reduces it, so that this layer's maps are as fine as the picture itself.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from silverprint.backbones.networks import load_backbone, misfits, read_weights
from silverprint.backbones.registry import DEFAULT_BACKBONE, choose_backbone
from silverprint.errors import BackboneError, ConfigError
from silverprint.models.vgg_encoder import random_stack, vgg19_encoder

ENCODER, RANDOM = "vgg19-encoder", "random"
MARGIN = 16  # pixels reflected around a picture, so that padding by zeros is seen outside it only
DEEPEST = 4  # picture pixels that one pixel of a layer chosen unasked stands for, at most
EACH = 3  # layers chosen unasked at each resolution
NARROW = 32  # channels; a map of fewer says little of a style
LARGEST_STEP = 4  # by which a picture is enlarged at most
LISTED = 20  # names in an error
NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d)


class _EnoughError(Exception):
    """Every layer that was asked for has run."""


@dataclass(frozen=True)
class MapOf:
    """The feature map that a layer gives.

    Attributes:
        channels: of the map.
        reduction: pixels of the picture, along a side, that one of its pixels stands for.
        kind: "norm", "convolution" or "other".
    """

    channels: int
    reduction: int
    kind: str


class LossNetwork(nn.Module):
    """Feature maps of a frozen network's layers.

    Attributes:
        name: of the network.
        maps: layer -> its map, in the order in which they run.
        enlarged: how much larger than the picture is what the network is given.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, name: str, network: nn.Module, mean: Sequence[float], std: Sequence[float], size: int
    ) -> None:
        super().__init__()
        self.name = name
        self.network = _average(network).eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))
        self.enlarged = 1
        raw = self._survey(size)
        wide = [found.reduction for found in raw.values() if found.channels >= NARROW]
        self.enlarged = min(*wide, LARGEST_STEP) if wide else 1
        self.maps = {
            layer: MapOf(found.channels, max(1, found.reduction // self.enlarged), found.kind)
            for layer, found in raw.items()
        }

    def forward(self, picture: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Return layer -> rectified map (c, h, w) of a picture (1, 3, H, W) float32 of 0..1.

        A layer that runs more than once gives its first map. What comes after the last layer asked
        for is not run.
        """
        padded = F.pad(picture, [MARGIN] * 4, mode="reflect")
        if self.enlarged > 1:
            padded = F.interpolate(padded, scale_factor=self.enlarged, mode="bilinear")
        found = self._run((padded - self.mean) / self.std, set(layers))
        return {layer: F.relu(self._without_margin(layer, maps)) for layer, maps in found.items()}

    def choose_layers(self) -> tuple[str, ...]:
        """Return layers that serve for style: wide and fine ones, some at each resolution.

        Norms where there are any, else convolutions.

        Raises:
            ConfigError: there is none.
        """
        kinds = {found.kind for found in self.maps.values()}
        kind = "norm" if "norm" in kinds else "convolution"
        levels: dict[int, list[str]] = {}
        for layer, found in self.maps.items():
            if found.kind == kind and found.channels >= NARROW and found.reduction <= DEEPEST:
                levels.setdefault(found.reduction, []).append(layer)
        chosen = {layer for level in levels.values() for layer in _evenly(level, EACH)}
        if not chosen:
            raise ConfigError(
                f"network {self.name!r} has no fine feature map to judge a style by; name layers "
                f"with --layers, or use {DEFAULT_BACKBONE}."
            )
        return tuple(layer for layer in self.maps if layer in chosen)

    def choose_content_layer(self) -> str:
        """Return the layer that tells best what is where: the last chosen at half the resolution.

        Raises:
            ConfigError: no layer serves.
        """
        layers = self.choose_layers()
        half = [layer for layer in layers if self.maps[layer].reduction <= 2]
        return (half or layers)[-1]

    def check_layers(self, layers: Iterable[str]) -> None:
        """Refuse a layer that the network does not have, or that gives no feature map.

        Raises:
            ConfigError: it names the closest first.
        """
        for layer in layers:
            if layer not in self.maps:
                near = sorted(self.maps, key=lambda name: -_likeness(layer, name))
                more = f" and {len(near) - LISTED} more" if len(near) > LISTED else ""
                raise ConfigError(
                    f"layer {layer!r} is no feature map of {self.name}, which has, closest first: "
                    f"{', '.join(near[:LISTED])}{more}."
                )

    def _without_margin(self, layer: str, maps: Tensor) -> Tensor:
        """Return (c, h, w): a map (1, c, h', w') without the outer half of what is margin.

        The inner half stays: else pixels at the border would be seen by half as many filters as
        others, and would be left as noise.
        """
        side = MARGIN // self.maps[layer].reduction // 2
        height, width = maps.shape[2:]
        return maps[0, :, side : height - side, side : width - side]

    @torch.no_grad()
    def _survey(self, size: int) -> dict[str, MapOf]:
        kinds = dict(self.network.named_modules())
        found = self._run(torch.zeros(1, 3, size, size), {name for name in kinds if name})
        return {
            name: MapOf(maps.shape[1], max(1, round(size / maps.shape[2])), _kind(kinds[name]))
            for name, maps in found.items()
            if maps.ndim == 4 and maps.shape[2] > 1
        }

    def _run(self, pixels: Tensor, layers: set[str]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}

        def note(_module: nn.Module, _given: Any, output: Any, name: str) -> None:
            if torch.is_tensor(output):
                found.setdefault(name, output)
            if len(found) == len(layers):
                raise _EnoughError

        handles = [
            self.network.get_submodule(name).register_forward_hook(partial(note, name=name))
            for name in layers
        ]
        try:
            self.network(pixels)
        except _EnoughError:
            pass
        except AssertionError as error:  # so do timm and torchvision, of what is cut into patches
            raise ConfigError(
                f"network {self.name!r} cannot look at pictures of any size: "
                f"{str(error).rstrip('.')}. Use one of convolutions, such as {DEFAULT_BACKBONE}."
            ) from None
        finally:
            for handle in handles:
                handle.remove()
        return found


def load_loss_network(
    name: str = DEFAULT_BACKBONE, weights: Path | None = None,
    options: Mapping[str, str] | None = None, seed: int = 0,
) -> LossNetwork:  # fmt: skip
    """Load a network to judge pictures with.

    Args:
        name: as for `choose_backbone`; "vgg19-encoder", which needs weights; or "random".
        weights: a file for it.
        options: as for `choose_backbone`.
        seed: of the random one.

    Raises:
        BackboneError: the name is unknown, or weights are missing or do not fit.
    """
    if name == RANDOM:
        if weights is not None:
            raise BackboneError("network 'random' takes no weights; leave --weights out.")
        return LossNetwork(name, random_stack(seed), (0.5,) * 3, (0.25,) * 3, 64)
    if name == ENCODER:
        return LossNetwork(name, _encoder(weights), (0.0,) * 3, (1.0,) * 3, 64)
    backbone = load_backbone(choose_backbone(name, weights, options))
    return LossNetwork(name, backbone.trunk, backbone.mean, backbone.std, backbone.size)


def _encoder(weights: Path | None) -> nn.Module:
    if weights is None or not weights.is_file():
        there = "" if weights is None else f"; {weights} does not exist"
        raise BackboneError(f"network {ENCODER!r} needs --weights FILE, VGG19 to conv3_1{there}.")
    network, given = vgg19_encoder(), read_weights(weights)
    if problems := misfits(network.state_dict(), given):
        raise BackboneError(f"weights {weights} do not fit {ENCODER}: {problems}.")
    network.load_state_dict(given)
    return network


def _average(network: nn.Module) -> nn.Module:
    """Let no layer overwrite another's map, and pool by averages."""
    for module in list(network.modules()):
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                pool = nn.AvgPool2d(
                    child.kernel_size, child.stride, child.padding, child.ceil_mode,
                    count_include_pad=False,
                )  # fmt: skip
                setattr(module, name, pool)
    return network


def _kind(module: nn.Module) -> str:
    if isinstance(module, NORMS):
        return "norm"
    return "convolution" if isinstance(module, nn.Conv2d) else "other"


def _evenly(names: Sequence[str], most: int) -> list[str]:
    """Return the first, the last and some between."""
    if len(names) <= most:
        return list(names)
    return [names[round(i * (len(names) - 1) / (most - 1))] for i in range(most)]


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()
