"""A bundle that tells red from green from blue, made in milliseconds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from silverprint.backbones.graphs import GraphBuilder
from silverprint.export.bundle import write_manifest, writing_bundle
from silverprint.export.graph import head_graph, join, metadata_of
from silverprint.models.head import Head
from silverprint.runtime.bundle import MODEL
from silverprint.runtime.preprocessing import Preprocessing
from silverprint.training.reference import Familiar

SIZE = 16


def mean_colour() -> onnx.ModelProto:
    """pixels (n, 3, S, S) uint8 -> features (n, 3): the mean of each channel."""
    build = GraphBuilder("backbone")
    numbers = build.node("DequantizeLinear", "pixels", build.constant(np.ones((), np.float32)))
    pooled = build.node("GlobalAveragePool", numbers)
    build.node("Flatten", pooled, to="features")
    return build.model(
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3])],
    )


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Write a bundle whose classes are the strongest of red, green and blue."""

    def make(
        name: str = "bundle",
        classes: Sequence[str] = ("red", "green", "blue"),
        task: str = "single-label",
        distance: bool = False,
        **changed: Any,
    ) -> Path:
        weight = np.resize(np.eye(3, dtype=np.float32) / 16, (len(classes), 3))
        head = Head(weight, np.full(len(classes), -6, np.float32))
        preprocessing = Preprocessing(size=SIZE, fit="squash")
        link = "sigmoid" if task == "multi-label" else "softmax"
        familiar = Familiar(np.eye(3, dtype=np.float32)) if distance else None
        graph = head_graph(head, link, 1.0, len(classes), familiar)
        with writing_bundle(tmp_path / name) as folder:
            metadata = metadata_of(classes, task, "0")
            onnx.save(join(preprocessing, mean_colour(), graph, metadata), folder / MODEL)
            described = {
                "task": task,
                "classes": list(classes),
                "preprocessing": {**preprocessing.to_json(), "decode_side": SIZE},
                "metrics": {},
            }
            write_manifest(folder, {**described, **changed})
        return tmp_path / name

    return make
