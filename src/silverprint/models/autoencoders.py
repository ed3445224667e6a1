"""Networks that press a picture into k numbers, its code, and make it again from them.

    linear       k weighted sums and back, with nothing else: the best one there is is PCA
    transposed   convolutions that halve the sides; back by transposed convolutions
    upsampling   the same way in; back by enlarging, then an ordinary convolution

A transposed convolution of 3 x 3 with stride 2 lays its kernels over one another unevenly: by turns
a pixel gets one contribution, two, or four. What is left of that after training is a checkerboard
(Odena et al., https://doi.org/10.23915/distill.00003). Enlarging first gives every pixel the same
number of contributions. Both ways back have the same number of weights here, so they can be
compared.
"""

import math
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from silverprint.errors import ConfigError
from silverprint.models.network import draw_weight
from silverprint.models.shapes import Enlarging, Kind, check_side

SMALLEST = 2  # side of the smallest map: less has no room for a 3 x 3 kernel
FIRST_CONTRAST = 0.1
WIDTHS = (32, 64, 128, 256, 256, 256)


class Autoencoder(nn.Module):
    """Pictures -> codes -> pictures.

    Attributes:
        shape: (C, S, S) of a picture.
        code_size: k.
    """

    def __init__(self, shape: tuple[int, int, int], code_size: int) -> None:
        super().__init__()
        self.shape, self.code_size = shape, code_size

    def encode(self, pictures: Tensor) -> Tensor:
        """Return codes (n, k) of pictures (n, C, S, S) in 0..1."""
        raise NotImplementedError

    def logits(self, codes: Tensor) -> Tensor:
        """Return (n, C, S, S) float32, which `finish` makes pictures of."""
        raise NotImplementedError

    def finish(self, logits: Tensor) -> Tensor:
        """Return pictures; a linear network's may leave 0..1 a little."""
        return torch.sigmoid(logits)

    def decode(self, codes: Tensor) -> Tensor:
        """Return pictures (n, C, S, S) of codes (n, k)."""
        return self.finish(self.logits(codes))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logits of pictures made again, for the loss."""
        return self.logits(self.encode(pictures))


class Linear(Autoencoder):
    """Weighted sums of what differs from the mean picture; the mean lies in the bias."""

    def __init__(self, mean: Tensor, code_size: int, *, tied: bool = False) -> None:
        """Build one around the mean (C, S, S) of the pictures; `tied` decodes by the transpose."""
        super().__init__(cast(tuple[int, int, int], tuple(mean.shape)), code_size)
        numbers = mean.numel()
        self.register_buffer("mean", mean.flatten())
        self.weight = nn.Parameter(torch.empty(code_size, numbers))
        self.shift = nn.Parameter(torch.zeros(code_size))
        self.back = None if tied else nn.Parameter(torch.empty(numbers, code_size))
        self.bias = nn.Parameter(mean.flatten().clone())

    def encode(self, pictures: Tensor) -> Tensor:
        """Return codes (n, k)."""
        return F.linear(pictures.flatten(1) - cast(Tensor, self.mean), self.weight, self.shift)

    def logits(self, codes: Tensor) -> Tensor:
        """Return pictures (n, C, S, S)."""
        back = self.weight.t() if self.back is None else self.back
        return F.linear(codes, back, self.bias).reshape(-1, *self.shape)

    def finish(self, logits: Tensor) -> Tensor:
        """Return them as they are."""
        return logits


class Convolutional(Autoencoder):
    """Blocks that halve the sides, a dense layer to the code, and the same way back."""

    def __init__(
        self, shape: tuple[int, int, int], code_size: int, widths: tuple[int, ...],
        kind: Kind = "upsampling", enlarging: Enlarging = "nearest",
    ) -> None:  # fmt: skip
        """Build one; `widths` are the channels after each halving."""
        super().__init__(shape, code_size)
        sides = [shape[1]]
        for _ in widths:
            sides.append(-(-sides[-1] // 2))
        channels = (shape[0], *widths)
        small = (widths[-1], sides[-1], sides[-1])
        halving = [
            _Block(nn.Conv2d(less, more, 3, stride=2, padding=1, bias=False), more)
            for less, more in pairwise(channels)
        ]
        self.encoder = nn.Sequential(*halving, nn.Flatten(), nn.Linear(math.prod(small), code_size))
        doubling: list[nn.Module] = []
        for number in reversed(range(len(widths))):
            more, less, side = channels[number + 1], channels[number], sides[number]
            last = number == 0
            doubled = (
                Transposed(more, less, sides[number + 1], side, bias=last)
                if kind == "transposed"
                else Enlarged(more, less, side, enlarging, bias=last)
            )
            doubling.append(doubled if last else _Block(doubled, less))
        self.decoder = nn.Sequential(
            nn.Linear(code_size, math.prod(small)), nn.Unflatten(1, small), nn.ReLU(), *doubling
        )

    def encode(self, pictures: Tensor) -> Tensor:
        """Return codes (n, k)."""
        return cast(Tensor, self.encoder(pictures)).float()

    def logits(self, codes: Tensor) -> Tensor:
        """Return (n, C, S, S) float32."""
        return cast(Tensor, self.decoder(codes)).float()


class _Block(nn.Sequential):
    def __init__(self, convolution: nn.Module, channels: int) -> None:
        super().__init__(convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


class Transposed(nn.ConvTranspose2d):
    """A 3 x 3 transposed convolution that doubles a side, or doubles it less one."""

    def __init__(self, inputs: int, outputs: int, side: int, target: int, *, bias: bool) -> None:
        super().__init__(
            inputs, outputs, 3, stride=2, padding=1, output_padding=target - (2 * side - 1),
            bias=bias,
        )  # fmt: skip


class Enlarged(nn.Module):
    """Doubles a side by repeating or blending pixels, cuts it to size, and convolves."""

    def __init__(
        self, inputs: int, outputs: int, target: int, enlarging: Enlarging, *, bias: bool
    ) -> None:
        super().__init__()
        self.upsample = nn.Upsample(scale_factor=2, mode=enlarging)
        self.target = target
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (n, outputs, target, target) of (n, inputs, s, s)."""
        large = self.upsample(maps)[:, :, : self.target, : self.target]
        return cast(Tensor, self.convolution(large))


class Encoder(nn.Module):
    """The way in, as a module of its own for export."""

    def __init__(self, network: Autoencoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        """Return codes (n, k)."""
        return self.network.encode(pictures)


class Decoder(nn.Module):
    """The way back, as a module of its own for export: its pictures never leave 0..1."""

    def __init__(self, network: Autoencoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, codes: Tensor) -> Tensor:
        """Return pictures (n, C, S, S) in 0..1."""
        return self.network.decode(codes).clamp(0, 1)


def build_autoencoder(
    kind: Kind, mean: Tensor, code_size: int, *, widths: tuple[int, ...] = (), tied: bool = False,
    enlarging: Enlarging = "nearest", seed: int = 0,
) -> Autoencoder:  # fmt: skip
    """Return an autoencoder with fresh weights.

    Args:
        kind: "linear", "transposed" or "upsampling".
        mean: (C, S, S) float32, of the pictures it will learn from.
        code_size: how many numbers a picture becomes.
        widths: channels after each halving; empty for as many as suit the size.
        tied: whether a linear one decodes by the transpose of what it encodes by.
        enlarging: "nearest" or "bilinear", for "upsampling".
        seed: of the weights.

    Raises:
        ConfigError: the picture is too small or too large, or the code too large, for the kind.
    """
    check_picture(kind, cast(tuple[int, int, int], tuple(mean.shape)), code_size, widths)
    generator = torch.Generator().manual_seed(seed)
    network: Autoencoder
    if kind == "linear":
        network = Linear(mean, code_size, tied=tied)
        draw_weight(network.weight, "normal", generator)
        if network.back is not None:
            with torch.no_grad():  # the best way back is the transpose, if rows are orthonormal
                network.back.copy_(network.weight.t())
        return network
    shape = cast(tuple[int, int, int], tuple(mean.shape))
    network = Convolutional(
        shape, code_size, widths or usual_widths(shape[1]), kind, enlarging
    )  # fmt: skip
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            _draw(layer, generator)
    start_at(network, mean)
    return network


def usual_widths(side: int) -> tuple[int, ...]:
    """Return channels for as many halvings as leave a side of 3 to 4 pixels, at least one."""
    return WIDTHS[: max(1, math.ceil(math.log2(side / 4)))]


def check_picture(
    kind: Kind, shape: tuple[int, int, int], code_size: int, widths: tuple[int, ...]
) -> None:
    """Refuse a network that makes no sense for pictures (C, S, S).

    Raises:
        ConfigError: it says which of size, widths and code size to change.
    """
    side, numbers = shape[1], math.prod(shape)
    check_side("an autoencoder takes", side)
    if kind == "linear" and code_size >= numbers:
        raise ConfigError(
            f"code_size must be less than the {numbers:,} numbers of a picture, or a linear "
            f"autoencoder has nothing to learn; got {code_size:,}."
        )
    halvings = math.ceil(math.log2(side / SMALLEST))
    if len(widths) > halvings:
        raise ConfigError(
            f"{len(widths)} widths halve the picture {len(widths)} times, but {side} pixels can be "
            f"halved {halvings} times before less than {SMALLEST} are left; give fewer widths or a "
            "larger --size."
        )


def start_at(network: Convolutional, mean: Tensor) -> None:
    """Let the last layer give the mean brightness, and little else, at first."""
    last = network.decoder[-1]
    layer = last.convolution if isinstance(last, Enlarged) else last
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight.mul_(FIRST_CONTRAST)
        layer.bias.copy_(mean.mean(dim=(1, 2)).clamp(0.02, 0.98).logit())


def _draw(layer: nn.Module, generator: torch.Generator) -> None:
    """Draw He's normal weights; the bias, where there is one, becomes zero."""
    weight = cast(Tensor, layer.weight)
    if isinstance(layer, nn.ConvTranspose2d):  # (inputs, outputs, 3, 3); stride 2 shares them
        inputs = weight.shape[0] * 9 / 4
        nn.init.normal_(weight, 0, (2 / inputs) ** 0.5, generator=generator)
    else:
        draw_weight(weight, "he", generator)
    if layer.bias is not None:
        nn.init.zeros_(cast(Tensor, layer.bias))
