"""A pretrained network used as it is, with its own ImageNet classes, as a bundle in the cache."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

from silverprint.backbones.registry import DEFAULT_BACKBONE, choose_backbone
from silverprint.errors import BackboneError, MissingExtraError
from silverprint.runtime.bundle import MANIFEST, Bundle, read_bundle
from silverprint.runtime.paths import cache_folder

NAME = "imagenet"


def is_pretrained_name(name: str) -> bool:
    """Say whether this is "imagenet" or "imagenet:BACKBONE" and not a folder."""
    return name.partition(":")[0] == NAME and not Path(name).exists()


def pretrained_bundle(name: str = NAME, notify: Callable[[str], object] = print) -> Bundle:
    """Return the bundle of a network as it was pretrained, made now if it is not in the cache.

    Args:
        name: "imagenet" for the default network, "imagenet:vgg16" for another.
        notify: called with a line where something takes a while.

    Raises:
        BackboneError: the network is unknown, or has no linear ImageNet classifier.
        MissingExtraError: it must be made first, and the train extra is not installed.
    """
    backbone = name.partition(":")[2] or DEFAULT_BACKBONE
    choice = choose_backbone(backbone)
    folder = cache_folder() / "bundles" / f"{NAME}-{backbone}-{choice.identity()[:16]}"
    if not (folder / MANIFEST).is_file():
        notify(f"preparing {backbone} with its ImageNet classes (once)")
        try:
            _make(choice.name, folder, notify)
        except ImportError as error:
            raise MissingExtraError(f"preparing {name}", "train") from error
    try:
        return read_bundle(folder)
    except Exception:
        shutil.rmtree(folder)  # it is only a copy in the cache; the next call makes it again
        raise


def _make(backbone: str, folder: Path, notify: Callable[[str], object]) -> None:
    import numpy as np
    import onnx
    from safetensors.numpy import load_file

    from silverprint import __version__
    from silverprint.backbones.prepare import prepare_backbone
    from silverprint.export.bundle import write_manifest, writing_bundle
    from silverprint.export.graph import head_graph, join, metadata_of
    from silverprint.models.head import Head
    from silverprint.runtime.bundle import MODEL
    from silverprint.runtime.preprocessing import Preprocessing

    prepared = prepare_backbone(choose_backbone(backbone), cache_folder(), notify=notify)
    if not prepared.classifier:
        raise BackboneError(f"{backbone} has no linear ImageNet classifier to use as it is.")
    tensors = load_file(prepared.weights)
    weight, bias = tensors["classifier.weight"], tensors["classifier.bias"]
    classes = _class_names(len(weight))
    preprocessing = Preprocessing(
        size=prepared.size, fit="crop", crop=prepared.crop, mean=prepared.mean, std=prepared.std
    )
    head = head_graph(Head(np.asarray(weight), np.asarray(bias)), "softmax", 1.0, len(classes))
    with writing_bundle(folder) as unfinished:
        metadata = metadata_of(classes, "single-label", __version__)
        model = join(preprocessing, onnx.load(prepared.graph), head, metadata)
        onnx.save(model, unfinished / MODEL)
        write_manifest(
            unfinished,
            {
                "silverprint": __version__,
                "name": f"{NAME}:{backbone}",
                "task": "single-label",
                "classes": classes,
                "preprocessing": {
                    **preprocessing.to_json(),
                    "decode_side": preprocessing.decode_side,
                },
                "calibration": {"temperature": 1.0},
                "metrics": {},
                "licences": {"weights": prepared.choice.licence},
            },
        )


def _class_names(count: int) -> list[str]:
    """Return each class's first ImageNet name, with the number where two classes share it."""
    with warnings.catch_warnings(action="ignore"):  # in a notebook: that it has no ipywidgets
        from timm.data import ImageNetInfo

    if count != 1000:
        raise BackboneError(f"its classifier has {count} classes, not ImageNet's 1,000.")
    info = ImageNetInfo()
    names = [info.index_to_description(i).partition(",")[0] for i in range(count)]
    repeated = {name for name in names if names.count(name) > 1}
    return [f"{name} ({i})" if name in repeated else name for i, name in enumerate(names)]
