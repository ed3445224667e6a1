"""OpenVINO's IR: model.xml and model.bin with f32 weights, preprocessing inside, and labels.txt.

On processors with bf16 OpenVINO computes in it unless INFERENCE_PRECISION_HINT says f32, which is
what parity is proven with.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from silverprint.backbones.engines import import_openvino
from silverprint.export.onnx_file import facts_of
from silverprint.export.parity import Answer, Pixels
from silverprint.runtime.bundle import Bundle

XML = "model.xml"
LABELS = "labels.txt"
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


def write_openvino(bundle: Bundle, folder: Path) -> None:
    """Convert an f32 bundle's graph."""
    openvino = import_openvino()
    whole = without_resize_operator(onnx.load(bundle.model))
    folder.mkdir()
    source = folder / "model.onnx"
    onnx.save(whole, source)
    model = openvino.convert_model(source)
    source.unlink()
    for key, value in facts_of(bundle).items():
        model.set_rt_info(value, ["silverprint", key])
    openvino.save_model(model, folder / XML, compress_to_fp16=False)
    write_labels(bundle, folder / LABELS)


def open_openvino(folder: Path) -> Answer:
    """Return what answers as the files do, on the CPU in f32."""
    openvino = import_openvino()
    compiled = openvino.Core().compile_model(folder / XML, "CPU", EXACT)

    def answer(images: Pixels) -> NDArray[np.float32]:
        found: NDArray[np.float32] = compiled({"images": images})["probabilities"]
        return found.copy()  # the next call may use its memory

    return answer


def write_labels(bundle: Bundle, path: Path) -> None:
    """Write the class names, one a line."""
    lines = [" ".join(name.splitlines()) + "\n" for name in bundle.classes]
    path.write_text("".join(lines), "utf-8")


def without_resize_operator(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with the way of resizing that small pictures take, for all pictures.

    The other way, for very large ones, is ONNX's Resize, which OpenVINO computes otherwise: its
    probabilities were off by 0.2 on a picture of noise.
    """
    graph = model.graph
    place = next(i for i, node in enumerate(graph.node) if node.op_type == "If")
    choice: Any = graph.node[place]
    branch = next(a.g for a in choice.attribute if a.name == "else_branch")
    graph.initializer.extend(branch.initializer)
    last = onnx.helper.make_node("Identity", [branch.output[0].name], [choice.output[0]])
    nodes = [*graph.node[:place], *branch.node, last, *graph.node[place + 1 :]]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model
