"""The ONNX file with its network in int8: about a quarter of the size.

Only the network is quantised; preprocessing and head stay as they are. The ranges of what flows in
it are calibrated on training pictures.
"""

import tempfile
from pathlib import Path

import onnx
from onnx import utils

from silverprint.backbones.quantise import CALIBRATION_PICTURES, quantise_graph
from silverprint.backbones.reading import PictureReader
from silverprint.data.table import Dataset
from silverprint.errors import ConfigError, DataError
from silverprint.export.graph import head_of, join, with_one_opset
from silverprint.export.network import preprocessing_of
from silverprint.export.onnx_file import is_int8, save
from silverprint.runtime.bundle import Bundle

# Over 713 photos of clothes and EfficientNet-Lite0, the probability that moves most moves by 0.031
# on average with all in int8, and by 0.014 so; and it is no slower. The first convolutions have few
# channels on many pixels: all later ones build on what they get wrong, and int8 gains them little.
# Percentiles or entropy for the ranges then gain nothing, and take 70 MB of memory a picture.
OPERATORS = ("Conv", "Gemm", "MatMul", "Clip")
SPARED = 1 / 7


def write_int8(bundle: Bundle, dataset: Dataset, path: Path) -> None:
    """Write the bundle's model with its network in int8.

    Args:
        bundle: an f32 bundle.
        dataset: its training pictures calibrate.
        path: of the ONNX file.

    Raises:
        ConfigError: the bundle's network is int8 already.
        DataError: there are no training pictures that can be read.
    """
    if is_int8(bundle):
        raise ConfigError(f"{bundle.path} holds an int8 network already; leave out --int8.")
    model = with_one_opset(onnx.load(bundle.model))
    preprocessing = preprocessing_of(bundle)
    rows = dataset.rows("train")
    reader = PictureReader(preprocessing, dataset.sources, dataset.names)
    pixels = reader.first(rows[:: max(1, len(rows) // CALIBRATION_PICTURES)], CALIBRATION_PICTURES)
    if not len(pixels):
        raise DataError(f"{dataset.name}: no training picture can be read to calibrate int8 on.")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        network, quantised = Path(folder) / "f32.onnx", Path(folder) / "int8.onnx"
        onnx.save(utils.Extractor(model).extract_model(["pixels"], ["features"]), network)
        quantise_graph(network, quantised, pixels, OPERATORS, SPARED)
        metadata = {prop.key: prop.value for prop in model.metadata_props}
        save(join(preprocessing, onnx.load(quantised), head_of(model), metadata), bundle, path)
