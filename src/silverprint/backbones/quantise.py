"""Make a network's int8 version from pictures it is shown."""

import logging
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from silverprint.backbones.prepare import PreparedBackbone

CALIBRATION_PICTURES = 128
# Without Clip the range is that of the convolution before its ReLU6, far wider than needed: the
# cosine to f32 falls from 0.97 to 0.88 on photos of clothes.
QUANTISED = ["Conv", "Gemm", "MatMul", "Add", "Clip", "GlobalAveragePool"]


def quantise(prepared: PreparedBackbone, pixels: NDArray[np.uint8]) -> None:
    """Write the network's int8 graph, its ranges calibrated on pixels (n, 3, S, S) uint8.

    It is made once for a network and kept, so that features of later runs stay comparable.
    """
    quantise_graph(prepared.graph, prepared.int8_graph, pixels)


def quantise_graph(
    graph: Path,
    int8_graph: Path,
    pixels: NDArray[np.uint8],
    operators: Sequence[str] = QUANTISED,
    spared: float = 0,
) -> None:
    """Write the int8 version of a graph, its ranges calibrated on pixels (n, 3, S, S) uint8.

    Weights are symmetric per channel, activations asymmetric uint8.

    Args:
        graph: of the f32 network.
        int8_graph: of the new one.
        pixels: pictures to calibrate on.
        operators: the kinds of nodes that become int8.
        spared: the share of the convolutions, from the first on, that stay f32.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnxruntime.quantization import (
            CalibrationDataReader,
            QuantFormat,
            QuantType,
            quantize_static,
        )
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Batches(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self._left = iter(np.array_split(pixels, max(1, len(pixels) // 16)))

            def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
                batch = next(self._left, None)
                return None if batch is None else {"pixels": batch}

        with tempfile.TemporaryDirectory(dir=int8_graph.parent) as folder:
            cleaned, made = Path(folder) / "cleaned.onnx", Path(folder) / "made.onnx"
            level = logging.root.level
            logging.root.setLevel(logging.ERROR)
            try:
                quant_pre_process(str(graph), str(cleaned))
                nodes = onnx.load(cleaned).graph.node
                convolutions = [node.name for node in nodes if node.op_type == "Conv"]
                quantize_static(
                    str(cleaned),
                    str(made),
                    Batches(),
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                    op_types_to_quantize=list(operators),
                    nodes_to_exclude=convolutions[: int(len(convolutions) * spared)],
                )
            finally:
                logging.root.setLevel(level)
            made.replace(int8_graph)
