"""The ONNX graphs that a model is assembled from.

    images (n, h, w, 3) uint8  --preprocess-->  pixels (n, 3, S, S) uint8
                               --backbone--->   features (n, d) float32     (backbones/prepare.py)
                               --head------->   probabilities (n, classes)  (export/graph.py)

Each part is run alone while training and joined to model.onnx at the end: the same nodes.
"""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from silverprint.runtime.preprocessing import Preprocessing

OPSET = 19
IR_VERSION = 9


class GraphBuilder:
    """Collects nodes and integer constants under one name prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: int | list[int] | np.ndarray) -> str:
        """Add a constant (int64 unless an array says otherwise) and return its name."""
        name = f"{self.prefix}/constant_{len(self.constants)}"
        array = values if isinstance(values, np.ndarray) else np.array(values, dtype=np.int64)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, operator: str, *inputs: str, to: str | None = None, **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        output = to or f"{self.prefix}/{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, list(inputs), [output], name=output, **attributes)
        )
        return output

    def model(
        self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """Return the graph as a checked model."""
        graph = helper.make_graph(self.nodes, self.prefix, inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        return model


def preprocess_graph(preprocessing: Preprocessing) -> onnx.ModelProto:
    """Return the graph images (n, h, w, 3) uint8 -> pixels (n, 3, S, S) uint8.

    Sizes are computed with integers, so every runtime finds the same ones.
    """
    build = GraphBuilder("preprocess")
    planes = build.node("Transpose", "images", perm=[0, 3, 1, 2])
    shape = build.node("Shape", planes)
    sides = build.node("Slice", shape, build.constant([2]), build.constant([4]))
    if preprocessing.fit == "crop":
        planes = _central_square(build, planes, sides, preprocessing.crop)
    if preprocessing.fit == "pad":
        target = _longest_side(build, sides, preprocessing.size)
    else:
        target = build.constant([preprocessing.size] * 2)
    first = build.node("Slice", shape, build.constant([0]), build.constant([2]))
    sizes = build.node("Concat", first, target, axis=0)
    # exclude_outside makes the kernel stop at the picture's edge, as Pillow's does.
    resized = build.node(
        "Resize",
        *(planes, "", "", sizes),
        mode="cubic",
        cubic_coeff_a=-0.5,
        antialias=1,
        exclude_outside=1,
        coordinate_transformation_mode="half_pixel",
        **({} if preprocessing.fit == "pad" else {"to": "pixels"}),
    )
    if preprocessing.fit == "pad":
        _centre_on_black(build, resized, target, preprocessing.size)
    size = preprocessing.size
    return build.model(
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", "height", "width", 3])],
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 3, size, size])],
    )


def _central_square(build: GraphBuilder, planes: str, sides: str, crop: float) -> str:
    """Cut the central square whose side is the shorter side times `crop`."""
    shorter = build.node("ReduceMin", sides, keepdims=1)
    thousandths = build.node("Mul", shorter, build.constant([round(crop * 1000)]))
    rounded = build.node("Add", thousandths, build.constant([500]))
    side = build.node("Max", build.node("Div", rounded, build.constant([1000])), build.constant(1))
    start = build.node("Div", build.node("Sub", sides, side), build.constant([2]))
    end = build.node("Add", start, side)
    return build.node("Slice", planes, start, end, build.constant([2, 3]))


def _longest_side(build: GraphBuilder, sides: str, size: int) -> str:
    """Return (height, width) scaled so that the longer side is `size`, rounded, at least 1."""
    longest = build.node("ReduceMax", sides, keepdims=1)
    doubled = build.node("Mul", sides, build.constant([2 * size]))
    scaled = build.node(
        "Div",
        build.node("Add", doubled, longest),
        build.node("Mul", longest, build.constant([2])),
    )
    return build.node("Max", scaled, build.constant(1))


def _centre_on_black(build: GraphBuilder, planes: str, content: str, size: int) -> None:
    """Pad the content to a black square."""
    missing = build.node("Sub", build.constant([size] * 2), content)
    before = build.node("Div", missing, build.constant([2]))
    after = build.node("Sub", missing, before)
    none = build.constant([0, 0])
    pads = build.node("Concat", none, before, none, after, axis=0)
    black = build.constant(np.zeros((), dtype=np.uint8))
    build.node("Pad", planes, pads, black, mode="constant", to="pixels")
