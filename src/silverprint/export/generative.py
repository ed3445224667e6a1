"""Parts of networks that make things as ONNX files, each proved against the network itself."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from silverprint.backbones.graphs import OPSET
from silverprint.runtime.disk import writing_to_cache

AGREEMENT = 1e-4  # largest difference of an output, on the scale of its largest value, or of 1


def export_part(
    module: nn.Module, inputs: Mapping[str, Tensor], outputs: tuple[str, ...], path: Path,
    *, batch_axis: Mapping[str, int] | None = None,
) -> float:  # fmt: skip
    """Write a module as ONNX with a free number of rows, and compare it on these inputs.

    Args:
        module: on the processor; it is taken as in evaluation.
        inputs: name -> example with at least two rows, in the order the module takes them.
        outputs: names of what it returns.
        path: of the file, in the cache.
        batch_axis: name of an input or output -> which of its axes counts the rows; else the first.

    Returns:
        The largest difference found, on the scale of the output's largest value, or of 1.

    Raises:
        ConfigError: the disk takes no more.
        RuntimeError: the file disagrees with the module, which is a fault of ours.
    """
    module = module.eval()
    axes = {name: (batch_axis or {}).get(name, 0) for name in (*inputs, *outputs)}
    with warnings.catch_warnings(), torch.no_grad(), writing_to_cache(path.parent):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: {axis: "n"} for name, axis in axes.items()},
            opset_version=OPSET,
            dynamo=False,
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    rows = next(iter(inputs.values())).shape[axes[next(iter(inputs))]]
    largest = max(
        _difference(module, session, {
            name: value.narrow(axes[name], 0, count) for name, value in inputs.items()
        })
        for count in (1, rows)
    )  # fmt: skip
    if not largest <= AGREEMENT:
        raise RuntimeError(f"{path.name} differs from the network by {largest:.6f}")
    return largest


def _difference(
    module: nn.Module, session: onnxruntime.InferenceSession, inputs: Mapping[str, Tensor]
) -> float:
    with torch.no_grad():
        expected = module(*inputs.values())
    expected = expected if isinstance(expected, tuple) else (expected,)
    found = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return max(
        float(np.abs(one - two.numpy()).max() / max(1.0, float(two.abs().max())))
        for one, two in zip(found, expected, strict=True)
    )
