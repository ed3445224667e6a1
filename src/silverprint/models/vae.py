"""A variational autoencoder: pictures -> a distribution over short codes -> pictures.

Kingma and Welling, https://arxiv.org/abs/1312.6114. The prior of the codes is N(0, I), or what a
small invertible network (RealNVP's affine coupling, https://arxiv.org/abs/1605.08803) makes of it.
What leaves this house as codes is always on the side of N(0, I): the invertible network counts as
the beginning of the decoder. No batch norm: a picture's bound must not depend on its neighbours.
"""

import math
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from silverprint.models.shapes import WIDTHS, VaeShape

DENSE = 256  # units between a cnn's last pictures and its codes
LABEL = 16  # numbers a class is told by
COUPLING = 128  # hidden units
LOG_VARIANCES = (-12.0, 6.0)  # of codes; what lies outside is a slip of the optimiser
LOWEST_NOISE = math.log(1 / 256)  # of a Gaussian pixel: a step of 8-bit grey


class Terms(NamedTuple):
    """What a bound is made of, in nats; S samples of n pictures.

    Attributes:
        reconstruction: (S, n) -log p(picture | code).
        divergence: (S, n) log q(code | picture) - log p(code), of these very codes.
        units: (n, k) its expectation by unit, where the prior is N(0, I); else None.
    """

    reconstruction: Tensor
    divergence: Tensor
    units: Tensor | None


class Vae(nn.Module):
    """The whole network.

    Attributes:
        shape: how it is built.
    """

    def __init__(self, shape: VaeShape) -> None:
        super().__init__()
        self.shape = shape
        told = LABEL if shape.classes else 0
        build = _cnn if shape.network == "cnn" else _mlp
        self.looking, self.encoding, self.decoding = build(shape, told)
        self.coupling = nn.ModuleList(
            Coupling(shape.latent, flip=bool(number % 2)) for number in range(shape.couplings)
        )
        self.label = nn.Embedding(shape.classes, LABEL) if shape.classes else None
        if shape.likelihood == "gaussian":
            self.log_noise = nn.Parameter(torch.tensor(-1.0))  # log of the standard deviation

    def forward(self, pictures: Tensor, noise: Tensor, labels: Tensor | None = None) -> Terms:
        """Return the terms of the bound.

        Args:
            pictures: (n, C, S, S) float32 in 0..1; only 0 and 1 for a Bernoulli likelihood.
            noise: (samples, n, k) of N(0, I).
            labels: (n,) int64 where it is told the class.
        """
        mean, log_variance = self.encode(pictures, labels)
        codes = mean + noise * (log_variance / 2).exp()
        reconstruction = self.reconstruction(pictures, codes, labels)
        base, log_volume = self.to_base(codes.flatten(0, 1))
        log_prior = -(base.square().sum(1)) / 2 + log_volume
        log_posterior = -(noise.square() + log_variance).sum(2) / 2
        divergence = log_posterior - log_prior.reshape(log_posterior.shape)
        units = None
        if not len(self.coupling):
            units = (mean.square() + log_variance.exp() - log_variance - 1) / 2
        return Terms(reconstruction, divergence, units)

    def encode(self, pictures: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and log variance (n, k) float32 of q(code | picture)."""
        seen = self._tell(self.looking(pictures), labels)
        mean, log_variance = self.encoding(seen).float().chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCES)

    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return (n, C, S, S) float32: logits of pixels, or means of Gaussian ones."""
        return cast(Tensor, self.decoding(self._tell(codes, labels))).float()

    def reconstruction(self, pictures: Tensor, codes: Tensor, labels: Tensor | None) -> Tensor:
        """Return -log p(picture | code), (S, n), of codes (S, n, k)."""
        samples = len(codes)
        told = None if labels is None else labels.repeat(samples)
        made = self.decode(codes.flatten(0, 1), told)
        truth = pictures.repeat(samples, 1, 1, 1)
        if self.shape.likelihood == "bernoulli":
            losses = F.binary_cross_entropy_with_logits(made, truth, reduction="none")
        else:
            log_noise = self.log_noise.clamp(min=LOWEST_NOISE)
            losses = ((truth - made) / log_noise.exp()).square() / 2
            losses = losses + log_noise + math.log(2 * math.pi) / 2
        return losses.flatten(1).sum(1).reshape(samples, -1)

    def to_base(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes (n, k) on the side of N(0, I), and the log of how volume grew, (n,)."""
        grown = codes.new_zeros(len(codes))
        for coupling in self.coupling:
            codes, more = coupling(codes)
            grown = grown + more
        return codes, grown

    def from_base(self, base: Tensor) -> Tensor:
        """Undo `to_base`."""
        for coupling in reversed(self.coupling):
            base = cast(Coupling, coupling).back(base)
        return base

    def _tell(self, values: Tensor, labels: Tensor | None) -> Tensor:
        if self.label is None:
            return values
        assert labels is not None, "a conditional network needs labels"
        told = self.label(labels)
        return torch.cat([values, told.to(values.dtype)], dim=1)


class EncoderPart(nn.Module):
    """What ships as encoder.onnx: pictures in 0..1 -> codes, the means taken to N(0, I)."""

    def __init__(self, vae: Vae) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, pictures: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return codes (n, k)."""
        return self.vae.to_base(self.vae.encode(pictures, labels)[0])[0]


class DecoderPart(nn.Module):
    """What ships as decoder.onnx: codes of N(0, I) -> the mean picture in 0..1."""

    def __init__(self, vae: Vae) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return pictures (n, C, S, S)."""
        made = self.vae.decode(self.vae.from_base(codes), labels)
        return made.sigmoid() if self.vae.shape.likelihood == "bernoulli" else made.clamp(0, 1)


class Residual(nn.Module):
    """Two convolutions whose result is added to what they were given; at first it adds nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(cast(Tensor, self.second.bias))

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, width, H, W) of the same."""
        change: Tensor = self.second(F.silu(self.first(F.silu(x))))
        return x + change


class Coupling(nn.Module):
    """Shift and scale one half of a code by what the other half says; so it can be undone."""

    def __init__(self, latent: int, flip: bool) -> None:
        super().__init__()
        self.flip, self.cut = flip, latent // 2
        says, told = (latent - self.cut, self.cut) if flip else (self.cut, latent - self.cut)
        last = nn.Linear(COUPLING, 2 * told)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.says = nn.Sequential(nn.Linear(says, COUPLING), nn.SiLU(), last)

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the code one layer nearer N(0, I), and the log of how volume grew, (n,)."""
        speaker, listener = self._halves(codes)
        scale, shift = self._scale_and_shift(speaker)
        return self._whole(speaker, (listener - shift) * (-scale).exp()), -scale.sum(1)

    def back(self, codes: Tensor) -> Tensor:
        """Undo it."""
        speaker, listener = self._halves(codes)
        scale, shift = self._scale_and_shift(speaker)
        return self._whole(speaker, listener * scale.exp() + shift)

    def _scale_and_shift(self, speaker: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.says(speaker).float().chunk(2, dim=1)
        return 2 * torch.tanh(scale / 2), shift

    def _halves(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        first, second = codes[:, : self.cut], codes[:, self.cut :]
        return (second, first) if self.flip else (first, second)

    def _whole(self, speaker: Tensor, listener: Tensor) -> Tensor:
        return torch.cat([listener, speaker] if self.flip else [speaker, listener], dim=1)


def _cnn(shape: VaeShape, told: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Return pictures -> values, values and class -> mean and log variance, code -> pictures.

    Sides are halved and doubled by moving pixels between space and channels, so that no
    convolution is spent on the largest, emptiest pictures; and nothing can make a checkerboard of
    overlaps.
    """
    widths = shape.stages()
    side, last = shape.side // 2 ** len(widths), widths[-1]
    down: list[nn.Module] = []
    up: list[nn.Module] = [Residual(last) for _ in range(shape.blocks)]
    channels = shape.channels
    for width in widths:
        down += [nn.SiLU()] if down else []
        down += [nn.PixelUnshuffle(2), nn.Conv2d(4 * channels, width, 3, padding=1)]
        channels = width
    down += [Residual(last) for _ in range(shape.blocks)]
    for stage in reversed(range(len(widths))):
        target = widths[stage - 1] if stage else shape.channels
        up += [nn.Conv2d(widths[stage], 4 * target, 3, padding=1), nn.PixelShuffle(2)]
        up += [nn.SiLU()] if stage else []
    looking = nn.Sequential(
        *down, nn.SiLU(), nn.Flatten(), nn.Linear(last * side**2, DENSE), nn.SiLU()
    )
    decoding = nn.Sequential(
        nn.Linear(shape.latent + told, DENSE), nn.SiLU(), nn.Linear(DENSE, last * side**2),
        nn.SiLU(), nn.Unflatten(1, (last, side, side)), *up,
    )  # fmt: skip
    return looking, nn.Linear(DENSE + told, 2 * shape.latent), decoding


def _mlp(shape: VaeShape, told: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Return the same of linear layers; the decoder's widths are the encoder's, backwards."""
    size, whole = (shape.channels, shape.side, shape.side), shape.channels * shape.side**2
    widths = shape.widths or WIDTHS["mlp"]
    looking: list[nn.Module] = [nn.Flatten()]
    for inputs, units in zip((whole, *widths), widths, strict=False):
        looking += [nn.Linear(inputs, units), nn.SiLU()]
    decoding: list[nn.Module] = []
    backwards = widths[::-1]
    for inputs, units in zip((shape.latent + told, *backwards), backwards, strict=False):
        decoding += [nn.Linear(inputs, units), nn.SiLU()]
    decoding += [nn.Linear(widths[0], whole), nn.Unflatten(1, size)]
    encoding = nn.Linear(widths[-1] + told, 2 * shape.latent)
    return nn.Sequential(*looking), encoding, nn.Sequential(*decoding)
