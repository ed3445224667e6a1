"""What goes through layers, and how it is made visible."""

import numpy as np
import pytest
import torch
from torch import nn

from silverprint.errors import ConfigError
from silverprint.inspection.activations import (
    NORMS,
    as_maps,
    channel_statistics,
    check_layer,
    dropout_runs,
    dropped,
    filters_as_pictures,
    first_filters,
    names_of,
    record,
    strongest_channels,
)


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 3),
    ).eval().requires_grad_(False)  # fmt: skip


PIXELS = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_inputs_and_outputs_survive_what_follows_in_place(network) -> None:
    norm, relu = record(network, PIXELS, ["1", "2"])
    assert norm.name == "1"
    assert (norm.outputs < 0).any()  # the ReLU behind it works in place
    np.testing.assert_array_equal(relu.outputs, np.maximum(norm.outputs, 0))
    assert not any(module._forward_hooks for module in network.modules())


def test_a_layer_that_gives_no_tensor_is_left_out(network) -> None:
    assert [one.name for one in record(network, PIXELS, ["6", "0"])] == ["0", "6"]


def test_an_unknown_layer_names_the_closest_and_the_list(network) -> None:
    named = nn.Sequential()
    named.add_module("trunk", network)
    with pytest.raises(
        ConfigError, match=r"'trunk\.9' is not in this network\. Did you mean 'trunk"
    ):
        check_layer(named, "trunk.9")
    with pytest.raises(ConfigError, match=r"It has trunk, trunk\.0, .*; --layers lists them all"):
        check_layer(named, "nothing")
    check_layer(named, "trunk.3")


def test_first_filters_of_convolutions_and_of_linear_layers(network) -> None:
    name, weights = first_filters(network, 8)
    assert (name, weights.shape) == ("0", (4, 3, 3, 3))
    shown = filters_as_pictures(weights)
    assert shown.shape == (4, 3, 3, 3)
    assert shown.dtype == np.uint8
    extreme = np.maximum(shown.max(axis=(1, 2, 3)).astype(int), 255 - shown.min(axis=(1, 2, 3)))
    assert (extreme == 255).all()
    dense = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    name, weights = first_filters(dense, 8)
    assert (name, weights.shape) == ("1", (5, 1, 8, 8))
    assert first_filters(nn.Linear(7, 2), 8) is None


@pytest.mark.parametrize(("shape", "expected"), [
    ((5, 3, 4), (5, 3, 4)), ((100, 2, 2), (64, 2, 2)), ((10,), (1, 4, 4)), ((6, 7), (1, 6, 7)),
])  # fmt: skip
def test_maps_of_any_layer(shape, expected) -> None:
    values = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    maps = as_maps(values, 64)
    assert maps.shape == expected
    assert maps.min() >= 0
    np.testing.assert_allclose(maps.max(axis=(1, 2)), 1, rtol=1e-6)


def test_a_silent_channel_stays_dark() -> None:
    assert not as_maps(np.zeros((2, 3, 3), dtype=np.float32), 8).any()


def test_the_channels_that_vary_most_come_first() -> None:
    maps = np.zeros((3, 2, 2), dtype=np.float32)
    maps[1, 0, 0], maps[2, 0, 0] = 5, 1
    assert strongest_channels(maps, 2) == [1, 2]


def test_dropout_drops_only_while_it_is_shown(network) -> None:
    one = dropped(network, PIXELS[:1], "5", seed=1)
    assert one is not None
    kept = one.outputs != 0
    np.testing.assert_allclose(one.outputs[kept], 2 * one.inputs[kept], rtol=1e-6)
    assert 0.2 < 1 - kept.mean() < 0.95
    runs = dropout_runs(network, PIXELS[:1], lambda logits: logits, 30)
    assert runs.shape == (30, 3)
    assert runs.std(axis=0).min() > 0
    np.testing.assert_array_equal(runs, dropout_runs(network, PIXELS[:1], lambda x: x, 30))
    assert not any(module.training for module in network.modules())


def test_batch_norm_statistics(network) -> None:
    (passed,) = record(network, PIXELS, names_of(network, NORMS))
    mean, spread = channel_statistics(passed.inputs)
    assert mean.shape == spread.shape == (4,)
    expected = network[0](PIXELS).transpose(0, 1).flatten(1)
    np.testing.assert_allclose(mean, expected.mean(1), atol=1e-6)
    np.testing.assert_allclose(spread, expected.std(1, unbiased=False), atol=1e-6)
