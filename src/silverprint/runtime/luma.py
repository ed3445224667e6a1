"""How bright a colour is: the luma of ITU-R BT.601, as Pillow has it."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue

Number = TypeVar("Number", np.uint8, np.float32)


def luma(pixels: NDArray[Number]) -> NDArray[Number]:
    """Return (..., 1, H, W) of (..., 3, H, W) in 0..255, rounded; equal channels stay as they are.

    The type, uint8 or float32, stays too.
    """
    weights = np.array(LUMA, dtype=np.float32).reshape(3, 1, 1)
    grey: NDArray[Number] = np.rint((pixels * weights).sum(-3, keepdims=True)).astype(pixels.dtype)
    return grey
