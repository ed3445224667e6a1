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
    made = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    return made * torch.tensor([1, 0.2]).view(2, 1, 1, 1)


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


def test_each_block_of_a_transformer_is_a_stage() -> None:
    import timm

    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2}
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, **sizes).eval()
    stages = find_stages(network, pictures(32))
    assert [stage.layers[0] for stage in stages[1:]] == [
        f"blocks.{number}" for number in range(len(network.blocks))
    ]
    parts = cut(network, stages, 2, pictures(32))
    assert parts is not None  # although positions are added in front of it
    front, back = parts
    other = pictures(32).flip(0)
    torch.testing.assert_close(back(front(other)), network(other), rtol=1e-3, atol=1e-4)
    named = dict(parameters_by_stage(network, stages)[0])
    assert "pos_embed" in named


class Detour(nn.Module):
    """Does something between its layers, and maybe takes something past both of them."""

    def __init__(self, past: bool = False) -> None:
        super().__init__()
        self.past = past
        self.first = nn.Conv2d(3, 4, 3, stride=2)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(4, 5, 3, stride=2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        padded = nn.functional.pad(self.act(inputs - 0.5), (1, 1, 1, 1))
        result = self.second(self.act(self.first(padded)) * 2)
        return result + inputs.mean() if self.past else result


@pytest.mark.parametrize("past", [False, True])
def test_a_cut_is_checked_by_numbers(past) -> None:
    network = Detour(past).eval()
    stages = find_stages(network, pictures())
    assert [stage.layers for stage in stages] == [("first",), ("second",)]
    parts = cut(network, stages, 1, pictures())
    assert (parts is None) == past
    if parts is not None:
        front, back = parts
        for seed in range(3):  # nothing is left behind from one call to the next
            other = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
            torch.testing.assert_close(back(front(other)), network(other), rtol=1e-4, atol=1e-5)


def test_a_convolution_without_padding_begins_no_stage() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.MaxPool2d(2),
        nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4),
    ).eval()  # fmt: skip
    stages = find_stages(network, pictures(24))
    assert [stage.layers for stage in stages] == [("0", "1", "2", "3", "4"), ("5", "6", "7")]


def test_a_front_stops_at_its_layer_and_says_where_there_is_none() -> None:
    network = Detour().eval()
    assert Front(network, "first")(pictures(9)).shape == (2, 4, 5, 5)
    network.forward = network.first.forward
    with pytest.raises(RuntimeError, match="ran without its layer second"):
        Front(network, "second")(pictures(9))
    assert not network.second._forward_hooks
