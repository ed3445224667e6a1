"""The training pictures that a network sees as most like a given one."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from silverprint.backbones.engines import shipping_engines
from silverprint.backbones.look import Look, look
from silverprint.backbones.prepare import (
    FACTS,
    PreparedBackbone,
    prepare_backbone,
    read_network,
    write_network,
)
from silverprint.backbones.registry import BackboneChoice, choose_backbone
from silverprint.data.conventions import counted
from silverprint.data.table import Dataset, Source
from silverprint.errors import BackboneError, DataError
from silverprint.export.network import PRETRAINED, BundleNetwork, normalise, preprocessing_of
from silverprint.runtime.bundle import WEIGHTS, Bundle
from silverprint.runtime.paths import cache_folder
from silverprint.training.progress import Progress


@dataclass(frozen=True)
class Neighbour:
    """A training picture.

    Attributes:
        file: its name.
        label: its class, or its classes joined by "|".
        similarity: cosine of the features, at most 1.
        source: where the picture is.
    """

    file: str
    label: str
    similarity: float
    source: Source = field(repr=False)


def nearest(
    bundle: Bundle, network: BundleNetwork, image: bytes, pixels: Tensor, dataset: Dataset,
    count: int, progress: Progress,
) -> tuple[list[Neighbour], list[str]]:  # fmt: skip
    """Return the nearest training pictures, and what the user should know.

    A frozen network has looked at the training pictures once, so their features lie in the cache.
    A network that was trained itself looks at them now, and its features are kept too.

    Args:
        bundle: the model.
        network: its network.
        image: the picture's bytes; a training picture of the same bytes is left out.
        pixels: (1, 3, S, S), normalised.
        dataset: the training pictures, and perhaps others.
        count: how many to return.
        progress: shows what takes a while.

    Raises:
        DataError: there are no training pictures.
    """
    rows = dataset.rows("train")
    if not len(rows):
        raise DataError(
            f"{dataset.name} has no training pictures; --pictures takes what was given to train."
        )
    seen = look_with_bundle(bundle, network, dataset, rows, progress)
    if not len(seen.rows):
        raise DataError(f"{dataset.name}: none of its {len(rows)} training pictures can be read.")
    with torch.no_grad():
        query = network.features(pixels)[0].numpy()
    features = seen.features()
    lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(query)
    similarity = features @ query / np.maximum(lengths, 1e-12)
    same = hashlib.sha256(image).digest()
    order = [i for i in np.argsort(-similarity, kind="stable") if seen.digests[i] != same]
    notices = []
    if len(order) < len(seen.rows):
        notices.append("The picture itself is among the training pictures, and was left out.")
    if seen.refused:
        notices.append(f"{len(seen.refused)} training pictures could not be read.")
    chosen = [(int(seen.rows[i]), float(similarity[i])) for i in order[:count]]
    found = [
        Neighbour(dataset.names[row], label_of(dataset, row), close, dataset.sources[row])
        for row, close in chosen
    ]
    return found, notices


def label_of(dataset: Dataset, row: int) -> str:
    """Return a picture's class, or its classes joined by "|"."""
    label = dataset.labels[row]
    if dataset.task == "single-label":
        return dataset.classes[int(label)]
    return "|".join(name for name, has in zip(dataset.classes, label, strict=True) if has)


def look_with_bundle(
    bundle: Bundle, network: BundleNetwork, dataset: Dataset, rows: np.ndarray, progress: Progress,
    what: str = "training picture",
) -> Look:  # fmt: skip
    """Look at pictures as the bundle's network does, with the cache that training used."""
    frozen = _prepared_as_trained(bundle, network, progress)
    prepared = frozen or _prepared_from(bundle, network)
    engines = shipping_engines("f32")
    if frozen is not None and "architecture" in bundle.manifest:
        engines = [bundle.manifest["architecture"]["engine"], *engines]
    text = f"looking at {counted(len(rows), what)}"
    with progress.stage("look", len(rows), text) as advance:
        return look(
            prepared, preprocessing_of(bundle), dataset.sources, dataset.names,
            cache=cache_folder(), engine=list(dict.fromkeys(engines)), rows=rows, advance=advance,
        )  # fmt: skip


def _prepared_as_trained(
    bundle: Bundle, network: BundleNetwork, progress: Progress
) -> PreparedBackbone | None:
    """Return the frozen network that looked while training; None if the bundle's is another."""
    from safetensors.torch import load_file

    name = str(bundle.manifest["name"]).removeprefix(PRETRAINED)
    settings: dict[str, Any] = {"backbone": name, "size": None, "backbone_options": {}}
    if "training" in bundle.manifest:
        settings = bundle.manifest["training"]["settings"]
    if "scratch" in settings or "finetuning" in settings or settings.get("weights"):
        return None
    try:
        choice = choose_backbone(settings["backbone"], None, settings["backbone_options"])
        prepared = prepare_backbone(choice, cache_folder(), settings["size"], progress.say)
    except BackboneError:
        return None  # its weights can no longer be had; the bundle has its own
    weights = load_file(prepared.weights)
    own = network.trunk.state_dict()
    same = all(
        f"trunk.{key}" in weights and torch.equal(weights[f"trunk.{key}"], own[key]) for key in own
    )
    return prepared if same else None


class _Features(nn.Module):
    """Pixels (n, 3, S, S) uint8 -> features, with what the files of a network tell."""

    def __init__(self, bundle: Bundle, network: BundleNetwork) -> None:
        super().__init__()
        self._preprocessing = preprocessing_of(bundle)
        self.colour, self.trunk = network.colour, network.trunk
        self.classifier = None
        self.size, self.crop = self._preprocessing.size, 1.0
        self.mean, self.std = self._preprocessing.mean, self._preprocessing.std

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features (n, d)."""
        normalised = normalise(pixels, self._preprocessing)
        features: Tensor = self.trunk(self.colour(normalised)).flatten(1)
        return features


def _prepared_from(bundle: Bundle, network: BundleNetwork) -> PreparedBackbone:
    """Write the bundle's own network into the cache, once, so that it can look like any other."""
    name = f"bundle-{bundle.path.resolve().name}"
    choice = BackboneChoice(name, name, "trained here", None, "")
    digest = bundle.manifest["files"][WEIGHTS][:16]
    folder: Path = cache_folder() / "backbones" / f"{name}-{digest}"
    if (folder / FACTS).is_file():
        return read_network(choice, folder)
    # Unless all of it is in evaluation mode, the exporter leaves all of it in training mode.
    return write_network(_Features(bundle, network).eval(), choice, folder)
