"""What can be said of one picture without a network: size, format, light, sharpness, a thumbnail.

All of it is one row of float32, so that a cache can keep it by the digest of the file's bytes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from silverprint.runtime.formats import open_picture
from silverprint.runtime.images import MAX_PIXELS, decode
from silverprint.runtime.luma import LUMA

VERSION = 2  # raise it when the same bytes would give other facts
SIDE = 64  # of the thumbnail, which is grey and squashed to a square
LONGEST = 192  # pixels on the longer side of what light and sharpness are measured on
MIN_SIDE = 144  # a JPEG may be decoded at a reduced scale that keeps this many
NAMES = (
    "width", "height", "bytes", "format", "red", "green", "blue", "saturation", "contrast",
    "sharpness",
)  # fmt: skip
DIMENSION = len(NAMES) + SIDE * SIDE // 4  # four grey bytes in the space of one float

FORMATS = ("array", "JPEG", "PNG", "GIF", "WebP", "BMP", "TIFF")
_BEGINNINGS = {
    b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"GIF8": "GIF", b"RIFF": "WebP", b"BM": "BMP",
}  # fmt: skip
_SIDEWAYS = {
    Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSPOSE, Image.Transpose.TRANSVERSE,
}  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """The facts of n pictures.

    Attributes:
        values: (n, DIMENSION) float32, rows as `measure` makes them.
    """

    values: NDArray[np.float32]

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """Return one fact of every picture, (n,).

        width, height: in pixels, upright; bytes: of the file; format: an index into FORMATS; red,
        green, blue: means, 0 to 1; saturation: mean of the largest minus the smallest of the three;
        contrast: what lies between the darkest and the lightest hundredth, 0 to 1; sharpness: the
        strongest edges (the Laplacian's 99.5 % quantile) as a share of the contrast.
        """
        return self.values[:, NAMES.index(name)]

    @property
    def brightness(self) -> NDArray[np.float32]:
        """Mean luminance (n,), 0 to 1."""
        colours = self.values[:, NAMES.index("red") : NAMES.index("blue") + 1]
        return colours @ np.array(LUMA, dtype=np.float32)

    @property
    def thumbnails(self) -> NDArray[np.uint8]:
        """Grey thumbnails (n, SIDE, SIDE), 0 to 255."""
        packed = np.ascontiguousarray(self.values[:, len(NAMES) :])
        return packed.view(np.uint8).reshape(-1, SIDE, SIDE)

    def take(self, rows: NDArray[np.int64]) -> "Facts":
        """Return the facts of some of the pictures."""
        return Facts(self.values[rows])


def measure(content: bytes | NDArray[Any], name: str) -> NDArray[np.float32]:
    """Return the facts of one picture, (DIMENSION,) float32.

    Raises:
        ImageError: the picture cannot be decoded.
    """
    pixels = decode(content, name=name, min_side=MIN_SIDE)
    width, height, size, kind = _header(content)
    picture = Image.fromarray(pixels)
    small = _thumbnail(picture)
    picture.thumbnail((LONGEST, LONGEST), Image.Resampling.BILINEAR)
    colours = np.asarray(picture, dtype=np.float32)
    grey = picture.convert("L")
    dark, light = _quantiles(grey.histogram(), (0.01, 0.99))
    red, green, blue = colours.mean(axis=(0, 1)) / 255
    values = (
        width, height, size, FORMATS.index(kind), red, green, blue,
        (colours.max(axis=2) - colours.min(axis=2)).mean() / 255,
        (light - dark) / 255,
        _strongest_edge(np.asarray(grey, dtype=np.int16)) / max(light - dark, 1),
    )  # fmt: skip
    packed = np.frombuffer(small.tobytes(), dtype=np.float32)
    return np.concatenate([np.array(values, np.float32), packed])


def thumbnail(content: bytes | NDArray[Any], name: str, least_side: int) -> NDArray[np.uint8]:
    """Return the grey thumbnail (SIDE, SIDE) of one picture; black if a side is below least_side.

    Raises:
        ImageError: the picture cannot be decoded.
    """
    pixels = decode(content, name=name, min_side=MIN_SIDE)
    if min(pixels.shape[:2]) < least_side:
        return np.zeros((SIDE, SIDE), np.uint8)
    return np.asarray(_thumbnail(Image.fromarray(pixels)))


def _thumbnail(picture: Image.Image) -> Image.Image:
    return picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)


def _header(content: bytes | NDArray[Any]) -> tuple[int, int, int, str]:
    """Return width, height, bytes and format of a picture that has been decoded without fault."""
    if not isinstance(content, bytes):
        return content.shape[1], content.shape[0], content.nbytes, "array"
    picture, turn = open_picture(content, None, MAX_PIXELS)
    width, height = picture.size[::-1] if turn in _SIDEWAYS else picture.size
    kinds = (kind for start, kind in _BEGINNINGS.items() if content.startswith(start))
    return width, height, len(content), next(kinds, "TIFF")


def _quantiles(histogram: list[int], shares: tuple[float, ...]) -> list[int]:
    """Return the grey values below which these shares of the pixels lie."""
    up_to = np.cumsum(histogram)
    return [int(np.searchsorted(up_to, share * up_to[-1])) for share in shares]


def _strongest_edge(grey: NDArray[np.int16]) -> float:
    if min(grey.shape) < 3:
        return 0.0
    centre = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    laplacian = np.abs(4 * centre - around).ravel()
    place = int(0.995 * (len(laplacian) - 1))
    return float(np.partition(laplacian, place)[place])
