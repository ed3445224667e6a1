"""A picture as its network saw it, and how what happens there is laid back over the picture."""

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from silverprint.backbones.reading import PictureReader
from silverprint.inspection.heat import Array, Pixels, resized
from silverprint.runtime.images import decode
from silverprint.runtime.preprocessing import Preprocessing

SHOWN_SIDE = 640  # pixels of the longer side at which a picture is shown


@dataclass(frozen=True)
class View:
    """One picture on both sides of the preprocessing.

    Attributes:
        picture: (h, w, 3) uint8, the part of it that the network saw.
        pixels: (3, S, S) uint8, the network's input.
        box: top, left, bottom, right of that part in the input; outside are the bars of "pad".
    """

    picture: Pixels
    pixels: Pixels
    box: tuple[int, int, int, int]

    def lay(self, values: Array) -> Array:
        """Return a map (any h, w) over the whole input as one over the picture."""
        side = self.pixels.shape[-1]
        top, left, bottom, right = self.box
        whole = resized(values, side, side)[top:bottom, left:right]
        height, width = self.picture.shape[:2]
        return resized(whole, width, height)


def view(source: str | os.PathLike[str] | bytes | NDArray[np.uint8], name: str,
         preprocessing: Preprocessing) -> View:  # fmt: skip
    """Read a picture, and make the network's input of it with the very graph that ships.

    Raises:
        ImageError: it cannot be read.
    """
    whole = decode(source, name=name)
    height, width = whole.shape[:2]
    pixels = PictureReader(preprocessing, [whole], [name]).pixels(whole, name)
    size = preprocessing.size
    box = (0, 0, size, size)
    if preprocessing.fit == "pad":
        content = [max(1, round(side * size / max(height, width))) for side in (height, width)]
        top, left = ((size - side) // 2 for side in content)
        box = (top, left, top + content[0], left + content[1])
    elif preprocessing.fit == "crop":
        side = max(1, round(min(height, width) * preprocessing.crop))
        top, left = (height - side) // 2, (width - side) // 2
        whole = whole[top : top + side, left : left + side]
    return View(enlarged(reduced(whole)), pixels, box)


def enlarged(picture: Pixels, side: int = SHOWN_SIDE // 2) -> Pixels:
    """Return a small picture with each pixel as a square, so that a map over it may be smooth."""
    times = max(1, side // max(picture.shape[:2]))
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def reduced(picture: Pixels, side: int = SHOWN_SIDE) -> Pixels:
    """Return a picture whose longer side is at most so many pixels."""
    longest = max(picture.shape[:2])
    if longest <= side:
        return picture
    height, width = (max(1, round(length * side / longest)) for length in picture.shape[:2])
    image = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)
