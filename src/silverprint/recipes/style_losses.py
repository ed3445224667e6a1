"""What style transfer minimises: a picture's distance from a content and from styles."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from silverprint.recipes.style_pictures import resized, style_size
from silverprint.recipes.style_settings import StyleSettings

FLOOR = 0.3  # of a layer's mean spread: a channel that hardly speaks in the style is not made to
FLAT = 0.1  # of a layer's size: what its spread counts as where a picture is of one colour
BLACK = 0.01  # what a layer's spread counts as at least, where all of it is 0
OUTSIDE = 10.0  # weight of values that no pixel can have
EPSILON = 1e-3  # colour difference below which total variation is smooth
COLOURS = "pixels"  # the layer before the first

Matrix = Tensor  # (c, c)


class Judge(Protocol):
    """What judges pictures; `backbones.loss_network.LossNetwork` is one."""

    maps: Any

    def __call__(self, picture: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return layer -> map (c, h, w) of a picture (1, 3, H, W) of 0..1."""


@dataclass(frozen=True)
class Losses:
    """How far a picture is from what it shall be.

    Attributes:
        content: as a share of the content maps' variance.
        style: as a share of the style's Gram matrices.
        variation: mean length of the colour difference to the next pixel, of 0..1.
    """

    content: float
    style: float
    variation: float

    def __str__(self) -> str:
        return f"content {self.content:.3f} style {self.style:.4f} variation {self.variation:.4f}"


@dataclass(frozen=True)
class Manner:
    """One layer's style: how its channels are spread, and which of them go together.

    Attributes:
        mean: (c, 1) of each channel.
        spread: (c, 1) of each channel.
        gram: (c, c) of the channels so normalised.
        size: the squared length of that matrix.
    """

    mean: Tensor
    spread: Tensor
    gram: Matrix
    size: Tensor

    @classmethod
    def of(cls, maps: Tensor) -> "Manner":
        """Measure a style's map (c, h, w)."""
        rows = maps.flatten(1)
        mean, spread = rows.mean(1, keepdim=True), rows.std(1, keepdim=True)
        floor = FLOOR * torch.maximum(spread.mean(), FLAT * rows.square().mean().sqrt())
        spread = (spread.square() + floor.clamp(min=BLACK).square()).sqrt()
        gram = gram_matrix((rows - mean) / spread)
        return cls(mean, spread, gram, gram.square().sum().clamp(min=len(gram) / 2))

    def distance(self, maps: Tensor) -> Tensor:
        """Return how far another map is from it: means and correlations."""
        rows = (maps.flatten(1) - self.mean) / self.spread
        means = rows.mean(1).square().mean()
        return (gram_matrix(rows) - self.gram).square().sum() / self.size + means


@dataclass(frozen=True)
class Aim:
    """What a picture of one scale shall be.

    Attributes:
        content: the picture itself, (1, 3, h, w).
        maps: content layer -> its map (c, h, w) and the variance of that.
        manners: for each style its share, and layer -> manner.
        layers: all that the network must give.
        settings: with the weights.
    """

    content: Tensor
    maps: dict[str, tuple[Tensor, Tensor]]
    manners: list[tuple[float, dict[str, Manner]]]
    layers: tuple[str, ...]
    settings: StyleSettings

    @classmethod
    @torch.no_grad()
    def of(
        cls, content: Tensor, styles: Sequence[Tensor], network: Judge, settings: StyleSettings
    ) -> "Aim":
        """Look at the content of this scale, and at the styles reduced likewise."""
        found = network(content, settings.content_layers)
        maps = {name: (value, variance(value)) for name, value in found.items()}
        blend = settings.blend or (1.0,) * len(styles)
        side = settings.style_size * max(content.shape[2:])
        manners = []
        for weight, style in zip(blend, styles, strict=True):
            small = resized(style, style_size(style, side))
            seen = {COLOURS: small[0], **network(small, settings.layers)}
            told = {name: Manner.of(value) for name, value in seen.items()}
            manners.append((weight / math.fsum(blend), told))
        layers = tuple(dict.fromkeys((*settings.layers, *settings.content_layers)))
        return cls(content, maps, manners, layers, settings)

    def measure(self, picture: Tensor, network: Judge) -> tuple[Tensor, Losses]:
        """Return the weighted loss of a picture, and its parts."""
        found = {COLOURS: picture[0], **network(picture, self.layers)}
        apart = [
            (found[name] - maps).square().mean() / var for name, (maps, var) in self.maps.items()
        ]
        content = torch.stack(apart).mean()
        style = picture.new_zeros(())
        for share, manners in self.manners:
            distances = [manner.distance(found[name]) for name, manner in manners.items()]
            style = style + share * torch.stack(distances).mean()
        variation = total_variation(picture)
        outside = (picture - picture.clamp(0, 1)).square().mean()
        chosen = self.settings
        loss = chosen.content_weight * content + chosen.style_weight * style
        loss = loss + chosen.tv_weight * variation + OUTSIDE * outside
        return loss, Losses(content.item(), style.item(), variation.item())


def variance(maps: Tensor) -> Tensor:
    """Return the variance of maps (c, h, w) over places; of a flat content, a share of their size.

    Else a content of one colour would be divided by nothing.
    """
    flat = (FLAT * maps.square().mean().sqrt()).square().clamp(min=BLACK**2)
    return torch.maximum(maps.var(dim=(1, 2)).mean(), flat)


def gram_matrix(rows: Tensor) -> Matrix:
    """Return (c, c): how channels (c, n) go together, on average over places."""
    return rows @ rows.T / rows.shape[1]


def total_variation(picture: Tensor) -> Tensor:
    """Return the mean length of the colour gradient of (1, 3, h, w)."""
    down = picture[..., 1:, :-1] - picture[..., :-1, :-1]
    right = picture[..., :-1, 1:] - picture[..., :-1, :-1]
    squared = (down.square() + right.square()).mean(1)
    return (squared + EPSILON**2).sqrt().mean() - EPSILON
