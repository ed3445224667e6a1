"""Turn a pretrained network into the files that everything else uses, once.

    cache/backbones/<name>-<size>-<key>/
        backbone.onnx        pixels (n, 3, S, S) uint8 -> features (n, d) float32
        weights.safetensors  the same weights for torch, the classifier's among them
        backbone.json        input, number of features, where the weights came from

A later run reads these and needs neither timm nor a torch model.
"""

import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from silverprint.backbones.registry import BackboneChoice
from silverprint.runtime.disk import writing_to_cache

FACTS = "backbone.json"
LAYOUT = 2  # part of the key: raise it when these files change their meaning


@dataclass(frozen=True)
class PreparedBackbone:
    """A network on disk, ready for any engine.

    Attributes:
        choice: the name and the weights it was made from.
        folder: where its files are.
        features: number of features d.
        size: side of the square input in pixels.
        mean: per channel on the scale 0..1.
        std: per channel on the scale 0..1.
        crop: share of the shorter side that the network's own evaluation keeps.
        parameters: number of weights, the classifier's not counted.
        classifier: whether the weights hold a linear ImageNet classifier.
    """

    choice: BackboneChoice
    folder: Path
    features: int
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop: float
    parameters: int
    classifier: bool

    @property
    def graph(self) -> Path:
        """The ONNX file."""
        return self.folder / "backbone.onnx"

    @property
    def int8_graph(self) -> Path:
        """The quantised ONNX file; made by backbones/quantise.py when int8 is first asked for."""
        return self.folder / "backbone-int8.onnx"

    @property
    def weights(self) -> Path:
        """The safetensors file."""
        return self.folder / "weights.safetensors"

    @property
    def key(self) -> str:
        """A digest of the architecture, the weights and the size."""
        return self.folder.name.rpartition("-")[2]


def prepare_backbone(
    choice: BackboneChoice,
    cache: Path,
    size: int | None = None,
    notify: Callable[[str], object] = print,
) -> PreparedBackbone:
    """Return the network's files, made now if they are not in the cache.

    Raises:
        BackboneError: the name is unknown, or weights are missing or do not fit.
    """
    name = choice.name.replace("/", "_").replace(".", "_")
    key = choice.identity()[:16]
    folder = cache / "backbones" / f"{name}-{size or 'own'}-v{LAYOUT}-{key}"
    if not (folder / FACTS).is_file():
        notify(f"preparing {choice.name} (once)")
        with writing_to_cache(cache):
            _make(choice, folder, size)
    return read_network(choice, folder)


def write_network(network: Any, choice: BackboneChoice, folder: Path) -> PreparedBackbone:
    """Write the same files for a network that was trained here.

    Args:
        network: pixels (n, 3, S, S) uint8 -> features (n, d); with size S, mean, std, crop and, for
            the weights file, a state dict.
        choice: what to call it.
        folder: written anew; what it holds is replaced.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with writing_to_cache(folder):
        folder.mkdir(parents=True)
        facts = _write_files(network, choice, folder)
        (folder / FACTS).write_text(json.dumps(facts, indent=2), "utf-8")
    return read_network(choice, folder)


def read_network(choice: BackboneChoice, folder: Path) -> PreparedBackbone:
    """Return the network whose files lie in a folder; backbone.json is written last of them."""
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text("utf-8"))
    return PreparedBackbone(
        choice=choice,
        folder=folder,
        features=facts["features"],
        size=facts["size"],
        mean=tuple(facts["mean"]),
        std=tuple(facts["std"]),
        crop=facts["crop"],
        parameters=facts["parameters"],
        classifier=facts["classifier"],
    )


def _make(choice: BackboneChoice, folder: Path, size: int | None) -> None:
    """Write all files under a temporary name, then rename; the first of two processes wins."""
    from silverprint.backbones.networks import load_backbone

    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=folder.parent))
    try:
        facts = _write_files(load_backbone(choice, size), choice, unfinished)
        (unfinished / FACTS).write_text(json.dumps(facts, indent=2), "utf-8")
        try:
            unfinished.rename(folder)
        except OSError:
            if not (folder / FACTS).is_file():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_files(network: Any, choice: BackboneChoice, folder: Path) -> dict[str, Any]:
    from safetensors.torch import save_file

    features = export_graph(network, network.size, folder / "backbone.onnx")
    save_file(
        {name: tensor.contiguous() for name, tensor in network.state_dict().items()},
        folder / "weights.safetensors",
        metadata={"architecture": choice.architecture},
    )
    return {
        "name": choice.name,
        "architecture": choice.architecture,
        "source": choice.source,
        "licence": choice.licence,
        "features": features,
        "size": network.size,
        "mean": list(network.mean),
        "std": list(network.std),
        "crop": network.crop,
        "parameters": sum(p.numel() for p in network.trunk.parameters()),
        "classifier": network.classifier is not None,
    }


def export_graph(module: Any, size: int, path: Path) -> int:
    """Write pixels (n, 3, size, size) uint8 -> features as ONNX; return the number of features."""
    import onnx
    import torch

    from silverprint.backbones.graphs import OPSET, fold_padding

    example = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    with torch.inference_mode():
        features = int(module(example).shape[1])
    with warnings.catch_warnings(), torch.no_grad():
        # The tracing exporter: same graph, a tenth of the time, one dependency less.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            str(path),
            input_names=["pixels"],
            output_names=["features"],
            dynamic_axes={"pixels": {0: "n"}, "features": {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
    onnx.save(fold_padding(onnx.load(path)), path)
    return features
