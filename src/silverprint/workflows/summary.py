"""`summary`: what a network is made of, whether it lies in a bundle or is only known by name."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import nn

from silverprint.backbones.networks import build_backbone
from silverprint.backbones.registry import PACKAGED, BackboneChoice
from silverprint.errors import ConfigError, SilverprintError
from silverprint.export.generative_network import load_whole
from silverprint.export.network import BundleNetwork, load_network, preprocessing_of
from silverprint.inspection.architecture import Architecture, describe
from silverprint.inspection.diagram import draw
from silverprint.inspection.figure import check_place, write_figure
from silverprint.models.catalogue import PRESETS, build_network, check_model
from silverprint.models.resnet import Whitening
from silverprint.models.stages import find_stages, parameters_by_stage
from silverprint.runtime.bundle import MANIFEST, Bundle, read_manifest
from silverprint.runtime.generative import TASKS, read_generative

SIDE, CHANNELS, CLASSES = 32, 3, 10  # of a small network that nobody has trained


def summarise(
    name: str, *, size: int | None = None, channels: int | None = None,
    classes: int | None = None, drawing: Path | None = None,
) -> Architecture:  # fmt: skip
    """Describe a bundle's network of any task, a pretrained one by name, or a small one.

    Args:
        name: a bundle's folder; a name that timm or torchvision knows, which is built without
            weights; or mlp, cnn or resnet, with a preset after a colon: cnn:signs.
        size: side of the input in pixels; None for the network's own.
        channels: of a small network's pictures, 1 or 3.
        classes: outputs of a small network.
        drawing: where to draw it, .svg or .png.

    Raises:
        SilverprintError: the name is unknown, or an argument outside its range.
    """
    place = None if drawing is None else check_place(drawing)
    model, _, preset = name.partition(":")
    small = model in PRESETS and not Path(name).exists()
    if not small and (channels, classes) != (None, None):
        raise ConfigError("--channels and --classes are for mlp, cnn and resnet; leave them out.")
    if size is not None and not 8 <= size <= 2048:
        raise ConfigError(f"size must lie within 8..2048 pixels; got {size}.")
    if _is_bundle(name):
        if size is not None:
            raise ConfigError("--size is for networks without a bundle; leave it out.")
        found = _bundled(name)
    elif small:
        found = _small(model, preset, size, channels, classes)
    else:
        found = _pretrained(name, size)
    if place is not None:
        write_figure(draw(found), place)
    return found


def describe_bundle(bundle: Bundle) -> Architecture:
    """Describe a bundle's network.

    Raises:
        BundleError: it cannot be built again.
    """
    network = load_network(bundle)
    size = preprocessing_of(bundle).size
    title = f"{bundle.manifest['name']} ({bundle.path.name})"
    learning = learning_parameters(bundle, network)
    return describe(network, torch.zeros(1, 3, size, size), title, learning)


def learning_parameters(bundle: Bundle, network: BundleNetwork) -> set[str]:
    """Return the names of the parameters that training changed."""
    names = [name for name, _ in network.named_parameters()]
    settings: dict[str, Any] = bundle.manifest.get("training", {}).get("settings", {})
    if "scratch" in settings:
        return set(names) - _found_not_trained(network)
    learning = {name for name in names if name.startswith("head.")} if settings else set()
    if "finetuning" not in settings:
        return learning
    size = preprocessing_of(bundle).size
    example = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    stages = find_stages(network.trunk, example)
    unfreeze = settings["finetuning"]["unfreeze"]
    count = len(stages) if unfreeze == "all" else min(int(unfreeze), len(stages))
    for stage in parameters_by_stage(network.trunk, stages)[len(stages) - count :]:
        learning |= {f"trunk.{name}" for name, _ in stage}
    return learning


def _found_not_trained(network: nn.Module) -> set[str]:
    """Return the weights that were computed from the pictures, not trained."""
    return {
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, Whitening)
    }


def _bundled(name: str) -> Architecture:
    """Describe what a bundle holds: a classifier, or a network that makes things."""
    path = Path(name)
    if not (path / MANIFEST).exists() or read_manifest(path).get("task") not in TASKS:
        return describe_bundle(_open(name))
    bundle = read_generative(path)
    whole = load_whole(bundle)
    # On "meta" an LSTM is run as products, which can be counted, and not as one fused operation.
    network, (first, *more) = whole.network.to("meta"), (one.to("meta") for one in whole.examples)
    title = f"{bundle.task} ({path.name})"
    learning = {name for name, _ in network.named_parameters()}
    each = "character" if bundle.task == "text" else "picture"
    return describe(network, first, title, learning, *more, each=each)


def _is_bundle(name: str) -> bool:
    from silverprint.workflows.pretrained import is_pretrained_name

    looks_like_a_path = "/" in name and ":" not in name
    return Path(name).exists() or is_pretrained_name(name) or looks_like_a_path


def _open(name: str) -> Bundle:
    from silverprint.workflows.predict import open_bundle

    return open_bundle(name)


def _small(
    model: str, preset: str, size: int | None, channels: int | None, classes: int | None
) -> Architecture:
    check_model(model, preset)
    channels = CHANNELS if channels is None else channels
    classes = CLASSES if classes is None else classes
    size = SIDE if size is None else size
    if channels not in (1, 3):
        raise ConfigError(f"channels must be 1 or 3; got {channels}.")
    if not 1 <= classes <= 100_000:
        raise ConfigError(f"classes must lie within 1..100000; got {classes}.")
    sample = torch.zeros(1, channels, size, size, dtype=torch.uint8)
    built = build_network(model, classes, sample, preset=preset).eval()
    network = BundleNetwork(built.trunk, built.classifier)
    learning = {name for name, _ in network.named_parameters()} - _found_not_trained(network)
    title = f"{model}:{preset or PRESETS[model][0]}"
    return describe(network, torch.zeros(1, channels, size, size), title, learning)


def _pretrained(name: str, size: int | None) -> Architecture:
    """Describe a pretrained network; without memory for its weights, where it can be built so."""
    try:
        return _pretrained_on("meta", name, size, ())
    except (SilverprintError, NotImplementedError, RuntimeError):
        return _pretrained_on("cpu", name, size, ())


def _pretrained_on(
    device: str, name: str, size: int | None, learning: Collection[str]
) -> Architecture:
    architecture = PACKAGED[name].architecture if name in PACKAGED else name
    choice = BackboneChoice(name, architecture, "trained here", None, "")
    with torch.device(device):
        backbone = build_backbone(choice, size)
        example = torch.zeros(1, 3, backbone.size, backbone.size)
    network = BundleNetwork(backbone.trunk, backbone.classifier or nn.Identity()).eval()
    return describe(network, example, name, learning)
