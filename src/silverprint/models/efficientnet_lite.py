"""EfficientNet-Lite 0 to 2: the default backbone, built without a library of a thousand networks.

timm builds the same networks, but importing it takes longer than looking at 300 photos. Names of
tensors are timm's, so that weights go both ways. EfficientNet (Tan and Le 2019) without
squeeze-and-excitation and with ReLU6, as released for small devices.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Of Lite0: repeats, kernel side, stride, expansion, output channels of each stage.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD, CLASSES = 32, 1280, 1000
# Of each network: how much wider and deeper than Lite0, and the input it was trained on.
SCALES = {
    "tf_efficientnet_lite0": (1.0, 1.0, {"size": 224, "crop": 0.875}),
    "tf_efficientnet_lite1": (1.0, 1.1, {"size": 240, "crop": 0.882}),
    "tf_efficientnet_lite2": (1.1, 1.2, {"size": 260, "crop": 0.89}),
}


def input_of(name: str) -> dict[str, Any]:
    """Return size, mean, std and crop of the pictures that the network was trained on."""
    half = (0.5, 0.5, 0.5)
    return {**SCALES[name][2], "mean": half, "std": half}


def same_padding(pictures: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad as TensorFlow's "same" does, the odd pixel at the right and below."""
    pads: list[int] = []
    for side in (int(pictures.shape[3]), int(pictures.shape[2])):  # int: a constant when traced
        missing = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        pads += [missing // 2, missing - missing // 2]
    return F.pad(pictures, pads)


class Block(nn.Module):
    """Widen (where expansion > 1), filter each channel, narrow; add the input where it fits."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.kernel, self.stride = kernel, stride
        self.added = stride == 1 and inputs == outputs
        depthwise = _conv(width, width, kernel, stride, groups=width)
        if expansion == 1:
            self.conv_dw, self.bn1 = depthwise, _norm(width)
            self.conv_pw, self.bn2 = _conv(width, outputs), _norm(outputs)
            layers = [("conv_dw", "bn1"), ("conv_pw", "bn2")]
        else:
            self.conv_pw, self.bn1 = _conv(inputs, width), _norm(width)
            self.conv_dw, self.bn2 = depthwise, _norm(width)
            self.conv_pwl, self.bn3 = _conv(width, outputs), _norm(outputs)
            layers = [("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")]
        self.layers = layers
        self.act = nn.ReLU6(inplace=True)

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h / stride, w / stride)."""
        flowing = pictures
        for conv_name, norm_name in self.layers:
            if conv_name == "conv_dw" and self.stride > 1:
                flowing = same_padding(flowing, self.kernel, self.stride)
            flowing = getattr(self, norm_name)(getattr(self, conv_name)(flowing))
            if (conv_name, norm_name) != self.layers[-1]:
                flowing = self.act(flowing)
        return flowing + pictures if self.added else flowing


class EfficientNetLite(nn.Module):
    """(n, 3, S, S) float32, normalised -> (n, 1000) logits.

    Args:
        name: one of SCALES.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        wider, deeper, _ = SCALES[name]
        self.conv_stem, self.bn1 = _conv(3, STEM, 3, 2), _norm(STEM)
        stages, inputs = [], STEM
        for i, (repeats, kernel, stride, expansion, channels) in enumerate(STAGES):
            if 0 < i < len(STAGES) - 1:
                repeats = math.ceil(repeats * deeper)
            outputs = _rounded(channels * wider)
            blocks = []
            for number in range(repeats):
                blocks.append(Block(inputs, outputs, kernel, 1 if number else stride, expansion))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = _conv(inputs, HEAD), _norm(HEAD)
        self.act = nn.ReLU6(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(HEAD, CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return (n, 1000), or (n, 1280) where the classifier was taken off."""
        stem = self.act(self.bn1(self.conv_stem(same_padding(pictures, 3, 2))))
        features = self.act(self.bn2(self.conv_head(self.blocks(stem))))
        logits: Tensor = self.classifier(torch.flatten(self.pool(features), 1))
        return logits


def _conv(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    padding = kernel // 2 if stride == 1 else 0  # else it depends on the picture: same_padding
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def _rounded(channels: float) -> int:
    """Return the nearest multiple of 8 that is not more than a tenth smaller."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
