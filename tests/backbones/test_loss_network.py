"""Networks as judges: which layers, what maps, and what is refused."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from silverprint.backbones.loss_network import MARGIN, LossNetwork, load_loss_network
from silverprint.errors import BackboneError, ConfigError
from silverprint.models.vgg_encoder import random_stack, vgg19_encoder


class Strided(nn.Module):
    """Halves at once, then pools by maxima, and overwrites what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 40, 3, stride=2, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.second = nn.Conv2d(40, 48, 1)
        self.narrow = nn.Conv2d(48, 8, 1)
        self.late = nn.Linear(8, 2)
        self.ran_late = 0

    def forward(self, pixels):
        maps = self.narrow(self.second(self.pool(self.act(self.stem(pixels)))))
        self.ran_late += 1
        return self.late(maps.mean((2, 3)))


def judge(network: nn.Module, size: int = 32) -> LossNetwork:
    return LossNetwork("test", network, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), size)


def test_maps_are_those_of_the_network_rectified() -> None:
    network = random_stack(3)
    picture = torch.rand(1, 3, 20, 24)  # larger than MARGIN
    found = judge(network)(picture, ["0", "2"])
    padded = F.pad(picture, [MARGIN] * 4, mode="reflect")
    mean, std = torch.tensor((0.5, 0.4, 0.3)), torch.tensor((0.2, 0.3, 0.4))
    first = network[0]((padded - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1))
    half = slice(MARGIN // 2, -(MARGIN // 2))
    inside = (0, slice(None), half, half)
    assert torch.allclose(found["0"], F.relu(first)[inside], atol=1e-5)
    assert torch.allclose(found["2"], F.relu(network[2](F.relu(first)))[inside], atol=1e-5)
    assert found["0"].shape == (32, 20 + MARGIN, 24 + MARGIN)


def test_padding_by_zeros_is_not_seen() -> None:
    flat = judge(Strided())(torch.full((1, 3, 24, 24), 0.7), ["stem", "second"])
    for maps in flat.values():
        assert torch.allclose(maps, maps[:, :1, :1].expand_as(maps), atol=1e-6)


def test_the_picture_is_enlarged_by_the_first_layers_step() -> None:
    network = Strided()
    judging = judge(network)
    assert judging.enlarged == 2
    assert {name: found.reduction for name, found in judging.maps.items()} == {
        "stem": 1, "act": 1, "pool": 2, "second": 2, "narrow": 2,
    }  # fmt: skip
    assert judging(torch.rand(1, 3, 24, 24), ["stem"])["stem"].shape == (
        40,
        24 + MARGIN,
        24 + MARGIN,
    )
    assert judging.choose_layers() == ("stem", "second")
    assert judging.choose_content_layer() == "second"


def test_maxima_become_averages_and_nothing_is_overwritten() -> None:
    network = Strided()
    judging = judge(network)
    assert isinstance(network.pool, nn.AvgPool2d)
    assert not network.act.inplace
    picture = torch.rand(1, 3, 24, 24, requires_grad=True)
    maps = judging(picture, ["pool"])["pool"]
    assert torch.allclose(maps, F.avg_pool2d(judging(picture, ["act"])["act"], 2))
    maps.sum().backward()
    assert picture.grad is not None
    assert all(parameter.grad is None for parameter in network.parameters())


def test_what_comes_after_the_last_layer_is_not_run() -> None:
    network = Strided()
    judging = judge(network)
    before = network.ran_late
    judging(torch.rand(1, 3, 24, 24), ["second", "stem"])
    assert network.ran_late == before
    assert not any(module._forward_hooks for module in network.modules())


def test_an_unknown_layer_is_told_with_the_closest_first() -> None:
    with pytest.raises(ConfigError, match=r"layer 'steam' is no feature map of test, which has, "
                                          r"closest first: stem, \w+"):  # fmt: skip
        judge(Strided()).check_layers(["second", "steam"])
    with pytest.raises(ConfigError, match="layer 'late' is no feature map"):
        judge(Strided()).check_layers(["late"])


def test_a_network_without_wide_maps_is_told_of() -> None:
    with pytest.raises(ConfigError, match="network 'test' has no fine feature map"):
        judge(nn.Sequential(nn.Conv2d(3, 8, 1))).choose_layers()


def test_the_default_network_chooses_fine_and_wide_layers() -> None:
    found = load_loss_network()
    assert found.enlarged == 2
    assert found.choose_layers() == (
        "bn1", "blocks.0.0.bn1", "blocks.1.0.bn1", "blocks.1.0.bn2", "blocks.1.1.bn2",
        "blocks.2.0.bn1", "blocks.2.0.bn2", "blocks.2.1.bn1", "blocks.3.0.bn1",
    )  # fmt: skip
    assert found.choose_content_layer() == "blocks.2.0.bn1"
    assert [found.maps[name].reduction for name in found.choose_layers()] == [1] * 3 + [2] * 3 + [
        4
    ] * 3


def test_the_encoder_reads_its_file_and_no_other(tmp_path) -> None:
    network = vgg19_encoder()
    save_file(network.state_dict(), tmp_path / "vgg.safetensors")
    found = load_loss_network("vgg19-encoder", tmp_path / "vgg.safetensors")
    assert found.choose_layers() == ("2", "5", "9", "12", "16")
    assert found.choose_content_layer() == "12"
    assert torch.equal(found.network.state_dict()["16.weight"], network.state_dict()["16.weight"])

    save_file({"0.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(BackboneError, match=r"do not fit vgg19-encoder: 0.bias is missing"):
        load_loss_network("vgg19-encoder", tmp_path / "other.safetensors")
    with pytest.raises(BackboneError, match=r"needs --weights FILE, VGG19 to conv3_1; .*none"):
        load_loss_network("vgg19-encoder", tmp_path / "none.safetensors")
    with pytest.raises(BackboneError, match=r"needs --weights FILE, VGG19 to conv3_1\.$"):
        load_loss_network("vgg19-encoder")


def test_the_random_network_is_its_seeds(tmp_path) -> None:
    one, same, other = (load_loss_network("random", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.network[0].weight, same.network[0].weight)
    assert not torch.equal(one.network[0].weight, other.network[0].weight)
    with pytest.raises(BackboneError, match="network 'random' takes no weights"):
        load_loss_network("random", tmp_path / "weights.safetensors")


class OneSize(nn.Module):
    """Cuts pictures into patches, of one size only."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 4, stride=4)

    def forward(self, pixels):
        if pixels.shape[2] != 64:
            raise AssertionError("Input height doesn't match model (64).")
        return self.patches(pixels)


def test_a_network_of_one_size_is_told_of() -> None:
    network = LossNetwork("vit", OneSize(), (0.5,) * 3, (0.5,) * 3, 64)
    with pytest.raises(ConfigError) as caught:
        network(torch.rand(1, 3, 40, 40), ["patches"])
    assert str(caught.value) == (
        "network 'vit' cannot look at pictures of any size: Input height doesn't match model (64). "
        "Use one of convolutions, such as efficientnet-lite0."
    )
