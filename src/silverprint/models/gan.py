"""Two networks that learn against each other: one makes pictures, the other tells them from real.

Generator       code -> dense -> 4 to 7 pixels -> doubled again and again -> picture in 0..1
Discriminator   picture -> halved again and again -> one number, high for a real picture

The shape is DCGAN's (https://arxiv.org/abs/1511.06434), with what was learned since: enlarging and
convolving instead of transposed convolutions, spectral normalisation of the discriminator
(https://arxiv.org/abs/1802.05957), orthogonal weights to begin with, and, where classes are told,
a projection of the class onto the discriminator's features (https://arxiv.org/abs/1802.05637).
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from silverprint.models.shapes import Upsampling, check_side

SMALLEST = 7  # a side up to this is where a generator begins
MOST_DOUBLINGS = 2  # the widest maps have this power of two times `width` channels
EMBEDDED = 32  # numbers that tell the generator a class
SLOPE = 0.2  # of the leaky ReLU below 0

Shape = tuple[int, int, int]
Wrap = Callable[[nn.Module], nn.Module]
Layer = TypeVar("Layer", bound=nn.Module)


class Generator(nn.Module):
    """Codes, and labels if there are classes -> pictures.

    Attributes:
        code_size: k, how many numbers a picture is made from.
        classes: how many classes it is told apart; 0 for none.
    """

    def __init__(
        self, shape: Shape, code_size: int, width: int, classes: int = 0,
        upsampling: Upsampling = "nearest",
    ) -> None:  # fmt: skip
        """Build one for pictures of shape (C, S, S); `width` are the channels of its last maps."""
        super().__init__()
        self.code_size, self.classes = code_size, classes
        sides = _sides(shape[1])
        widths = [width * 2 ** min(k, MOST_DOUBLINGS) for k in reversed(range(len(sides)))]
        first = (widths[0], sides[0], sides[0])
        told = EMBEDDED if classes else 0
        self.embedding = nn.Embedding(classes, told) if classes else None
        self.first = nn.Sequential(
            nn.Linear(code_size + told, math.prod(first), bias=False),
            nn.Unflatten(1, first), nn.BatchNorm2d(widths[0]), nn.ReLU(),
        )  # fmt: skip
        doublings = zip(pairwise(widths), sides[1:], strict=True)
        self.grow = nn.Sequential(
            *(_Doubling(more, less, side, upsampling) for (more, less), side in doublings)
        )
        self.last = nn.Conv2d(widths[-1], shape[0], 3, padding=1)

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return pictures (n, C, S, S) float32 in 0..1 of codes (n, k) and labels (n,)."""
        if self.embedding is not None:
            codes = torch.cat([codes, self.embedding(labels)], dim=1)
        maps = self.last(self.grow(self.first(codes)))
        return (torch.tanh(maps.float()) + 1) / 2


class Discriminator(nn.Module):
    """Pictures, and labels if there are classes -> one number each, high for a real picture."""

    def __init__(
        self, shape: Shape, width: int, classes: int = 0, *, spectral: bool = True
    ) -> None:
        """Build one; `width` are half the channels of its first maps."""
        super().__init__()
        wrap = cast(Wrap, spectral_norm) if spectral else _as_it_is
        sides = _sides(shape[1])
        widths = [shape[0], *(width * 2 ** min(k, MOST_DOUBLINGS) for k in range(1, len(sides)))]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [wrap(_orthogonal(nn.Conv2d(inputs, outputs, 4, 2, 1))), nn.LeakyReLU(SLOPE)]
        deep = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)
        layers += [wrap(_orthogonal(deep)), nn.LeakyReLU(SLOPE), nn.Flatten()]
        self.trunk = nn.Sequential(*layers)
        features = widths[-1] * (shape[1] >> (len(sides) - 1)) ** 2  # odd sides lose a pixel
        self.real = wrap(_orthogonal(nn.Linear(features, 1)))
        self.projection = wrap(_orthogonal(nn.Embedding(classes, features))) if classes else None

    def forward(self, pictures: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return (n,) float32 of pictures (n, C, S, S) in 0..1 and labels (n,)."""
        features = self.trunk(pictures * 2 - 1)
        answer = self.real(features).squeeze(1).float()
        if self.projection is not None:
            answer = answer + (self.projection(labels) * features).sum(dim=1).float()
        return cast(Tensor, answer)


def build_gan(
    shape: Shape, code_size: int, width: int, classes: int = 0, *,
    upsampling: Upsampling = "nearest", spectral: bool = True,
) -> tuple[Generator, Discriminator]:  # fmt: skip
    """Return both networks with fresh weights, drawn from torch's global generator.

    Args:
        shape: (C, S, S) of a picture.
        code_size: how many numbers a picture is made from.
        width: channels of the largest maps.
        classes: how many classes both are told; 0 for none.
        upsampling: how the generator doubles a side: "nearest" or "bilinear" and a convolution, or
            a "transposed" one.
        spectral: whether the discriminator's layers are kept from stretching anything.

    Raises:
        ConfigError: the pictures are too small or too large.
    """
    check_side("a gan makes", shape[1])
    generator = Generator(shape, code_size, width, classes, upsampling)
    for layer in generator.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            _orthogonal(layer)
    discriminator = Discriminator(shape, width, classes, spectral=spectral)
    return (
        generator.to(memory_format=torch.channels_last),
        discriminator.to(memory_format=torch.channels_last),
    )


class _Doubling(nn.Sequential):
    """(n, inputs, s, s) -> (n, outputs, side, side), side being 2 s or 2 s - 1."""

    def __init__(self, inputs: int, outputs: int, side: int, way: Upsampling) -> None:
        larger: list[nn.Module]
        if way == "transposed":
            # With an odd side the last row and column are left out, by one more pixel of padding.
            odd = side % 2
            larger = [nn.ConvTranspose2d(inputs, outputs, 4 - odd, 2, 1, bias=False)]
        else:
            larger = [nn.Upsample(size=side, mode=way),
                      nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)]  # fmt: skip
        super().__init__(*larger, nn.BatchNorm2d(outputs), nn.ReLU())


def _sides(size: int) -> list[int]:
    """Return the sides of a generator's maps, smallest first, such as 7, 14, 28."""
    sides = [size]
    while sides[0] > SMALLEST:
        sides.insert(0, -(-sides[0] // 2))
    return sides


def _orthogonal(layer: Layer) -> Layer:
    """Draw a weight whose rows, or columns, stand at right angles; the bias becomes zero."""
    nn.init.orthogonal_(cast(Tensor, layer.weight))
    if isinstance(getattr(layer, "bias", None), Tensor):
        nn.init.zeros_(cast(Tensor, layer.bias))
    return layer


def _as_it_is(layer: nn.Module) -> nn.Module:
    return layer
