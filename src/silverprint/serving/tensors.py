"""Tensors of the open inference protocol: numbers in JSON, or bytes after it.

With the binary extension a body is JSON and then the tensors' bytes, little-endian, in order; the
header Inference-Header-Content-Length says where the JSON ends.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.serving.refusals import Refusal

HEADER_LENGTH = "inference-header-content-length"
INPUT = "images"
DATATYPES = {"probabilities": "FP32", "distance": "FP32"}


def read_images(
    body: bytes, header_length: str | None, max_pixels: int
) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """Return the request and its images, (n, h, w, 3) uint8.

    Raises:
        Refusal: it is not a request of the protocol, or not the model's input.
    """
    header, rest = _split(body, header_length)
    try:
        request = json.loads(header)
    except (ValueError, RecursionError):
        what = "body is" if header_length is None else f"first {len(header):,} bytes are"
        raise Refusal(422, f"The {what} not JSON; see the open inference protocol.") from None
    inputs = request.get("inputs") if isinstance(request, dict) else None
    if not (isinstance(inputs, list) and len(inputs) == 1 and isinstance(inputs[0], dict)):
        raise Refusal(422, f"inputs must be a list of one tensor, {INPUT!r}.")
    given = inputs[0]
    if given.get("name") != INPUT or given.get("datatype") != "UINT8":
        raise Refusal(
            422,
            f"The input must be named {INPUT!r} with datatype UINT8; got "
            f"{str(given.get('name'))[:40]!r} with {str(given.get('datatype'))[:40]!r}.",
        )
    shape = _shape(given.get("shape"), max_pixels)
    values = _from_binary(given, rest) if _binary_size(given) is not None else _from_json(given)
    needed = math.prod(shape)
    if values.size != needed:
        raise Refusal(422, f"Shape {list(shape)} needs {needed:,} values; got {values.size:,}.")
    return request, values.reshape(shape)


def write_outputs(
    request: Mapping[str, Any], name: str, outputs: Mapping[str, NDArray[np.float32]]
) -> tuple[bytes, int | None]:
    """Return the response's body, and where its JSON ends if bytes follow."""
    described, parts = [], []
    for wanted in _wanted(request, outputs):
        array, binary = outputs[wanted["name"]], wanted["binary"]
        entry: dict[str, Any] = {
            "name": wanted["name"],
            "datatype": DATATYPES[wanted["name"]],
            "shape": list(array.shape),
        }
        if binary:
            parts.append(array.astype("<f4").tobytes())
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            entry["data"] = [float(value) for value in array.ravel()]
        described.append(entry)
    answer: dict[str, Any] = {"model_name": name, "model_version": "1", "outputs": described}
    if isinstance(request.get("id"), str):
        answer["id"] = request["id"]
    header = json.dumps(answer).encode()
    return header + b"".join(parts), len(header) if parts else None


def _split(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    if header_length is None:
        return body, b""
    if not header_length.isdecimal() or int(header_length) > len(body):
        raise Refusal(
            422, "Inference-Header-Content-Length must be the number of bytes of JSON in the body."
        )
    return body[: int(header_length)], body[int(header_length) :]


def _shape(shape: Any, max_pixels: int) -> tuple[int, ...]:
    numbers = isinstance(shape, list) and all(type(side) is int and side > 0 for side in shape)
    if not numbers or len(shape) != 4 or shape[3] != 3:
        raise Refusal(
            422, f"The shape must be [n, height, width, 3]; got {json.dumps(shape)[:80]}."
        )
    if shape[1] * shape[2] > max_pixels:
        raise Refusal(
            413,
            f"A picture of {shape[2]} x {shape[1]} pixels is above the limit of {max_pixels:,}.",
        )
    return tuple(shape)


def _binary_size(given: Mapping[str, Any]) -> Any:
    parameters = given.get("parameters")
    return parameters.get("binary_data_size") if isinstance(parameters, dict) else None


def _from_binary(given: Mapping[str, Any], rest: bytes) -> NDArray[np.uint8]:
    if _binary_size(given) != len(rest):
        raise Refusal(422, f"binary_data_size is not the {len(rest):,} bytes that follow the JSON.")
    return np.frombuffer(rest, np.uint8)


def _from_json(given: Mapping[str, Any]) -> NDArray[np.uint8]:
    try:
        values = np.asarray(given.get("data"))
    except (ValueError, OverflowError):
        values = np.empty(0, object)
    whole = values.dtype.kind in "iu" and values.size > 0
    if not whole or values.min() < 0 or values.max() > 255:
        raise Refusal(422, "data must be whole numbers from 0 to 255, flat or nested as the shape.")
    return values.astype(np.uint8)


def _wanted(
    request: Mapping[str, Any], outputs: Mapping[str, NDArray[np.float32]]
) -> list[dict[str, Any]]:
    """Return the outputs that are asked for, all if none is, and whether each is sent as bytes."""
    everything = _flag(request, "binary_data_output")
    asked = request.get("outputs")
    if not asked:
        return [{"name": name, "binary": everything} for name in outputs]
    known = isinstance(asked, list) and all(
        isinstance(output, dict)
        and isinstance(output.get("name"), str)
        and output["name"] in outputs
        for output in asked
    )
    if not known:
        raise Refusal(422, f"outputs must name some of {', '.join(outputs)}.")
    return [
        {"name": output["name"], "binary": _flag(output, "binary_data", everything)}
        for output in asked
    ]


def _flag(given: Mapping[str, Any], name: str, default: bool = False) -> bool:
    parameters = given.get("parameters")
    return parameters.get(name, default) is True if isinstance(parameters, dict) else default
