"""Stages: how many, where they begin, and whether the network can be cut there."""

import pytest
import torch
from torch import nn

from silverprint.backbones.networks import _split
from silverprint.models.stages import Front, cut, find_stages, parameters_by_stage

SIDE = 64


def trunk(name: str) -> nn.Module:
    """Return a timm network, or "torchvision NAME", without its classifier and any weights."""
    import timm
    import torchvision

    torch.manual_seed(0)
    library, _, rest = name.rpartition(" ")
    network = torchvision.models.get_model(rest) if library else timm.create_model(rest)
    return _split(network)[0].eval()


def pictures(side: int = SIDE) -> torch.Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))


# Network, and the layer that each of its stages begins with.
BEGINNINGS = {
    "tf_efficientnet_lite0": ["conv_stem", "blocks.1.0", "blocks.2.0", "blocks.3.0", "blocks.5.0"],
    "mobilenetv2_100": ["conv_stem", "blocks.1.0", "blocks.2.0", "blocks.3.0", "blocks.5.0"],
    "densenet121": [
        "features.conv0", "features.denseblock1", "features.denseblock2", "features.denseblock3",
        "features.denseblock4",
    ],
    "legacy_xception": ["conv1", "block1", "block2", "block3", "block12"],
    "torchvision resnet18": ["conv1", "layer1.0", "layer2.0", "layer3.0", "layer4.0"],
    "torchvision mobilenet_v2": [
        "features.0.0", "features.2", "features.4", "features.7", "features.14"
    ],
}  # fmt: skip
VGG = ["features.0", "features.5", "features.10", "features.17", "features.24"]


@pytest.mark.parametrize("name", BEGINNINGS)
def test_stages_of_known_networks_and_cuts_between_them(name) -> None:
    network, example = trunk(name), pictures(96 if "xception" in name else SIDE)
    stages = find_stages(network, example)
    assert [stage.layers[0] for stage in stages] == BEGINNINGS[name]
    whole = network(example)
    for number in range(1, len(stages)):
        parts = cut(network, stages, number, example)
        assert parts is not None, number
        front, back = parts
        other = pictures(example.shape[-1]).flip(0)  # pictures that the check did not see
        torch.testing.assert_close(back(front(other)), network(other), rtol=1e-3, atol=1e-4)
    assert torch.equal(network(example), whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "last"), [("vgg16", "pre_logits"), ("torchvision vgg16", "classifier.0")]
)
def test_vgg_ends_in_a_stage_of_connected_layers(name, last) -> None:
    network = trunk(name)
    stages = find_stages(network, pictures())
    assert [stage.layers[0] for stage in stages] == [*VGG, last]
    assert all(cut(network, stages, number, pictures()) for number in range(1, 6))


def test_vgg_convolutions_make_five_stages() -> None:
    import torchvision

    features = nn.Sequential(
        torchvision.models.vgg16(weights=None).features, nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).eval()
    stages = find_stages(features, pictures(32))
    assert [stage.layers[0] for stage in stages] == [f"0.{layer[9:]}" for layer in VGG]
    assert cut(features, stages, 4, pictures(32)) is not None


def test_every_parameter_is_in_one_stage() -> None:
    network = trunk("densenet121")
    stages = find_stages(network, pictures())
    found = [name for stage in parameters_by_stage(network, stages) for name, _ in stage]
    assert sorted(found) == sorted(name for name, _ in network.named_parameters())
    sizes = [sum(p.numel() for _, p in stage) for stage in parameters_by_stage(network, stages)]
    assert sizes == [9536, 368320, 1051776, 3364096, 2160128]


def test_each_block_of_a_transformer_is_a_stage_and_it_is_not_cut() -> None:
    import timm

    network = timm.create_model("test_vit", img_size=32, patch_size=8, num_classes=0).eval()
    stages = find_stages(network, pictures(32))
    assert [stage.layers[0] for stage in stages[1:]] == [
        f"blocks.{number}" for number in range(len(network.blocks))
    ]
    assert cut(network, stages, 2, pictures(32)) is None  # positions are added in front of it
    named = dict(parameters_by_stage(network, stages)[0])
    assert "pos_embed" in named


class Detour(nn.Module):
    """Does something in front of its second layer that belongs to no layer."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.first = nn.Conv2d(3, 4, 3, stride=2)
        self.second = nn.Conv2d(4, 5, 3, stride=2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(inputs) * self.factor)


@pytest.mark.parametrize(("factor", "possible"), [(1.0, True), (2.0, False)])
def test_a_cut_is_checked_by_numbers(factor, possible) -> None:
    network = Detour(factor).eval()
    stages = find_stages(network, pictures())
    assert [stage.layers for stage in stages] == [("first",), ("second",)]
    assert (cut(network, stages, 1, pictures()) is not None) == possible


def test_a_convolution_without_padding_begins_no_stage() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.MaxPool2d(2),
        nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4),
    ).eval()  # fmt: skip
    stages = find_stages(network, pictures(24))
    assert [stage.layers for stage in stages] == [("0", "1", "2", "3", "4"), ("5", "6", "7")]


def test_a_front_stops_at_its_layer_and_says_where_there_is_none() -> None:
    network = Detour(1.0).eval()
    assert Front(network, "second")(pictures(9)).shape == (2, 4, 4, 4)
    network.forward = network.first.forward
    with pytest.raises(RuntimeError, match="ran without its layer second"):
        Front(network, "second")(pictures(9))
    assert not network.second._forward_pre_hooks
