"""Two plain stacks of convolutions that judge style: VGG19's first layers, and an untrained one.

The first are VGG19 (Simonyan and Zisserman 2014) up to conv3_1, with the numbers of the layers that
encoders for arbitrary style transfer (Huang and Belongie 2017) give to their files: a 1 x 1
convolution takes RGB of 0..1 to what VGG19 was trained on, and borders are reflected.
"""

from itertools import pairwise

import torch
from torch import nn

ENCODER_WIDTHS = ((64, 64), (128, 128), (256,))
RANDOM_WIDTHS = (32, 64, 128, 128)


def vgg19_encoder() -> nn.Sequential:
    """Build VGG19 up to conv3_1: (n, 3, h, w) of 0..1 -> (n, 256, h / 4, w / 4)."""
    layers: list[nn.Module] = [nn.Conv2d(3, 3, 1)]
    inputs = 3
    for i, widths in enumerate(ENCODER_WIDTHS):
        if i:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        for width in widths:
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(inputs, width, 3), nn.ReLU()]
            inputs = width
    return nn.Sequential(*layers)


def random_stack(seed: int = 0) -> nn.Sequential:
    """Build convolutions with orthogonal random weights, two a resolution: a baseline.

    Gain is that of ReLU, so that maps neither fade nor grow with depth.

    Args:
        seed: of the weights.
    """
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, width in pairwise((3, *RANDOM_WIDTHS)):
        for given in (inputs, width):
            convolution = nn.Conv2d(given, width, 3, padding=1, padding_mode="reflect")
            nn.init.orthogonal_(convolution.weight, gain=2**0.5, generator=generator)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type] # it has one
            layers += [convolution, nn.ReLU()]
        layers.append(nn.AvgPool2d(2, ceil_mode=True))
    return nn.Sequential(*layers)
