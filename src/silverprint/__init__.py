"""From a folder of pictures to a tested, explained, deployable model.

    import silverprint as sp

    photos = sp.read("photos/")
    model = sp.train(photos)
    print(model.metrics["validation"]["accuracy"])
    print(model.predict("x.jpg").label)
    model.save("bundle/")

Importing this is quick: torch is imported when something is trained, ONNX Runtime when something is
predicted.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from silverprint.api.arrays import features, list_backbones, load_backbone, pixels
    from silverprint.api.classifiers import audit, compare, train, tune
    from silverprint.api.making import generate, stylize, write
    from silverprint.api.model import Model, load
    from silverprint.data.named import list_datasets
    from silverprint.data.read import read
    from silverprint.data.table import Dataset
    from silverprint.errors import (
        BackboneError,
        BundleError,
        ConfigError,
        DataError,
        ExportError,
        ImageError,
        MissingExtraError,
        ServerError,
        SilverprintError,
    )
    from silverprint.runtime.generative import GenerativeBundle, read_generative
    from silverprint.runtime.images import decode
    from silverprint.runtime.predictor import Prediction
    from silverprint.runtime.text import Taste, TextModel, read_text_model
    from silverprint.workflows.latent import sample, walk
    from silverprint.workflows.reconstruct import reconstruct

_HOMES = {
    "silverprint.api.arrays": ("features", "list_backbones", "load_backbone", "pixels"),
    "silverprint.api.classifiers": ("audit", "compare", "train", "tune"),
    "silverprint.api.making": ("generate", "stylize", "write"),
    "silverprint.api.model": ("Model", "load"),
    "silverprint.data.named": ("list_datasets",),
    "silverprint.data.read": ("read",),
    "silverprint.data.table": ("Dataset",),
    "silverprint.errors": (
        "BackboneError",
        "BundleError",
        "ConfigError",
        "DataError",
        "ExportError",
        "ImageError",
        "MissingExtraError",
        "ServerError",
        "SilverprintError",
    ),
    "silverprint.runtime.generative": ("GenerativeBundle", "read_generative"),
    "silverprint.runtime.images": ("decode",),
    "silverprint.runtime.predictor": ("Prediction",),
    "silverprint.runtime.text": ("Taste", "TextModel", "read_text_model"),
    "silverprint.workflows.latent": ("sample", "walk"),
    "silverprint.workflows.reconstruct": ("reconstruct",),
}

__all__ = [  # noqa: RUF022 - in the order a reader meets them
    "__version__",
    "read",
    "pixels",
    "features",
    "train",
    "tune",
    "compare",
    "load",
    "load_backbone",
    "audit",
    "generate",
    "sample",
    "walk",
    "reconstruct",
    "stylize",
    "write",
    "read_generative",
    "read_text_model",
    "Dataset",
    "Model",
    "Prediction",
    "GenerativeBundle",
    "TextModel",
    "Taste",
    "decode",
    "list_backbones",
    "list_datasets",
    "SilverprintError",
    "BackboneError",
    "BundleError",
    "ConfigError",
    "DataError",
    "ExportError",
    "ImageError",
    "MissingExtraError",
    "ServerError",
]


_OF_A_MODEL = ("evaluate", "explain", "predict")  # verbs that take a bundle


def __getattr__(name: str) -> Any:
    import importlib
    import sys

    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    instead = f"; a model has it: load(bundle).{name}" if name in _OF_A_MODEL else ""
    # With both keywords Python adds "Did you mean ...?" where it prints the traceback.
    raise AttributeError(
        f"module 'silverprint' has no attribute {name!r}{instead}",
        name=name, obj=sys.modules[__name__],
    )  # fmt: skip


def __dir__() -> list[str]:
    return list(__all__)
