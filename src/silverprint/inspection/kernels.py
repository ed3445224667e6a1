"""Kernels: small windows of weights that are laid over every place of a picture.

Each is applied twice, by OpenCV and as a torch convolution, and the two agree within rounding: the
convolution of a network is this very operation, only that its weights are learned. At the edges
both reflect the picture without repeating its outermost pixels.
"""

import math
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.errors import ConfigError, MissingExtraError
from silverprint.runtime.luma import LUMA

Array = NDArray[np.float32]
LARGEST = 31  # of a kernel's sides
BINOMIAL: Array = np.array((1, 4, 6, 4, 1), dtype=np.float32) / np.float32(16)  # of 5 x 5


@dataclass(frozen=True)
class Kernel:
    """Weights and what they are called.

    Attributes:
        name: of the filter.
        weights: (h, w) float32.
        opencv: the function of OpenCV that does the same.
    """

    name: str
    weights: Array
    opencv: str = "filter2D"

    @property
    def finds_edges(self) -> bool:
        """Whether the weights sum to zero: an even area gives nothing, and results have a sign."""
        return bool(abs(self.weights.sum()) <= 1e-5 * np.abs(self.weights).sum())


def _of(*rows: tuple[float, ...]) -> Array:
    return np.array(rows, dtype=np.float32)


SOBEL_X = _of((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))
STANDARD = (
    Kernel("Gaussian blur", BINOMIAL[:, None] * BINOMIAL, "GaussianBlur"),
    Kernel("sharpen", _of((0, -1, 0), (-1, 5, -1), (0, -1, 0))),
    Kernel("emboss", _of((-2, -1, 0), (-1, 1, 1), (0, 1, 2))),
    Kernel("Sobel x", SOBEL_X, "Sobel"),
    Kernel("Sobel y", SOBEL_X.T.copy(), "Sobel"),
    Kernel("Laplacian", _of((0, 1, 0), (1, -4, 1), (0, 1, 0)), "Laplacian"),
)


def parse_kernel(given: str, number: int = 1) -> Kernel:
    """Read "0,1,0;1,-4,1;0,1,0", or a file with a row a line; numbers may be fractions such as 1/9.

    Args:
        given: the text, or a file's path.
        number: which of the custom kernels this is.

    Raises:
        ConfigError: it is neither, its rows differ in length, or it is too large.
    """
    path = Path(given).expanduser()
    name = f"custom {number}"
    if _is_file(path):
        name = path.name
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"kernel file {path} cannot be read: {error}.") from None
        rows = [line for line in text.splitlines() if line.strip()]
    else:
        rows = given.split(";")
    weights = [[_number(cell, given) for cell in row.replace(",", " ").split()] for row in rows]
    lengths = [len(row) for row in weights]
    if not any(lengths):
        raise ConfigError(
            f"kernel {given!r} holds no numbers; write rows such as 0,1,0;1,-4,1;0,1,0."
        )
    if len(set(lengths)) > 1:
        raise ConfigError(
            f"kernel {given!r} must have rows of one length; they have {lengths} numbers."
        )
    if max(len(weights), lengths[0]) > LARGEST:
        raise ConfigError(
            f"kernel {given!r} is {len(weights)} x {lengths[0]}; at most {LARGEST} x {LARGEST}."
        )
    return Kernel(name, np.array(weights, dtype=np.float32))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False  # a text that cannot be a file's name


def _number(cell: str, given: str) -> float:
    numerator, _, denominator = cell.partition("/")
    try:
        value = float(numerator) / float(denominator or 1)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(
            f"kernel {given!r}: {cell!r} is not a number, and no file has that name; write rows "
            'parted by semicolons, such as "0,1,0;1,-4,1;0,1,0".'
        )
    return value


def grey(pixels: NDArray[np.uint8]) -> Array:
    """Return the luma (h, w) float32 of a picture (h, w, 3)."""
    result: Array = pixels.astype(np.float32) @ np.array(LUMA, dtype=np.float32)
    return result


def by_opencv(kernel: Kernel, values: Array) -> Array:
    """Apply a kernel to (h, w) or (h, w, 3) float32 with OpenCV's own function for it.

    Raises:
        ConfigError: the picture is smaller than the kernel.
        MissingExtraError: OpenCV is not installed.
    """
    _check_fits(kernel, values)
    cv2 = import_opencv()
    if kernel.opencv == "Sobel":
        across = kernel.name.endswith("x")
        result = cv2.Sobel(values, cv2.CV_32F, int(across), int(not across), ksize=3)
    elif kernel.opencv == "Laplacian":
        result = cv2.Laplacian(values, cv2.CV_32F, ksize=1)
    elif kernel.opencv == "GaussianBlur":
        result = cv2.GaussianBlur(values, (5, 5), 0)
    else:
        result = cv2.filter2D(values, cv2.CV_32F, kernel.weights)
    return np.asarray(result, dtype=np.float32)


def by_torch(kernel: Kernel, values: Array) -> Array:
    """Apply a kernel to (h, w) or (h, w, 3) float32 as a convolution layer does.

    Raises:
        ConfigError: the picture is smaller than the kernel.
    """
    import torch
    import torch.nn.functional as F

    _check_fits(kernel, values)
    height, width = kernel.weights.shape
    planes = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(values).transpose(2, 0, 1)))
    # The anchor of an even side lies right of the middle, as OpenCV has it.
    sides = (width // 2, (width - 1) // 2, height // 2, (height - 1) // 2)
    padded = F.pad(planes[:, None], sides, mode="reflect")
    result = F.conv2d(padded, torch.from_numpy(kernel.weights)[None, None])[:, 0]
    return result.numpy().transpose(1, 2, 0).reshape(values.shape)


def canny(values: Array, low: float, high: float) -> NDArray[np.uint8]:
    """Return Canny's edges, 255 on 0, of (h, w) after the 5 x 5 Gaussian blur that it asks for.

    Args:
        values: luma, 0 to 255.
        low: gradient above which an edge goes on.
        high: gradient above which an edge begins.

    Raises:
        ConfigError: the thresholds are negative, or in the wrong order.
        MissingExtraError: OpenCV is not installed.
    """
    if not 0 <= low <= high < math.inf:
        raise ConfigError(f"canny takes LOW,HIGH with 0 <= LOW <= HIGH; got {low:g},{high:g}.")
    cv2 = import_opencv()
    blurred = cv2.GaussianBlur(values, (5, 5), 0)
    return np.asarray(cv2.Canny(np.rint(blurred).astype(np.uint8), low, high), dtype=np.uint8)


def shown(kernel: Kernel, result: Array) -> NDArray[np.uint8]:
    """Return a filter's result as a picture; one with a sign lies around mid-grey."""
    if kernel.finds_edges:
        strongest = max(float(np.quantile(np.abs(result), 0.995)), 1e-6)
        result = 127.5 + 127.5 * result / strongest
    pixels: NDArray[np.uint8] = np.rint(result.clip(0, 255)).astype(np.uint8)
    return pixels


def import_opencv() -> Any:
    """Return OpenCV.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module("cv2")
    except ImportError as error:
        raise MissingExtraError("filtering with OpenCV", "explain") from error


def _check_fits(kernel: Kernel, values: Array) -> None:
    if any(k > side for k, side in zip(kernel.weights.shape, values.shape, strict=False)):
        height, width = kernel.weights.shape
        raise ConfigError(
            f"kernel {kernel.name} is {height} x {width}, larger than the picture of "
            f"{values.shape[0]} x {values.shape[1]} pixels; give a larger picture, or a smaller "
            "kernel."
        )
