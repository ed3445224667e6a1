"""A model repository for Triton Inference Server, KServe, and others that read its layout.

REPOSITORY/NAME/config.pbtxt, labels.txt, 1/model.onnx

Requests whose pictures have one size are put together while others wait; others run by themselves.
"""

import re
from pathlib import Path

import onnxruntime

from silverprint.export.onnx_file import open_onnx, write_onnx
from silverprint.export.openvino import LABELS, write_labels
from silverprint.export.parity import Answer
from silverprint.runtime.bundle import MODEL, Bundle

VERSION = "1"
CONFIG = """\
name: "{name}"
backend: "onnxruntime"
max_batch_size: {batch}
input [
  {{ name: "images", data_type: TYPE_UINT8, dims: [ -1, -1, 3 ] }}
]
output [
{outputs}
]
dynamic_batching {{
  max_queue_delay_microseconds: {delay}
}}
"""
PROBABILITIES = (
    '  {{ name: "probabilities", data_type: TYPE_FP32, dims: [ {classes} ], '
    'label_filename: "{labels}" }}'
)
# Triton's shapes have at least one dimension beside the batch's.
DISTANCE = '  { name: "distance", data_type: TYPE_FP32, dims: [ 1 ], reshape: { shape: [ ] } }'
BATCH = 16
DELAY = 2000  # microseconds


def name_of(bundle: Bundle) -> str:
    """Return the bundle's name with only such characters as are safe in a folder and an address."""
    name = str(bundle.manifest.get("name") or bundle.path.name)
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._") or "model"


def write_triton(bundle: Bundle, repository: Path) -> None:
    """Write the repository with this one model."""
    folder = repository / name_of(bundle)
    (folder / VERSION).mkdir(parents=True)
    write_onnx(bundle, folder / VERSION / MODEL)
    write_labels(bundle, folder / LABELS)
    (folder / "config.pbtxt").write_text(config(bundle), "utf-8")


def config(bundle: Bundle) -> str:
    """Return config.pbtxt."""
    outputs = [PROBABILITIES.format(classes=len(bundle.classes), labels=LABELS)]
    session = onnxruntime.InferenceSession(bundle.model, providers=["CPUExecutionProvider"])
    if "distance" in (output.name for output in session.get_outputs()):
        outputs.append(DISTANCE)
    return CONFIG.format(
        name=name_of(bundle), batch=BATCH, delay=DELAY, outputs=",\n".join(outputs)
    )


def open_triton(repository: Path) -> Answer:
    """Return what answers as the repository's model does in ONNX Runtime."""
    return open_onnx(next(repository.glob(f"*/{VERSION}/{MODEL}")))
