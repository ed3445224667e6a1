"""A small residual network for minutes rather than days.

What is taken from where: whitening of 2 x 2 patches as a first layer that needs no training,
pooling before batch norm, GELU, and a global maximum at the end (hlb-CIFAR10, Balsam 2023;
airbench, Jordan, https://arxiv.org/abs/2404.00498); convolutions that their input goes around
unchanged in each group (ResNet, https://arxiv.org/abs/1512.03385; ResNet-9, Page 2018). The recipe
adds label smoothing and the moving average of the weights.
"""

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from silverprint.models.network import PictureInput, SmallNetwork

PATCH = 2  # side of the whitened patches
SAMPLE = 5000  # pictures that tell how pixels go together
SMALLEST_VARIANCE = 5e-4  # added before the root: directions with less are mostly noise


@dataclass(frozen=True)
class ResnetShape:
    """How a residual network is built.

    Attributes:
        widths: channels of each group; a group halves the sides.
        convolutions: how many the input of a group's second half goes around.
        dropout: share of the last features silenced while training.
    """

    widths: tuple[int, ...]
    convolutions: int = 2
    dropout: float = 0.0


PRESETS: dict[str, ResnetShape] = {
    "small": ResnetShape((32, 64, 128)),
    "wide": ResnetShape((64, 128, 256)),
    # As wide and deep as airbench94, for speed compared with its.
    "airbench": ResnetShape((64, 256, 256), convolutions=1),
}


class Group(nn.Module):
    """Convolution, pool; then convolutions whose result is added to what they were given."""

    def __init__(self, inputs: int, width: int, convolutions: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.norm = nn.BatchNorm2d(width)
        layers: list[nn.Module] = []
        for number in range(convolutions):
            layers += [nn.GELU()] if number else []
            layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
        self.change = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, width, H / 2, W / 2) of (n, inputs, H, W)."""
        x = F.gelu(self.norm(self.pool(self.widen(x))))
        return F.gelu(x + cast(Tensor, self.change(x)))


class Whitening(nn.Conv2d):
    """2 x 2 patches -> coordinates that do not go together and vary alike, each also negated.

    Its weights are found, not trained; its bias trains.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 2 * channels * PATCH**2, PATCH, bias=True)
        self.weight.requires_grad_(False)
        nn.init.zeros_(cast(Tensor, self.bias))

    @torch.no_grad()
    def look_at(self, values: Tensor) -> None:
        """Take the weights from normalised pictures (n, C, S, S)."""
        patches = F.unfold(values, PATCH).transpose(1, 2).flatten(0, 1)
        patches = patches - patches.mean(dim=0)
        covariance = patches.T @ patches / len(patches)
        variances, directions = torch.linalg.eigh(covariance.double())
        rows = (directions / (variances + SMALLEST_VARIANCE).sqrt()).T.float()
        self.weight.copy_(torch.cat([rows, -rows]).reshape(self.weight.shape))


class Largest(nn.Module):
    """The largest value of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, C) of (n, C, H, W)."""
        return x.amax(dim=(2, 3))


def resnet(
    given: PictureInput, outputs: int, shape: ResnetShape, sample: Tensor | None = None
) -> SmallNetwork:
    """Return whitening -> GELU -> groups -> the largest of each channel -> dropout -> classifier.

    Args:
        given: what the pictures are like.
        outputs: number of logits.
        shape: how wide.
        sample: (n, C, S, S) uint8, from which the whitening is found; None where weights will be
            loaded.
    """
    whitening = Whitening(given.channels)
    layers: list[nn.Module] = [whitening, nn.GELU()]
    channels = whitening.out_channels
    for width in shape.widths:
        layers.append(Group(channels, width, shape.convolutions))
        channels = width
    layers.append(Largest())
    if shape.dropout:
        layers.append(nn.Dropout(shape.dropout))
    network = SmallNetwork(nn.Sequential(*layers), channels, outputs, given)
    if sample is not None:
        whitening.look_at(network.normalised(_some(sample)))
    return network


def _some(pixels: Tensor) -> Tensor:
    return pixels[:: max(1, len(pixels) // SAMPLE)]
