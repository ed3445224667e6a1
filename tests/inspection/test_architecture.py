"""What a network is made of, against numbers that can be counted by hand or are published."""

import re

import pytest
import torch
from torch import nn

from silverprint.inspection.architecture import describe
from silverprint.inspection.diagram import draw
from silverprint.models.catalogue import PRESETS, build_network

CONV = 3 * 8 * 9 * 16 * 16  # inputs x outputs x window x places


class Shared(nn.Module):
    """Runs one layer twice, and gives more than a tensor inside."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False)
        self.pair = Pair()
        self.last = nn.Linear(3, 2)

    def forward(self, x):
        return self.last(self.pair(self.conv(self.conv(x)))[0].mean(dim=(2, 3)))


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def test_a_chain_counted_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(512, 10),
    ).eval()  # fmt: skip
    found = describe(network, torch.zeros(1, 3, 16, 16), "chain", {"5.weight", "5.bias"})
    conv, norm, relu, pool, flat, dense = found.layers
    assert (conv.kind, conv.detail, conv.shape) == ("Conv2d", "3×3", (8, 16, 16))
    assert (conv.parameters, conv.multiply_adds, conv.learning) == (3 * 8 * 9 + 8, CONV, 0)
    assert (norm.parameters, relu.parameters) == (16, 0)
    assert (pool.detail, pool.shape, flat.shape) == ("2×2 /2", (8, 8, 8), (512,))
    assert (dense.parameters, dense.learning, dense.multiply_adds) == (5130, 5130, 5120)
    assert found.parameters == 224 + 16 + 5130
    assert found.learning == 5130
    assert found.multiply_adds == CONV + 5120
    told = found.to_json()
    assert told["flops"] == 2 * told["multiply_adds"]


def test_a_layer_that_runs_twice_counts_twice_and_is_listed_once() -> None:
    found = describe(Shared().eval(), torch.zeros(1, 3, 4, 4), "shared")
    layers = {layer.name: layer for layer in found.layers}
    assert layers["conv"].multiply_adds == 2 * 3 * 9 * 16
    assert layers["conv"].parameters == 27
    assert layers["conv"].detail == "3×3 depthwise"
    assert layers["pair"].shape == (3, 4, 4)  # of the first of two
    assert list(layers) == ["conv", "pair", "last"]


@pytest.mark.parametrize(("model", "preset"), [(m, p) for m in PRESETS for p in PRESETS[m]])
def test_every_small_network_can_be_described_and_drawn(model, preset) -> None:
    network = build_network(model, 7, torch.zeros(1, 1, 28, 28, dtype=torch.uint8), preset=preset)
    whole = nn.Sequential(network.trunk, nn.Flatten(), network.classifier).eval()
    found = describe(whole, torch.zeros(1, 1, 28, 28), f"{model}:{preset}")
    assert found.parameters == sum(p.numel() for p in network.parameters())
    assert found.layers[-1].shape == (7,)
    image = str(draw(found))
    assert image.startswith("<svg")
    assert f"{model}:{preset}" in image
    assert "answer" in image


def test_a_drawing_is_to_scale_and_tells_what_is_frozen() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(4), nn.Conv2d(4, 64, 3, padding=1),
        nn.Flatten(), nn.Linear(1024, 5),
    ).eval()  # fmt: skip
    found = describe(network, torch.zeros(1, 3, 16, 16), "<b>", {"4.weight"})
    image = str(draw(found))
    assert "&lt;b&gt;" in image
    assert "<b>" not in image
    # Fronts of feature maps: the input, 4 x 16, 4 x 4 and 64 x 4.
    fronts = re.findall(r'width="([\d.]+)" height="([\d.]+)" fill="#\w+" stroke=', image)
    heights = [float(height) for _, height in fronts[:4]]
    assert heights[0] == heights[1]
    assert heights[2] == pytest.approx(heights[0] / 2, abs=0.1)  # the root of a quarter
    assert float(fronts[3][0]) == pytest.approx(4 * 0.95 * 2, abs=0.1)  # the root of 64
    assert image.count("frozen") == 1
    assert image.count(">learns<") == 1
    for words in ("max pool", "4 × 16²", "64 × 4²", "conv 3×3"):
        assert words in image


def test_many_equal_layers_are_drawn_as_one() -> None:
    network = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(60)), nn.Flatten()).eval()
    image = str(draw(describe(network, torch.zeros(1, 3, 8, 8), "deep")))
    assert "60 × conv 1×1" in image
    assert image.count("<polygon") == 4  # the input's and the one slab's


class Mixer(nn.Module):
    """Gives (n, h, w, c), as some transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 40, 4, 4)

    def forward(self, x):
        return self.conv(x).permute(0, 2, 3, 1)


class BatchNormAct(nn.Module):
    """A norm with parts, which belongs to the layer before it all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(40)

    def forward(self, x):
        return self.norm(x).permute(0, 3, 1, 2)


class ConvNormAct(nn.Sequential):
    def forward(self, x):
        return super().forward(x)


def test_blocks_of_libraries_are_told_apart_from_norms_with_parts() -> None:
    network = nn.Sequential(Mixer(), BatchNormAct(), ConvNormAct(nn.Conv2d(40, 8, 1))).eval()
    image = str(draw(describe(network, torch.zeros(1, 3, 32, 32), "mixed")))
    assert "40 × 8²" in image
    assert "8 × 8²" in image
    assert "Mixer" in image
    assert "ConvNormAct" in image
    assert "BatchNormAct" not in image
