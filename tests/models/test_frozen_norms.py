"""Batch norms applied to weights: the same network, the same gradients, faster."""

import copy
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from silverprint.models.frozen_norms import (
    DepthwiseConv,
    FrozenNormConv,
    agree,
    hold_statistics,
    sharing_copy,
    with_norms_in_weights,
)


def pictures(side: int = 32, count: int = 2, channels: int = 3) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(0))


def lived_in(network: nn.Module) -> nn.Module:
    """Give batch norms statistics, gains and biases that are not 0 and 1."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -1), (module.running_var, 0.5),
                                (module.weight, 0.5), (module.bias, -0.5)):  # fmt: skip
                tensor.data.uniform_(low, low + 1, generator=generator)
    return network.eval()


def timm_network(name: str, **options) -> nn.Module:
    import timm

    torch.manual_seed(0)
    return lived_in(timm.create_model(name, num_classes=0, **options))


def torchvision_network(name: str) -> nn.Module:
    import torchvision

    torch.manual_seed(0)
    return lived_in(torchvision.models.get_model(name, weights=None))


def count(network: nn.Module, kind: type) -> int:
    return sum(isinstance(module, kind) for module in network.modules())


NETWORKS = {
    "EfficientNet-Lite0": (lambda: timm_network("tf_efficientnet_lite0"), 49, 0),
    "small EfficientNet": (lambda: timm_network("test_efficientnet"), 13, 0),
    "ResNet18": (lambda: torchvision_network("resnet18"), 20, 0),
    "MobileNetV2": (lambda: torchvision_network("mobilenet_v2"), 52, 0),
    # In DenseNet a norm comes before its convolution, so only some follow one.
    "DenseNet121": (lambda: torchvision_network("densenet121"), 59, 62),
    "small ViT": (lambda: timm_network("test_vit", img_size=32, patch_size=16), 0, 0),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_features_with_the_same_parameters(name) -> None:
    make, fused, left = NETWORKS[name]
    network, example = make(), pictures()
    twin = with_norms_in_weights(network, example)
    assert count(twin, FrozenNormConv) == fused
    assert count(twin, nn.BatchNorm2d) == fused + left  # each fused one lives on in its pair
    with torch.no_grad():
        torch.testing.assert_close(twin(example), network(example), rtol=1e-3, atol=1e-4)
    ours, theirs = set(map(id, twin.parameters())), set(map(id, network.parameters()))
    assert ours == theirs
    assert count(network, FrozenNormConv) == 0


def test_the_same_gradients() -> None:
    network, example = timm_network("test_efficientnet"), pictures(48)
    twin = with_norms_in_weights(network, example)
    network(example).square().sum().backward()
    expected = {name: p.grad.clone() for name, p in network.named_parameters()}
    network.zero_grad()
    twin(example).square().sum().backward()
    for name, parameter in network.named_parameters():
        scale = expected[name].abs().max()
        assert (parameter.grad - expected[name]).abs().max() < 1e-3 * scale, name


def test_bf16_learns_in_nearly_the_same_direction() -> None:
    network, example = timm_network("test_efficientnet"), pictures(48)
    twin = with_norms_in_weights(network, example)
    twin(example).square().sum().backward()
    expected = torch.cat([p.grad.flatten() for p in network.parameters()])
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        features = twin(example)
    assert features.dtype == torch.bfloat16
    features.float().square().sum().backward()
    found = torch.cat([p.grad.flatten() for p in network.parameters()])
    assert torch.cosine_similarity(expected, found, dim=0) > 0.99


class Twice(nn.Module):
    """What its convolution gives is used beside the batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        middle = self.conv(inputs)
        return self.norm(middle) + middle


def test_a_result_that_is_used_twice_is_left_as_it_was() -> None:
    network, example = lived_in(Twice()), pictures()
    twin = with_norms_in_weights(network, example)
    assert count(twin, FrozenNormConv) == 0
    assert torch.equal(twin(example), network(example))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("padding", [0, 1, "same"])
@pytest.mark.parametrize("affine", [False, True])
def test_every_kind_of_convolution(bias, padding, affine) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 6, (3, 5), padding=padding, bias=bias), nn.BatchNorm2d(6, affine=affine)
    ).eval()
    network[1].running_mean.uniform_(-1, 1)
    network[1].running_var.uniform_(0.5, 2)
    twin = with_norms_in_weights(network, pictures())
    assert count(twin, FrozenNormConv) == 1
    torch.testing.assert_close(twin(pictures()), network(pictures()), rtol=1e-4, atol=1e-5)


def test_a_network_of_our_own_needs_no_timm(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "timm.layers", None)  # importing it fails
    network = lived_in(nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.BatchNorm2d(4))).eval()
    with torch.no_grad():
        found = with_norms_in_weights(network, pictures())(pictures())
        torch.testing.assert_close(found, network(pictures()), rtol=1e-4, atol=1e-4)


def test_a_sharing_copy_shares() -> None:
    network = lived_in(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    twin = sharing_copy(network)
    network[0].weight.data.zero_()
    network[1].running_mean.zero_()
    assert not twin[0].weight.any()
    assert not twin[1].running_mean.any()
    twin[0] = nn.Identity()
    assert isinstance(network[0], nn.Conv2d)
    plain = copy.deepcopy(network)
    assert plain[0].weight is not network[0].weight


def test_statistics_are_held() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout())
    network.train()
    hold_statistics(network)
    before = network[1].running_mean.clone()
    network(pictures())
    assert torch.equal(network[1].running_mean, before)
    assert network[2].training


def test_agreement_is_relative_and_refuses_what_is_no_number() -> None:
    values = torch.tensor([1000.0, 1.0])
    assert agree(values, values + 0.5)
    assert not agree(values, values + 2)
    assert not agree(values, values[:1])
    assert not agree(values, torch.full_like(values, torch.nan))


# ---- The way back through a depthwise convolution ----


@settings(deadline=None, max_examples=60)
@given(
    kernel=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    stride=st.integers(1, 3),
    extra=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    data=st.data(),
)
def test_depthwise_gradients_are_those_of_torch(kernel, stride, extra, data) -> None:
    padding = tuple(data.draw(st.integers(0, side - 1)) for side in kernel)
    shape = [k + more for k, more in zip(kernel, extra, strict=True)]
    generator = torch.Generator().manual_seed(0)
    given_parts = [
        torch.randn(size, generator=generator, dtype=torch.float64)
        for size in ((2, 3, *shape), (3, 1, *kernel), (3,))
    ]
    ours = [part.clone().requires_grad_(True) for part in given_parts]
    theirs = [part.clone().requires_grad_(True) for part in given_parts]
    expected = F.conv2d(*theirs, stride, padding, 1, 3)
    found = DepthwiseConv.apply(*ours, stride, padding)
    assert torch.equal(found, expected)
    upstream = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    expected.backward(upstream)
    found.backward(upstream)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-5, atol=1e-5)


def test_depthwise_does_only_what_is_asked() -> None:
    inputs, weight = pictures(8), torch.ones(3, 1, 3, 3)
    bias = torch.zeros(3, requires_grad=True)
    DepthwiseConv.apply(inputs, weight, bias, 2, (1, 1)).sum().backward()
    assert bias.grad.tolist() == [2 * 16] * 3
    assert inputs.grad is None
    assert weight.grad is None
