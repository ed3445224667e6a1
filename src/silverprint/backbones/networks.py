"""Pretrained networks as torch modules: build, load strictly, take the classifier off."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from silverprint.backbones.hub import check_reachable
from silverprint.backbones.registry import PACKAGED, BackboneChoice
from silverprint.errors import BackboneError, closest
from silverprint.models import efficientnet_lite

INPUT_OPTIONS = ("mean", "std", "size")


class Backbone(nn.Module):
    """A pretrained network without its classifier, and the input it was trained on.

    Attributes:
        trunk: (n, 3, S, S) float32, normalised -> (n, d) features.
        classifier: (n, d) features -> (n, classes) logits, or None where it is not linear.
        size: side S of the square input in pixels.
        mean: per channel on the scale 0..1.
        std: per channel on the scale 0..1.
        crop: share of the shorter side that the network's own evaluation keeps.
    """

    def __init__(
        self, trunk: nn.Module, classifier: nn.Linear | None, settings: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.classifier = classifier
        self.size = int(settings["size"])
        self.mean = cast(tuple[float, float, float], tuple(settings["mean"]))
        self.std = cast(tuple[float, float, float], tuple(settings["std"]))
        self.crop = float(settings["crop"])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalise pixels (n, 3, S, S) uint8 and return features (n, d) float32."""
        scale = pixels.new_tensor([1 / (255 * s) for s in self.std], dtype=torch.float32)
        shift = pixels.new_tensor(
            [-m / s for m, s in zip(self.mean, self.std, strict=True)], dtype=torch.float32
        )
        normalised = pixels.float() * scale.view(1, 3, 1, 1) + shift.view(1, 3, 1, 1)
        return cast(torch.Tensor, self.trunk(normalised).flatten(1))


def load_backbone(choice: BackboneChoice, size: int | None = None) -> Backbone:
    """Build the network in evaluation mode with its weights loaded.

    Raises:
        BackboneError: the name is unknown, or weights are missing or do not fit.
    """
    options = dict(choice.options)
    given = {key: options.pop(key) for key in INPUT_OPTIONS if key in options}
    network, settings = _build(choice, options, size)
    settings.update(_parse_input_options(given))
    if size is not None:
        settings["size"] = size
    if choice.weights is not None:
        _load_weights(network, choice)
    trunk, classifier = _split(network)
    backbone = Backbone(trunk, classifier, settings).eval()
    return backbone.requires_grad_(False)


def build_backbone(choice: BackboneChoice, size: int | None = None) -> Backbone:
    """Build the network with whatever weights it begins with: to load others, or to look at it.

    Raises:
        BackboneError: the name is unknown.
    """
    options = {key: value for key, value in choice.options if key not in INPUT_OPTIONS}
    network, settings = _build(choice, options, size, pretrained=False)
    settings.update(_parse_input_options(dict(choice.options)))
    if size is not None:
        settings["size"] = size
    trunk, classifier = _split(network)
    return Backbone(trunk, classifier, settings).eval().requires_grad_(False)


def reload_backbone(choice: BackboneChoice, size: int, weights: Path) -> Backbone:
    """Build the same network again from the safetensors file that was written beside its graph."""
    from safetensors.torch import load_file

    backbone = build_backbone(choice, size)
    backbone.load_state_dict(load_file(weights))
    return backbone


def _parse_input_options(given: Mapping[str, str]) -> dict[str, Any]:
    parsed: dict[str, Any] = {}
    for key in ("mean", "std"):
        if key not in given:
            continue
        try:
            values = [float(part) for part in given[key].split(",")]
        except ValueError:
            values = []
        if len(values) not in (1, 3):
            raise BackboneError(
                f"backbone option {key} takes one number or three with commas, on the scale 0..1; "
                f"got {given[key]!r}."
            )
        parsed[key] = values * 3 if len(values) == 1 else values
    if "size" in given:
        if not given["size"].isdecimal():
            raise BackboneError(
                f"backbone option size takes a whole number of pixels; got {given['size']!r}."
            )
        parsed["size"] = int(given["size"])
    return parsed


def _build(
    choice: BackboneChoice, options: Mapping[str, str], size: int | None, pretrained: bool = True
) -> tuple[nn.Module, dict[str, Any]]:
    """Create the architecture, by ourselves, with timm, or else with torchvision."""
    from_hub = pretrained and choice.source == "hub"
    name = choice.architecture
    if name in efficientnet_lite.SCALES and not options and not from_hub:
        return efficientnet_lite.EfficientNetLite(name), efficientnet_lite.input_of(name)
    with warnings.catch_warnings(action="ignore"):  # in a notebook: that it has no ipywidgets
        import timm
        import torchvision

    with _plain_words(choice):
        if timm.is_model(name):
            settings = _timm_settings(name)
            arguments = dict(options)
            if size not in (None, settings["size"]) and "vit" in name:
                arguments["img_size"] = str(size)
            if from_hub and (source := timm.get_pretrained_cfg(name)):
                check_reachable(cast("str | None", source.url), source.hf_hub_id)
            network = timm.create_model(
                name, pretrained=from_hub, exportable=True, **_literals(arguments)
            )
            return network, settings
        if name in torchvision.models.list_models(module=torchvision.models):
            weights = "DEFAULT" if from_hub else None
            if from_hub:
                check_reachable(torchvision.models.get_model_weights(name).DEFAULT.url)
            network = torchvision.models.get_model(name, weights=weights, **_literals(options))
            return network, _torchvision_settings(name)
    known = [*PACKAGED, *timm.list_models(), *torchvision.models.list_models()]
    raise BackboneError(
        f"backbone {choice.name!r} is not known.{closest(choice.name, known)} "
        "`silverprint backbones` lists the names."
    )


@contextlib.contextmanager
def _plain_words(choice: BackboneChoice) -> Iterator[None]:
    """Turn what the libraries and hubs raise into one sentence with a next step."""
    tries = logging.getLogger("huggingface_hub.utils._http")
    before = tries.level
    tries.setLevel(logging.ERROR)  # each try's warning says what the sentence will say
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except BackboneError:
        raise
    except TypeError as error:
        raise BackboneError(
            f"backbone {choice.name!r} does not take that option: {error}"
        ) from None
    except Exception as error:
        if choice.source != "hub":
            raise
        reason = " ".join([f"{type(error).__name__}:", *str(error).splitlines()[:1]])
        raise BackboneError(
            f"backbone {choice.name!r}: its weights could not be fetched from the hub "
            f"({reason[:200].rstrip(':')}). "
            "Where there is no network, download the weights file elsewhere and give it with "
            f"--weights FILE, or use one of {', '.join(PACKAGED)}."
        ) from error
    finally:
        tries.setLevel(before)


def _literals(options: Mapping[str, str]) -> dict[str, Any]:
    """Read option values as numbers and booleans where they look like it."""
    words: dict[str, Any] = {"true": True, "false": False, "none": None}
    parsed: dict[str, Any] = {}
    for key, value in options.items():
        number = value.lstrip("-").replace(".", "", 1)
        kind = float if "." in value else int
        parsed[key] = kind(value) if number.isdigit() else words.get(value.lower(), value)
    return parsed


def _timm_settings(name: str) -> dict[str, Any]:
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None:
        config = timm.models.PretrainedCfg()
    return {
        "size": config.input_size[-1],
        "mean": config.mean,
        "std": config.std,
        "crop": config.crop_pct,
    }


def _torchvision_settings(name: str) -> dict[str, Any]:
    import torchvision

    preset = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    size = preset.crop_size[0]
    return {
        "size": size,
        "mean": preset.mean,
        "std": preset.std,
        "crop": size / preset.resize_size[0],
    }


def _load_weights(network: nn.Module, choice: BackboneChoice) -> None:
    """Load a safetensors or torch file, by name, or in order for the packaged files."""
    assert choice.weights is not None
    given = read_weights(choice.weights)
    expected = network.state_dict()
    counters = {key for key in expected if key.endswith("num_batches_tracked")}
    if choice.source == "package":
        # The packaged files use other names for the same tensors in the same order.
        values = [v for key, v in given.items() if not key.endswith("num_batches_tracked")]
        names = [key for key in expected if key not in counters]
        if len(values) == len(names):
            given = dict(zip(names, values, strict=True))
    given.update({key: expected[key] for key in counters - set(given)})
    if problems := misfits(expected, given):
        raise BackboneError(
            f"weights {choice.weights} do not fit {choice.architecture}: {problems}."
        )
    network.load_state_dict(given)


def misfits(
    expected: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor], most: int = 3
) -> str:
    """Say why tensors cannot be a network's: what is missing, too much, or of another shape."""
    problems = [f"{key} is missing" for key in expected if key not in given]
    problems += [f"{key} is not in the network" for key in given if key not in expected]
    problems += [
        f"{key} is {tuple(given[key].shape)}, expected {tuple(expected[key].shape)}"
        for key in expected
        if key in given and given[key].shape != expected[key].shape
    ]
    more = f" and {len(problems) - most} more" if len(problems) > most else ""
    return "; ".join(problems[:most]) + more


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict from safetensors or from a torch file; no pickled code is run.

    Raises:
        BackboneError: the file is neither, is damaged, or holds anything but tensors.
    """
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BackboneError(
            f"weights file {path} cannot be read as safetensors or as a torch state dict of "
            f"tensors ({type(error).__name__}); give a .safetensors or .pth file."
        ) from error
    if isinstance(loaded, dict):
        for wrapper in ("state_dict", "model"):
            if isinstance(loaded.get(wrapper), dict):
                loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not all(torch.is_tensor(v) for v in loaded.values()):
        raise BackboneError(f"weights file {path} does not hold a state dict of tensors.")
    return cast(dict[str, torch.Tensor], loaded)


def _split(network: nn.Module) -> tuple[nn.Module, nn.Linear | None]:
    """Take the last linear layer off; what is left gives the features it was fed."""
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        features = getattr(network, "features", None)
        if features is None:
            raise BackboneError(
                f"{type(network).__name__} ends in no linear layer and has no `features`; "
                "it cannot be used as a backbone."
            )
        return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten()), None
    parent_name, _, leaf = linear[-1].rpartition(".")
    parent = network.get_submodule(parent_name)
    classifier = cast(nn.Linear, getattr(parent, leaf))
    setattr(parent, leaf, nn.Identity())
    return network, classifier
