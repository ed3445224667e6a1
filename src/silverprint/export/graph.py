"""Join preprocessing, network and head to the one file that ships.

    images (n, h, w, 3) uint8 -> probabilities (n, classes) float32, distance (n,) float32

The nodes of the first two parts are those that ran while looking at the training pictures. The
distance is that of training/reference.py.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, utils

from silverprint.backbones.graphs import IR_VERSION, GraphBuilder, preprocess_graph
from silverprint.models.head import Head
from silverprint.runtime.preprocessing import Preprocessing
from silverprint.training.reference import SMALLEST, Familiar

Link = Literal["softmax", "sigmoid", "binary"]


def head_graph(
    head: Head, link: Link, temperature: float, classes: int,
    familiar: Familiar | None = None,
) -> onnx.ModelProto:  # fmt: skip
    """Return the graph features (n, d) -> probabilities (n, classes), distance (n,).

    Args:
        head: the fitted weights.
        link: "softmax"; "sigmoid" for each class alone; "binary" for one logit, which is of the
            second class.
        temperature: logits are divided by it.
        classes: number of classes.
        familiar: what makes the distance; without it there is none.
    """
    build = GraphBuilder("head")
    width = head.output_weight.shape[1]
    flowing = "features"
    if head.hidden_weight is not None:
        width = head.hidden_weight.shape[1]
        flowing = _linear(build, flowing, head.hidden_weight, head.hidden_bias)
        flowing = build.node("Relu", flowing)
    logits = _linear(build, flowing, head.output_weight, head.output_bias)
    divisor = build.constant(np.array(temperature, dtype=np.float32))
    calibrated = build.node("Div", logits, divisor)
    if link == "softmax":
        build.node("Softmax", calibrated, axis=-1, to="probabilities")
    elif link == "sigmoid":
        build.node("Sigmoid", calibrated, to="probabilities")
    else:
        second = build.node("Sigmoid", calibrated)
        first = build.node("Sigmoid", build.node("Neg", calibrated))
        build.node("Concat", first, second, axis=1, to="probabilities")
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", classes])]
    if familiar is not None:
        _distance(build, familiar, calibrated)
        outputs.append(helper.make_tensor_value_info("distance", TensorProto.FLOAT, ["n"]))
    return build.model(
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", width])], outputs
    )


def _distance(build: GraphBuilder, familiar: Familiar, logits: str) -> None:
    def number(value: float) -> str:
        return build.constant(np.array(value, dtype=np.float32))

    axis = build.constant([1])
    length = build.node("ReduceL2", "features", axis, keepdims=1)
    unit = build.node("Div", "features", build.node("Max", length, number(SMALLEST)))
    centres = np.ascontiguousarray(familiar.centres.T)
    cosines = build.node("MatMul", unit, build.constant(centres))
    far = build.node("Sub", number(1), build.node("ReduceMax", cosines, axis, keepdims=0))
    if familiar.energy_spread is None:
        build.node("Div", far, number(familiar.spread), to="distance")
        return
    minus_energy = build.node("ReduceLogSumExp", logits, axis, keepdims=0)
    build.node(
        "Sub", build.node("Div", far, number(familiar.spread)),
        build.node("Div", minus_energy, number(familiar.energy_spread)), to="distance",
    )  # fmt: skip


def _linear(build: GraphBuilder, flowing: str, weight: Any, bias: Any) -> str:
    named = build.constant(weight.astype(np.float32)), build.constant(bias.astype(np.float32))
    return build.node("Gemm", flowing, *named, transB=1)


def join(
    preprocessing: Preprocessing,
    backbone: onnx.ModelProto,
    head: onnx.ModelProto,
    metadata: Mapping[str, str],
) -> onnx.ModelProto:
    """Return the whole model, with metadata that any ONNX runtime shows."""
    front = compose.merge_models(
        _clean(preprocess_graph(preprocessing)),
        compose.add_prefix(
            _clean(backbone), "backbone/", rename_inputs=False, rename_outputs=False
        ),
        io_map=[("pixels", "pixels")],
    )
    model = compose.merge_models(front, _clean(head), io_map=[("features", "features")])
    with_one_opset(model)
    model.ir_version = IR_VERSION
    model.producer_name = "silverprint"
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=False)
    return model


def with_one_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """Name each operator set once; merging names it again for each part, which tools trip over."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*entry) for entry in versions.items())
    return model


def metadata_of(classes: Sequence[str], task: str, version: str) -> dict[str, str]:
    """Return what the ONNX file says of itself."""
    return {
        "classes": json.dumps(list(classes), ensure_ascii=False),
        "task": task,
        "silverprint": version,
    }


def head_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """Cut the head out of a whole model: features -> probabilities, and distance if it has it."""
    outputs = [output.name for output in model.graph.output]
    return utils.Extractor(model).extract_model(["features"], outputs)


def _clean(model: onnx.ModelProto) -> onnx.ModelProto:
    """Bring a part to the common IR version and drop its producer, which merging refuses to mix."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.ir_version = IR_VERSION
    copy.producer_name = copy.producer_version = ""
    del copy.graph.value_info[:]  # the int8 graph names its output there; a prefix would rename it
    return copy
