"""A bundle's network as torch layers, built again from weights.safetensors.

What a bundle runs is model.onnx. This is for what needs the layers themselves: looking inside the
network, and other formats that are written from torch.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from silverprint.backbones.networks import misfits
from silverprint.errors import BundleError
from silverprint.runtime.bundle import WEIGHTS, Bundle
from silverprint.runtime.luma import LUMA
from silverprint.runtime.preprocessing import Preprocessing

PRETRAINED = "imagenet:"


class Luma(nn.Module):
    """Colour -> grey, for a network that was trained on grey pictures."""

    def __init__(self) -> None:
        super().__init__()
        luma = torch.tensor(LUMA).reshape(1, 3, 1, 1)
        self.register_buffer("luma", luma, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (n, 1, S, S) of (n, 3, S, S)."""
        assert isinstance(self.luma, Tensor)
        return (pixels * self.luma).sum(dim=1, keepdim=True)


class BundleNetwork(nn.Module):
    """Normalised pixels (n, 3, S, S) float32 -> logits (n, outputs).

    Attributes:
        colour: what is done about colour before the trunk.
        trunk: -> features (n, d), or (n, d, 1, 1).
        head: features -> logits.
    """

    def __init__(self, trunk: nn.Module, head: nn.Module, grey: bool = False) -> None:
        super().__init__()
        self.colour = Luma() if grey else nn.Identity()
        self.trunk = trunk
        self.head = head

    def features(self, pixels: Tensor) -> Tensor:
        """Return features (n, d)."""
        features: Tensor = self.trunk(self.colour(pixels)).flatten(1)
        return features

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (n, outputs), not yet divided by the temperature."""
        logits: Tensor = self.head(self.features(pixels))
        return logits


def load_network(bundle: Bundle) -> BundleNetwork:
    """Build a bundle's network with its weights, in evaluation mode; nothing of it learns.

    An int8 bundle's is the network that was quantised.

    Raises:
        BundleError: the bundle does not say what its network is, or the weights do not fit it.
        BackboneError: this release does not know the network.
    """
    name = str(bundle.manifest.get("name", ""))
    if "architecture" not in bundle.manifest and name.startswith(PRETRAINED):
        network = _as_pretrained(name.removeprefix(PRETRAINED))
    else:
        network = _from_weights(bundle)
    return network.eval().requires_grad_(False)


def preprocessing_of(bundle: Bundle) -> Preprocessing:
    """Return how a picture becomes the network's input."""
    known = {field.name for field in dataclasses.fields(Preprocessing)}
    given = {key: value for key, value in bundle.manifest["preprocessing"].items() if key in known}
    for key in ("mean", "std"):
        given[key] = tuple(given[key])
    return Preprocessing(**given)


def normalise(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return what the network takes, (n, 3, S, S) float32, of pixels on the scale 0..255."""
    shape = (1, 3, 1, 1)
    mean, std = (
        torch.tensor(given).reshape(shape) for given in (preprocessing.mean, preprocessing.std)
    )
    return (pixels.float() / 255 - mean) / std


def _as_pretrained(name: str) -> BundleNetwork:
    from silverprint.backbones.networks import load_backbone
    from silverprint.backbones.registry import choose_backbone

    backbone = load_backbone(choose_backbone(name))
    assert backbone.classifier is not None, "the bundle was made from its classifier"
    return BundleNetwork(backbone.trunk, nn.Sequential(backbone.classifier))


def _from_weights(bundle: Bundle) -> BundleNetwork:
    from safetensors.torch import load_file

    path = bundle.path / WEIGHTS
    try:
        tensors = load_file(path)
        facts: Any = bundle.manifest["architecture"]
        settings: Any = bundle.manifest["training"]["settings"]
        head = _head(_below("head.", tensors))
        trunk = _below("backbone.trunk.", tensors)
        scratch = settings.get("scratch")
        if scratch is None:
            network = BundleNetwork(_pretrained_trunk(bundle, facts, settings), head)
        else:
            channels = _channels(trunk, preprocessing_of(bundle).size)
            built = _small_trunk(bundle, scratch, channels)
            network = BundleNetwork(built, head, grey=channels == 1)
    except (OSError, KeyError, TypeError) as error:
        raise BundleError(
            f"{bundle.path}: its network cannot be built again ({type(error).__name__}: {error}); "
            "use a bundle that `silverprint train` wrote."
        ) from None
    _load(network.trunk, trunk, bundle)
    return network


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _pretrained_trunk(bundle: Bundle, facts: Any, settings: Any) -> nn.Module:
    from silverprint.backbones.networks import build_backbone
    from silverprint.backbones.registry import PACKAGED, BackboneChoice

    name = facts["backbone"]
    architecture = PACKAGED[name].architecture if name in PACKAGED else name
    options = tuple(sorted(settings.get("backbone_options", {}).items()))
    choice = BackboneChoice(name, architecture, "trained here", None, "", options)
    return build_backbone(choice, preprocessing_of(bundle).size).trunk


def _small_trunk(bundle: Bundle, scratch: Mapping[str, Any], channels: int) -> nn.Module:
    from silverprint.models.catalogue import build_network

    size = preprocessing_of(bundle).size
    sample = torch.zeros(1, channels, size, size, dtype=torch.uint8)  # says the shape, no more
    given = {key: scratch[key] for key in ("preset", "dropout", "batch_norm")}
    widths = tuple(scratch["widths"])
    return build_network(scratch["model"], 1, sample, widths=widths, **given).trunk


def _channels(trunk: Mapping[str, Tensor], size: int) -> int:
    """Return 1 or 3: of the first layer's inputs, which are pixels where it is a linear one."""
    first = trunk[min(name for name in trunk if trunk[name].ndim > 1)]
    return first.shape[1] if first.ndim == 4 else first.shape[1] // size**2


def _head(tensors: Mapping[str, Tensor]) -> nn.Sequential:
    """Return the linear layers, with a ReLU between two."""
    layers = nn.Sequential()
    for name in ("hidden", "output"):
        if name == "hidden" and "hidden.weight" not in tensors:
            continue
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.load_state_dict({"weight": weight, "bias": bias})
        layers.add_module(name, layer)
        if name == "hidden":
            layers.add_module("relu", nn.ReLU())
    return layers


def _load(trunk: nn.Module, tensors: Mapping[str, Tensor], bundle: Bundle) -> None:
    if problems := misfits(trunk.state_dict(), tensors):
        raise BundleError(
            f"{bundle.path / WEIGHTS} does not fit the network that bundle.json names: "
            f"{problems}; get the bundle again."
        )
    trunk.load_state_dict(tensors)
