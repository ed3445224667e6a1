"""Grad-CAM and occlusion on networks small enough to know the answer."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from silverprint.inspection.attribution import (
    grad_cam,
    last_map,
    log_odds_of,
    occlusion,
    occlusion_steps,
    probability,
    score_of,
)


def network(inplace: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(inplace=inplace), nn.MaxPool2d(2),
        nn.Conv2d(5, 6, 3, padding=1), nn.ReLU(inplace=inplace),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4),
    ).eval().requires_grad_(False)  # fmt: skip


PIXELS = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("inplace", [True, False])
def test_grad_cam_of_a_mean_and_a_linear_layer_is_that_layers_weights(inplace) -> None:
    net = network(inplace)
    found = grad_cam(net, PIXELS, "4", score_of("softmax"), [2, 0])
    activations = net[:5](PIXELS)[0]
    for one, expected_class in zip(found, (2, 0), strict=True):
        weights = net[7].weight[expected_class] / activations[0].numel()
        expected = (weights[:, None, None] * activations).sum(0).clamp(min=0)
        np.testing.assert_allclose(one, expected.numpy(), atol=1e-6)
    assert found[0].max() > 0


def test_a_layer_before_an_activation_in_place_gives_its_own_values() -> None:
    before = grad_cam(network(inplace=False), PIXELS, "3", score_of("softmax"), [1])
    np.testing.assert_allclose(
        grad_cam(network(inplace=True), PIXELS, "3", score_of("softmax"), [1]), before, atol=1e-7
    )


def test_of_two_classes_with_one_logit_each_has_its_own_map() -> None:
    net = network()
    net[7] = nn.Linear(6, 1).requires_grad_(False)
    second = grad_cam(net, PIXELS, "4", score_of("binary"), [1])[0]
    first = grad_cam(net, PIXELS, "4", score_of("binary"), [0])[0]
    activations = net[:5](PIXELS)[0]
    total = (net[7].weight[0][:, None, None] * activations).sum(0).numpy() / activations[0].numel()
    np.testing.assert_allclose(second - first, total, atol=1e-6)


def test_no_hook_stays() -> None:
    net = network()
    grad_cam(net, PIXELS, "4", score_of("softmax"), [0])
    last_map(net, PIXELS)
    assert not any(module._forward_hooks for module in net.modules())


def test_the_last_map_is_the_one_before_pooling() -> None:
    assert last_map(network(), PIXELS) == "4"
    assert last_map(nn.Sequential(nn.Flatten(), nn.Linear(768, 3)), PIXELS) is None


# ---- Occlusion ----


class Corner(nn.Module):
    """Its one logit is the mean of the upper left quarter."""

    def forward(self, pixels):
        return pixels[:, :, :8, :8].mean(dim=(1, 2, 3))[:, None]


def test_only_what_the_network_looks_at_matters_and_by_as_much() -> None:
    told: list[int] = []
    found = occlusion(
        Corner(), torch.ones(1, 3, 16, 16), log_odds_of("binary", 0.5), [1, 0], 8, 8, told.append
    )
    assert sum(told) == 4
    # The quarter alone makes the logit 1, which the temperature of 0.5 doubles.
    assert (found.falls[0, :8, :8] == 2).all()
    assert not found.falls[0, 8:].any()
    assert not found.falls[0, :, 8:].any()
    np.testing.assert_array_equal(found.falls[1], -found.falls[0])
    assert found.before.tolist() == [2, -2]
    assert found.least.tolist() == [0, -2]


@given(size=st.integers(1, 60), patch=st.integers(1, 60), stride=st.integers(1, 60))
def test_squares_cover_every_pixel(size, patch, stride) -> None:
    patch, stride = min(patch, size), min(stride, patch)
    covered = np.zeros(size, dtype=bool)
    for start in occlusion_steps(size, patch, stride):
        assert 0 <= start <= size - patch
        covered[start : start + patch] = True
    assert covered.all()


@given(st.lists(st.floats(-9, 9), min_size=2, max_size=6), st.floats(0.2, 5))
def test_log_odds_are_those_of_the_probabilities(logits, temperature) -> None:
    given_logits = torch.tensor([logits])
    p = torch.softmax(given_logits.double() / temperature, dim=1)
    expected = (p.log() - torch.log1p(-p)).float()
    found = log_odds_of("softmax", temperature)(given_logits)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_a_certain_answer_has_finite_log_odds() -> None:
    found = log_odds_of("softmax", 1.0)(torch.tensor([[30.0, 0.0, 0.0]]))
    assert torch.isfinite(found).all()
    assert found[0, 0] == pytest.approx(30 - np.log(2), abs=0.05)


def test_probability() -> None:
    assert probability(0) == 0.5
    assert probability(np.log(3)) == pytest.approx(0.75)
