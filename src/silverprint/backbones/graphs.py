"""The ONNX graphs that a model is assembled from.

    images (n, h, w, 3) uint8  --preprocess-->  pixels (n, 3, S, S) uint8
                               --backbone--->   features (n, d) float32     (backbones/prepare.py)
                               --head------->   probabilities (n, classes)  (export/graph.py)

Each part is run alone while training and joined to model.onnx at the end: the same nodes.
"""

from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference, utils

from silverprint.runtime.preprocessing import Preprocessing

OPSET = 19
IR_VERSION = 9
BLOCK = 12  # results that share a window of inputs: 8 to 16 are equally fast, 28 takes a sixth more
LARGE = 2**21  # pixels of a picture above which memory matters more than time


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

    def cast(self, value: str, kind: int) -> str:
        """Add a Cast and return its output's name."""
        output = f"{self.prefix}/cast_{len(self.nodes)}"
        self.nodes.append(helper.make_node("Cast", [value], [output], name=output, to=kind))
        return output

    def node(self, operator: str, *inputs: str, to: str | None = None, **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        output = to or f"{self.prefix}/{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, list(inputs), [output], name=output, **attributes)
        )
        return output

    def branch(self, output: str, kind: int, dimensions: int) -> onnx.GraphProto:
        """Return the graph as one side of an If, which may use values from around it."""
        shape = [None] * dimensions
        outputs = [helper.make_tensor_value_info(output, kind, shape)]
        return helper.make_graph(self.nodes, self.prefix, [], outputs, self.constants)

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
    size = preprocessing.size
    images, sides = "images", _sides(build, "images")
    if preprocessing.fit == "crop":
        images = _central_square(build, images, sides, preprocessing.crop)
        sides = _sides(build, images)
    if preprocessing.fit == "pad":
        target = _longest_side(build, sides, size)
    else:
        target = build.constant([size] * 2)
    resized = build.node(
        "If",
        build.node("Greater", build.node("ReduceProd", sides), build.constant([LARGE])),
        then_branch=_resize_large(images, target),
        else_branch=_resize(images, sides, target),
        **({} if preprocessing.fit == "pad" else {"to": "pixels"}),
    )
    if preprocessing.fit == "pad":
        _centre_on_black(build, resized, target, size)
    return build.model(
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", "height", "width", 3])],
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 3, size, size])],
    )


def _sides(build: GraphBuilder, images: str) -> str:
    """Return [height, width] of images (n, h, w, 3)."""
    shape = build.node("Shape", images)
    return build.node("Slice", shape, build.constant([1]), build.constant([3]))


# ---- Resizing: cubic with antialiasing, across and then down, rounded between, as in Pillow ----


def _resize_large(images: str, target: str) -> onnx.GraphProto:
    """Resize with the operator made for it: slow, but it needs little memory beside the picture."""
    build = GraphBuilder("resize_large")
    planes = build.node("Transpose", images, perm=[0, 3, 1, 2])
    shape = build.node("Shape", planes)
    first = build.node("Slice", shape, build.constant([0]), build.constant([2]))
    # exclude_outside makes the kernel stop at the picture's edge, as Pillow's does.
    resized = build.node(
        "Resize",
        *(planes, "", "", build.node("Concat", first, target, axis=0)),
        mode="cubic",
        cubic_coeff_a=-0.5,
        antialias=1,
        exclude_outside=1,
        coordinate_transformation_mode="half_pixel",
    )
    return build.branch(resized, TensorProto.UINT8, 4)


def _resize(images: str, sides: str, target: str) -> onnx.GraphProto:
    """Resize by matrix products, which take half the operator's time."""
    build = GraphBuilder("resize")
    height, width = (build.node("Gather", sides, build.constant([axis])) for axis in (0, 1))
    new_height, new_width = (build.node("Gather", target, build.constant([i])) for i in (0, 1))
    size = partial(build.node, "Concat", axis=0)
    rest = build.constant([-1])
    channels = build.constant([3])
    # Turned as matrices only, which runtimes do ten times as fast as with four axes.
    rows = build.node("Reshape", images, size(rest, build.node("Mul", width, channels)))
    lines = build.node("Transpose", rows, perm=[1, 0])  # (w 3, n h)
    lines = build.node("Reshape", lines, size(width, rest))
    lines = _resize_first_axis(build, lines, width, new_width)  # (w', 3 n h)
    lines = build.node("Reshape", lines, size(rest, height))
    lines = build.node("Transpose", lines, perm=[1, 0])
    lines = _resize_first_axis(build, lines, height, new_height)  # (h', w' 3 n)
    lines = build.node("Reshape", lines, size(build.node("Mul", new_height, new_width), rest))
    planes = build.node("Transpose", lines, perm=[1, 0])  # (3 n, h' w')
    planes = build.node("Reshape", planes, size(channels, rest, new_height, new_width))
    resized = build.node("Transpose", planes, perm=[1, 0, 2, 3])
    return build.branch(resized, TensorProto.UINT8, 4)


def _resize_first_axis(build: GraphBuilder, lines: str, length: str, new_length: str) -> str:
    """Resize lines (length, rest) to (new_length, rest), uint8 in and out.

    BLOCK neighbouring results need nearly the same window of inputs. So they are one small dense
    product: weights (blocks, BLOCK, window) times inputs (blocks, window, rest).
    """
    inputs, weights = _windows(build, length, new_length)
    window = build.cast(build.node("Gather", lines, inputs), TensorProto.FLOAT)
    resized = build.node("MatMul", weights, window)
    one = build.constant(np.ones((), dtype=np.float32))
    black = build.constant(np.zeros((), dtype=np.uint8))
    resized = build.node("QuantizeLinear", resized, one, black)  # rounds, and stays within 0..255
    rest = build.node("Slice", build.node("Shape", lines), build.constant([1]), build.constant([2]))
    shape = build.node("Concat", build.constant([-1]), rest, axis=0)
    resized = build.node("Reshape", resized, shape)
    return build.node("Slice", resized, build.constant([0]), new_length)


def _windows(build: GraphBuilder, length: str, new_length: str) -> tuple[str, str]:
    """Return which inputs each block needs, (blocks, window), and the kernel's weights for them.

    The kernel is Keys' cubic with a = -0.5 (Keys 1981, equation 4), stretched by the scale where
    pictures shrink. With u = max(2 - |x|, 0) and v = max(1 - |x|, 0), its two pieces are one
    expression: k(x) = u^2 (u - 1) / 2 + v^2 (1 - 2 v).
    """

    def number(value: float) -> str:
        return build.constant(np.array([value], dtype=np.float32))

    def as_float(name: str) -> str:
        return build.cast(name, TensorProto.FLOAT)

    def as_integer(name: str) -> str:
        return build.cast(name, TensorProto.INT64)

    def count(length: str) -> str:
        return build.node(
            "Range", build.constant(0), build.node("Squeeze", length), build.constant(1)
        )

    def middle(index: str) -> str:
        return build.node("Add", as_float(index), number(0.5))

    add, subtract = partial(build.node, "Add"), partial(build.node, "Sub")
    multiply, divide = partial(build.node, "Mul"), partial(build.node, "Div")
    one = build.constant([1])
    scale = divide(as_float(length), as_float(new_length))
    stretch = build.node("Max", scale, number(1))
    reach = multiply(stretch, number(2))

    rounded_up = add(new_length, build.constant([BLOCK - 1]))
    first = multiply(count(divide(rounded_up, build.constant([BLOCK]))), build.constant([BLOCK]))
    start = as_integer(build.node("Floor", subtract(multiply(middle(first), scale), reach)))
    span = add(multiply(scale, number(BLOCK - 1)), multiply(reach, number(2)))
    window = add(as_integer(build.node("Ceil", span)), one)
    wanted = add(build.node("Unsqueeze", start, one), count(window))  # (blocks, window)
    last = subtract(length, one)
    inputs = build.node("Max", build.node("Min", wanted, last), build.constant([0]))
    inside = as_float(build.node("Equal", wanted, inputs))

    result = add(build.node("Unsqueeze", first, one), build.constant(list(range(BLOCK))))
    result = build.node("Min", result, subtract(new_length, one))  # the last block may be short
    centre = build.node("Unsqueeze", multiply(middle(result), scale), build.constant([2]))
    distance = subtract(build.node("Unsqueeze", middle(wanted), one), centre)
    distance = build.node("Abs", divide(distance, stretch))  # (blocks, BLOCK, window)
    u = build.node("Relu", subtract(number(2), distance))
    v = build.node("Relu", subtract(number(1), distance))
    outer = multiply(multiply(u, u), subtract(multiply(u, number(0.5)), number(0.5)))
    inner = multiply(multiply(v, v), subtract(number(1), multiply(v, number(2))))
    weights = multiply(add(outer, inner), build.node("Unsqueeze", inside, one))
    total = build.node("ReduceSum", weights, build.constant([2]))
    return inputs, divide(weights, total)


def _central_square(build: GraphBuilder, images: str, sides: str, crop: float) -> str:
    """Cut the central square whose side is the shorter side times `crop`."""
    shorter = build.node("ReduceMin", sides, keepdims=1)
    thousandths = build.node("Mul", shorter, build.constant([round(crop * 1000)]))
    rounded = build.node("Add", thousandths, build.constant([500]))
    side = build.node("Max", build.node("Div", rounded, build.constant([1000])), build.constant(1))
    start = build.node("Div", build.node("Sub", sides, side), build.constant([2]))
    end = build.node("Add", start, side)
    return build.node("Slice", images, start, end, build.constant([1, 2]))


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


# ---- The network ----


def fold_padding(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let convolutions pad by themselves where the graph pads with zeros just before one.

    Networks that pad as TensorFlow does pad more on one side, which torch's convolutions cannot,
    but ONNX's can. Without these steps ONNX Runtime is a third faster at EfficientNet-Lite0.
    """
    graph = model.graph
    constants = utils.Extractor(shape_inference.infer_shapes(model))
    readers = Counter(name for node in graph.node for name in node.input)
    made = {node.output[0]: node for node in graph.node if node.op_type == "Pad"}
    for conv in [node for node in graph.node if node.op_type == "Conv"]:
        pad = made.get(conv.input[0])
        own = next((a for a in conv.attribute if a.name == "pads"), None)
        if pad is None or own is None or readers[conv.input[0]] != 1:
            continue
        sides = _zeros_added(pad, constants)
        if sides is not None:
            own.ints[:] = [a + b for a, b in zip(own.ints, sides, strict=True)]
            conv.input[0] = pad.input[0]
    ends = [[value.name for value in values] for values in (graph.input, graph.output)]
    return utils.Extractor(model).extract_model(*ends)  # leaves out what nobody reads now


def _zeros_added(pad: onnx.NodeProto, constants: utils.Extractor) -> list[int] | None:
    """Return how many zeros a Pad adds above, left, below and right, if it does no more."""
    from onnx.reference import ReferenceEvaluator

    modes = [attribute.s for attribute in pad.attribute if attribute.name == "mode"]
    given = [name for name in pad.input[1:] if name]
    maker = constants.extract_model([], given)
    made = {name for node in maker.graph.node for name in node.output}
    made.update(tensor.name for tensor in maker.graph.initializer)
    if not all(name in made for node in maker.graph.node for name in node.input if name):
        return None  # it depends on the picture
    found: Any = ReferenceEvaluator(maker).run(None, {})
    pads, *rest = found
    before, after = np.split(pads, 2)
    other = [*before[:2], *after[:2]]  # of pictures and channels
    if modes not in ([], [b"constant"]) or len(pads) != 8 or pads.min() < 0:
        return None
    return None if np.any(other) or np.any(rest) else [*map(int, before[2:]), *map(int, after[2:])]
