"""Numbers as colours: heat laid over a picture, maps in a grid."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]
Pixels = NDArray[np.uint8]

# From least to most, each darker or lighter than the one before, so that grey print still tells.
EMBER = ("#1b0c41", "#5c1867", "#a52c60", "#e2573a", "#f9a13a", "#fcf0a0")
SIGNED = ("#1b5a94", "#6ba6cf", "#f4f4f1", "#e58368", "#a11a2b")  # less than 0, 0, more
STRENGTH = 0.78  # how much of a picture the hottest place covers


def coloured(values: Array, colours: Sequence[str]) -> Pixels:
    """Return (..., 3) uint8 of values 0 to 1, mixed from the nearest two colours."""
    anchors = np.array([_rgb(colour) for colour in colours], dtype=np.float32)
    place = np.clip(values, 0, 1) * (len(anchors) - 1)
    below = np.minimum(place.astype(int), len(anchors) - 2)
    share = (place - below)[..., None]
    mixed = anchors[below] * (1 - share) + anchors[below + 1] * share
    result: Pixels = np.rint(mixed).astype(np.uint8)
    return result


def overlay(picture: Pixels, values: Array) -> Pixels:
    """Lay heat, 0 to its largest, over the grey of a picture (h, w, 3)."""
    heat = values / max(float(values.max()), 1e-12)
    return _mixed(grey(picture), coloured(heat, EMBER), STRENGTH * np.clip(heat, 0, 1))


def signed_overlay(picture: Pixels, values: Array) -> Pixels:
    """Lay values over the grey of a picture: red above 0, blue below, nothing at 0."""
    scaled: Array = values / np.float32(max(float(np.abs(values).max()), 1e-12))
    colours = coloured((scaled + 1) / np.float32(2), SIGNED)
    return _mixed(grey(picture), colours, np.float32(STRENGTH) * np.abs(scaled))


def grey(picture: Pixels) -> Pixels:
    """Return a picture (h, w, 3) without its colours, which would pass for heat."""
    return np.asarray(Image.fromarray(picture).convert("L").convert("RGB"))


def resized(values: Array, width: int, height: int) -> Array:
    """Return a map (h, w) at another size, smoothly; what rounding adds below 0 stays below 0."""
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)


def grid(maps: Array, columns: int | None = None, gap: int = 1, enlarge: int = 1) -> Pixels:
    """Return maps (n, h, w), values 0 to 1, side by side on white, as (H, W, 3) uint8."""
    return tiles(coloured(maps, EMBER), columns, gap, enlarge)


def tiles(pictures: Pixels, columns: int | None = None, gap: int = 1, enlarge: int = 1) -> Pixels:
    """Return pictures (n, h, w, 3) side by side on white, each enlarged."""
    count, height, width = (side * enlarge for side in pictures.shape[:3])
    count = len(pictures)
    columns = columns or math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    large = pictures.repeat(enlarge, axis=1).repeat(enlarge, axis=2)
    sheet = np.full(
        (rows * (height + gap) - gap, min(columns, count) * (width + gap) - gap, 3), 255, np.uint8
    )
    for i, tile in enumerate(large):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def _mixed(picture: Pixels, colours: Pixels, share: Array) -> Pixels:
    part = share[..., None]
    result: Pixels = np.rint(picture * (1 - part) + colours * part).astype(np.uint8)
    return result


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
