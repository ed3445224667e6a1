"""Autoencoders: shapes for every size, weights that learn, and a checkerboard that is or is not."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint.errors import ConfigError
from silverprint.models.autoencoders import (
    Convolutional,
    Decoder,
    Enlarged,
    Transposed,
    build_autoencoder,
    usual_widths,
)
from silverprint.models.shapes import KINDS


def mean(side: int, channels: int = 1) -> torch.Tensor:
    return torch.full((channels, side, side), 0.3)


@settings(max_examples=25, deadline=None)
@given(
    side=st.integers(16, 128), channels=st.sampled_from([1, 3]), kind=st.sampled_from(KINDS),
    code_size=st.integers(1, 40), enlarging=st.sampled_from(["nearest", "bilinear"]),
)  # fmt: skip
def test_every_size_comes_back_as_it_was(side, channels, kind, code_size, enlarging) -> None:
    widths = () if kind == "linear" else (4,) * len(usual_widths(side))
    network = build_autoencoder(
        kind, mean(side, channels), code_size, widths=widths, enlarging=enlarging
    ).eval()
    pictures = torch.rand(2, channels, side, side)
    with torch.no_grad():
        codes = network.encode(pictures)
        made = Decoder(network)(codes)
    assert codes.shape == (2, code_size)
    assert codes.dtype == torch.float32
    assert made.shape == pictures.shape
    assert made.min() >= 0
    assert made.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_gets_a_gradient(kind) -> None:
    torch.manual_seed(0)
    network = build_autoencoder(kind, mean(16, 3), 5)
    pictures = torch.rand(4, 3, 16, 16)
    (network.finish(network(pictures)) - pictures).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_one_seed_gives_one_network() -> None:
    one, same, other = (build_autoencoder("upsampling", mean(16), 4, seed=s) for s in (1, 1, 2))
    weights = [network.encoder[0][0].weight for network in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_both_ways_back_have_as_many_weights() -> None:
    counts = {
        kind: sum(p.numel() for p in build_autoencoder(kind, mean(28), 8).parameters())
        for kind in ("transposed", "upsampling")
    }
    assert counts["transposed"] == counts["upsampling"]


def test_a_tied_one_decodes_by_the_transpose() -> None:
    network = build_autoencoder("linear", mean(16), 3, tied=True)
    codes = torch.randn(2, 3)
    expected = codes @ network.weight + 0.3
    torch.testing.assert_close(network.decode(codes).flatten(1), expected)
    assert sum(p.numel() for p in network.parameters()) == 3 * 256 + 3 + 256


def test_the_mean_picture_comes_back_from_nothing() -> None:
    network = build_autoencoder("linear", mean(16), 3)
    torch.testing.assert_close(network(mean(16)[None]), mean(16)[None])


def test_a_convolutional_one_begins_at_the_mean_brightness() -> None:
    network = build_autoencoder("transposed", mean(16), 3)
    assert isinstance(network, Convolutional)
    bias = network.decoder[-1].bias
    assert torch.sigmoid(bias).item() == pytest.approx(0.3)


def test_equal_weights_make_a_checkerboard_transposed_and_none_enlarged() -> None:
    """What the module's docstring says of contributions, counted."""
    transposed = Transposed(1, 1, 6, 12, bias=False)
    enlarged = Enlarged(1, 1, 12, "nearest", bias=False)
    with torch.no_grad():
        transposed.weight.fill_(1)
        enlarged.convolution.weight.fill_(1)
        counts = transposed(torch.ones(1, 1, 6, 6))[0, 0, 2:-2, 2:-2]
        even = enlarged(torch.ones(1, 1, 6, 6))[0, 0, 2:-2, 2:-2]
    assert sorted(counts.unique().tolist()) == [1, 2, 4]
    assert even.unique().tolist() == [9]


@pytest.mark.parametrize(
    ("kind", "side", "code_size", "widths", "told"),
    [
        ("linear", 16, 256, (), r"code_size must be less than the 256 numbers .*got 256"),
        ("upsampling", 15, 4, (), "takes pictures of 16 to 128 pixels; got 15"),
        ("upsampling", 129, 4, (), "takes pictures of 16 to 128 pixels; got 129"),
        ("transposed", 16, 4, (4,) * 4, r"4 widths halve .* 16 pixels can be halved 3 times"),
    ],
)
def test_what_makes_no_sense_is_refused(kind, side, code_size, widths, told) -> None:
    with pytest.raises(ConfigError, match=told):
        build_autoencoder(kind, mean(side), code_size, widths=widths)


def test_the_most_halvings_that_are_said_to_go_do_go() -> None:
    for side in (16, 17, 28, 31):
        halvings = 0
        while -(-side // 2 ** (halvings + 1)) >= 2:
            halvings += 1
        build_autoencoder("transposed", mean(side), 2, widths=(2,) * halvings)
        with pytest.raises(ConfigError, match="can be halved"):
            build_autoencoder("transposed", mean(side), 2, widths=(2,) * (halvings + 1))
