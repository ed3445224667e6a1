"""The contract that every network trained from scratch keeps."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from silverprint.backbones.prepare import export_graph
from silverprint.errors import ConfigError
from silverprint.models.catalogue import PRESETS, build_network, check_model
from silverprint.models.network import SmallNetwork

OUTPUTS = 5
EVERY = [(model, preset) for model, presets in PRESETS.items() for preset in presets]
NARROW = {"mlp": (12, 8), "cnn": (6, 8), "resnet": (8, 12)}


def pictures(channels: int, size: int = 28, count: int = 6, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (count, channels, size, size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def built(
    model: str, preset: str = "", channels: int = 1, size: int = 28, **options
) -> SmallNetwork:
    sample = pictures(channels, size)
    return build_network(model, OUTPUTS, sample, preset=preset, **options)


def logits_of(network: SmallNetwork, pixels: Tensor) -> Tensor:
    return network.classifier(network(pixels))


every_model = pytest.mark.parametrize(("model", "preset"), EVERY)
both_channels = pytest.mark.parametrize("channels", [1, 3])


@every_model
@both_channels
def test_features_and_logits_have_their_shape_and_are_finite(model, preset, channels) -> None:
    network = built(model, preset, channels)
    for pixels in (pictures(channels), pictures(channels).float()):
        features = network(pixels)
        assert features.dtype == torch.float32
        assert features.shape == (6, network.classifier.in_features)
        logits = network.classifier(features)
        assert logits.shape == (6, OUTPUTS)
        assert torch.isfinite(logits).all()


@every_model
def test_every_trainable_parameter_gets_a_gradient(model, preset) -> None:
    network = built(model, preset)
    nn.functional.cross_entropy(logits_of(network, pictures(1)), torch.arange(6) % 5).backward()
    without = [
        name
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]
    assert without == []


@pytest.mark.parametrize("model", PRESETS)
@pytest.mark.parametrize("size", [28, 33])
@both_channels
def test_onnx_agrees_with_torch(model, channels, size, tmp_path) -> None:
    network = built(model, channels=channels, size=size, widths=NARROW[model])
    _run_once_in_training_mode(network, channels, size)
    path = tmp_path / "network.onnx"
    pixels = pictures(3, size, count=3, seed=1)
    features = export_graph(network, size, path)
    found = onnxruntime.InferenceSession(path).run(["features"], {"pixels": pixels.numpy()})[0]
    with torch.no_grad():
        expected = network(pixels)
    assert features == expected.shape[1]
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-4)


def _run_once_in_training_mode(network: SmallNetwork, channels: int, size: int) -> None:
    """Give batch norm statistics that are not those it begins with."""
    network.train()
    with torch.no_grad():
        network(pictures(channels, size))
    network.eval()


@every_model
def test_saved_weights_make_the_same_network(model, preset, tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    network = built(model, preset)
    _run_once_in_training_mode(network, 1, 28)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    again = built(model, preset, seed=9).eval()
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    with torch.no_grad():
        assert torch.equal(logits_of(network, pictures(1)), logits_of(again, pictures(1)))


@every_model
def test_one_seed_gives_one_network_whatever_the_global_generator(model, preset) -> None:
    torch.manual_seed(1)
    first = built(model, preset, seed=4).state_dict()
    torch.manual_seed(2)
    second = built(model, preset, seed=4).state_dict()
    other = built(model, preset, seed=5).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


@pytest.mark.parametrize("model", PRESETS)
def test_a_grey_network_takes_colour_as_its_luma(model) -> None:
    network = built(model, widths=NARROW[model]).eval()
    grey = pictures(1)
    with torch.no_grad():
        torch.testing.assert_close(network(grey), network(grey.expand(-1, 3, -1, -1)))
        colour = pictures(3).float()
        weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
        luma = (colour * weights).sum(dim=1, keepdim=True)
        torch.testing.assert_close(network(colour), network(luma))


@pytest.mark.parametrize("model", PRESETS)
def test_sizes_from_16_to_96_and_widths_of_ones_own(model) -> None:
    for size in (16, 40, 96):
        network = built(model, size=size, widths=NARROW[model])
        assert logits_of(network, pictures(1, size)).shape == (6, OUTPUTS)
        assert (network.size, network.channels, network.crop) == (size, 1, 1.0)


def test_pictures_are_normalised_by_the_sample() -> None:
    sample = torch.cat([torch.full((2, 1, 16, 16), 51), torch.full((2, 1, 16, 16), 153)])
    network = build_network("mlp", 2, sample.to(torch.uint8))
    assert network.mean == pytest.approx((0.4,) * 3)
    assert network.std == pytest.approx((0.2,) * 3, rel=1e-3)
    values = network.normalised(sample)
    torch.testing.assert_close(values.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(values.std(), torch.tensor(1.0))


def test_pictures_that_are_all_alike_do_not_divide_by_nothing() -> None:
    flat = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)
    for model in PRESETS:
        network = build_network(model, 2, flat, widths=NARROW[model])
        assert torch.isfinite(network(flat)).all()


@both_channels
def test_the_residual_networks_first_layer_whitens(channels) -> None:
    generator = torch.Generator().manual_seed(0)
    rough = torch.randn(40, channels, 9, 9, generator=generator)
    smooth = nn.functional.interpolate(rough, 24, mode="bilinear")
    sample = (smooth * 50 + 128).clamp(0, 255).to(torch.uint8)
    network = build_network("resnet", 2, sample, widths=(8,))
    with torch.no_grad():
        seen = network.trunk[0](network.normalised(sample))
    flat = seen.transpose(0, 1).flatten(1)
    half = len(flat) // 2
    torch.testing.assert_close(flat[half:], -flat[:half])
    covariance = torch.cov(flat[:half])
    off = covariance - torch.diag(covariance.diag())
    assert off.abs().max() < 0.05 * covariance.diag().max()
    assert covariance.diag().min() > 0.3  # 1, but for directions of hardly any variance
    assert covariance.diag().max() < 1.1
    assert not network.trunk[0].weight.requires_grad


@pytest.mark.parametrize(
    ("way", "deviation"),
    [("zeros", 0), ("ones", 0), ("uniform", 3**-0.5), ("normal", 1), ("he", 2**0.5)],
)
def test_weights_are_drawn_as_asked(way, deviation) -> None:
    """The deviation times the root of the number of inputs."""
    network = built("mlp", initialisation=way)
    weight, inputs = network.trunk[1].weight.detach(), 28 * 28
    assert weight.mean().item() == pytest.approx(float(way == "ones"), abs=1e-3)
    assert weight.std().item() * inputs**0.5 == pytest.approx(deviation, rel=0.02)
    assert not network.trunk[1].bias.any()


def test_glorots_bound_counts_inputs_and_outputs() -> None:
    weight = built("mlp", initialisation="xavier").trunk[1].weight
    bound = (6 / (28 * 28 + 256)) ** 0.5
    assert bound * 0.99 < weight.abs().max().item() <= bound


def test_signs_is_the_classic_network() -> None:
    network = built("cnn", "signs")
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [75, 50, 25]
    dense = [m for m in network.modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in dense] == [(400, 512), (512, OUTPUTS)]


def test_options_reach_the_network() -> None:
    plain = built("mlp", dropout=0.0, batch_norm=False, widths=(7,))
    assert [type(m) for m in plain.trunk] == [nn.Flatten, nn.Linear, nn.ReLU]
    normed = built("mlp", dropout=0.5, batch_norm=True, widths=(7,))
    kinds = [nn.Flatten, nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout]
    assert [type(m) for m in normed.trunk] == kinds
    assert normed.trunk[-1].p == 0.5
    without = built("cnn", batch_norm=False)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in without.modules())
    dropped = built("resnet", dropout=0.25, widths=(8,))
    assert [m.p for m in dropped.modules() if isinstance(m, nn.Dropout)] == [0.25]


@pytest.mark.parametrize(
    ("model", "preset", "message"),
    [
        ("cn", "", r"model must be one of mlp, cnn, resnet; got 'cn'\. Did you mean 'cnn'\?"),
        ("cnn", "sign", r"preset of cnn must be one of .*; got 'sign'\. Did you mean 'signs'\?"),
    ],
)
def test_unknown_names_are_refused(model, preset, message) -> None:
    with pytest.raises(ConfigError, match=message):
        check_model(model, preset)


def test_an_unknown_initialisation_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"one of zeros, .*; got 'xaver'\. Did you mean 'xavier'"):
        built("mlp", initialisation="xaver")
