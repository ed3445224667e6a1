"""What every small network trained here has in common: its input, its last layer, its beginning."""

from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from silverprint.errors import ConfigError, closest
from silverprint.runtime.luma import LUMA

Initialisation = Literal["zeros", "ones", "uniform", "normal", "xavier", "he"]
Three = tuple[float, float, float]


@dataclass(frozen=True)
class PictureInput:
    """What a network is given.

    Attributes:
        size: side S in pixels.
        channels: 1 or 3.
        mean: per channel of RGB on the scale 0..1; subtracted. Grey has the same three times.
        std: likewise; divided by.
    """

    size: int
    channels: int
    mean: Three
    std: Three

    @classmethod
    def of(cls, pixels: Tensor) -> "PictureInput":
        """Measure pictures (n, C, S, S) uint8."""
        channels, size = pixels.shape[1], pixels.shape[-1]
        values = pixels.float().transpose(0, 1).reshape(channels, -1) / 255
        mean, std = values.mean(dim=1), values.std(dim=1).clamp(min=1 / 255)
        times = 3 // channels
        return cls(
            size, channels, cast(Three, tuple(mean.tolist() * times)),
            cast(Three, tuple(std.tolist() * times)),
        )  # fmt: skip


class SmallNetwork(nn.Module):
    """A network without its last layer's work done: pixels -> features.

    Attributes:
        trunk: (n, C, S, S) float32, normalised -> (n, d), or (n, d, 1, 1).
        classifier: (n, d) features -> (n, c) logits; `forward` does not apply it.
        channels: C. A grey network (C = 1) takes colour too, as its luma.
        size: S.
        mean: per channel of RGB on the scale 0..1.
        std: likewise.
        crop: always 1; a pretrained network may want less of the picture.
    """

    def __init__(self, trunk: nn.Module, features: int, outputs: int, given: PictureInput) -> None:
        super().__init__()
        self.trunk = trunk
        self.classifier = nn.Linear(features, outputs)
        self.channels, self.size = given.channels, given.size
        self.mean, self.std = given.mean, given.std
        self.crop = 1.0
        shape = (1, given.channels, 1, 1)
        std, mean = torch.tensor(given.std), torch.tensor(given.mean)
        scale, shift = 1 / (255 * std), -mean / std
        self.register_buffer("scale", scale[: given.channels].reshape(shape), persistent=False)
        self.register_buffer("shift", shift[: given.channels].reshape(shape), persistent=False)
        luma = torch.tensor(LUMA).reshape(1, 3, 1, 1)
        self.register_buffer("luma", luma, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features (n, d) float32 of pixels (n, 1 or 3, S, S), uint8 or 0..255."""
        return cast(Tensor, self.trunk(self.normalised(pixels)).flatten(1)).float()

    def normalised(self, pixels: Tensor) -> Tensor:
        """Return (n, C, S, S) float32 with the mean taken off and the deviation divided out."""
        values = pixels.float()
        if self.channels == 1 and pixels.shape[1] == 3:
            values = (values * cast(Tensor, self.luma)).sum(dim=1, keepdim=True)
        return torch.addcmul(cast(Tensor, self.shift), values, cast(Tensor, self.scale))


def initialise(network: nn.Module, way: Initialisation, generator: torch.Generator) -> None:
    """Draw the weights of every linear layer and convolution that trains; biases become zero.

    With n the number of inputs of one unit: "uniform" is U(-1/sqrt(n), 1/sqrt(n)), "normal" is
    N(0, 1/n), "xavier" is Glorot and Bengio's uniform (2010), "he" is N(0, 2/n) (He et al.,
    https://arxiv.org/abs/1502.01852), which keeps the variance through ReLUs.

    Raises:
        ConfigError: the way is unknown.
    """
    if way not in get_args(Initialisation):
        known = get_args(Initialisation)
        raise ConfigError(
            f"initialisation must be one of {', '.join(known)}; got {way!r}.{closest(way, known)}"
        )
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)) and layer.weight.requires_grad:
            draw_weight(layer.weight, way, generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def draw_weight(weight: Tensor, way: Initialisation, generator: torch.Generator) -> None:
    """Draw one weight (units, inputs, ...) in place, as `initialise` says."""
    inputs = weight[0].numel()
    if way in ("zeros", "ones"):
        nn.init.constant_(weight, float(way == "ones"))
    elif way == "uniform":
        nn.init.uniform_(weight, -(inputs**-0.5), inputs**-0.5, generator=generator)
    elif way == "normal":
        nn.init.normal_(weight, 0, inputs**-0.5, generator=generator)
    elif way == "xavier":
        nn.init.xavier_uniform_(weight, generator=generator)
    else:
        nn.init.normal_(weight, 0, (2 / inputs) ** 0.5, generator=generator)
