"""The one decoder: every picture, from every source, becomes RGB here and nowhere else.

A file is recognised by its content. Before Pillow sees it, what does not describe pixels (text,
colour profiles, animation, thumbnails) is left out, and its size is checked in the header. So no
file reaches a path of Pillow that warns, loops or allocates without need, and no global state of
Pillow or of `warnings` is changed: `decode` may run in many threads at once.

    JPEG (MPO too), PNG, WebP, BMP, TIFF, GIF      taken
    HEIC, AVIF, SVG, Photoshop, EPS, ...           refused, by name

Choices made here: colour profiles and XMP are ignored. Transparency is laid on white. An animation
is its first frame; canvas that this frame leaves bare is transparent, as in browsers. 16 bits are
divided by 257, rounded. 32-bit integers are taken as 16-bit values, floats as 0 to 1; outside that
is an error, because a guess (the picture's own range) would hide how bright it was. CMYK goes
through Pillow's formula, with the inverted values that Adobe writes into JPEGs.
"""

import io
import os
import stat
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from silverprint.errors import ImageError, RefusedError
from silverprint.runtime.formats import (
    TRUNCATED,
    check_size,
    open_picture,
    scale_16_bit,
    scale_floats,
    to_rgb,
)
from silverprint.runtime.remote import fetch, is_address

MAX_PIXELS = 100_000_000
MAX_BYTES = 1 << 30  # 100 million pixels of 64 bits fit


def decode(
    source: str | os.PathLike[str] | bytes | NDArray[Any],
    *,
    name: str | None = None,
    min_side: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """Return a picture as RGB, upright, whatever it was stored as.

    Args:
        source: a path, an address such as https://..., a file's bytes, or an array: (H, W),
            (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16 (divided by 257), bool, or floats
            within 0 to 1 (times 255).
        name: what an error calls the picture; else its path, "bytes" or "array".
        min_side: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, where both sides of the
            result are at least this many pixels.
        max_pixels: a larger picture is refused before any of its pixels is decoded.

    Returns:
        (H, W, 3) uint8, C-contiguous, perhaps read-only, perhaps `source` itself.

    Raises:
        ImageError: whatever is wrong with the picture; nothing else is raised.
    """
    outcome = _image_or_reason(source, min_side, max_pixels)
    if isinstance(outcome, str):
        raise ImageError(name or _name(source), outcome)
    return outcome


def _image_or_reason(
    source: str | os.PathLike[str] | bytes | NDArray[Any], min_side: int | None, max_pixels: int
) -> NDArray[np.uint8] | str:
    # A reason, not an exception: whoever keeps the ImageErrors of a whole folder must not keep
    # Pillow's frames, and in them every bad file's bytes.
    try:
        if isinstance(source, np.ndarray):
            return _from_array(source, max_pixels)
        data = source if isinstance(source, bytes) else read_file(source)
        return _from_bytes(data, min_side, max_pixels)
    except RefusedError as refused:
        return str(refused)
    except (IndexError, struct.error):
        return TRUNCATED
    except MemoryError:
        return "needs more memory than there is; lower max_pixels"
    except Exception as error:  # Pillow raises a dozen kinds for damaged files
        return _from_pillow(error)


def _name(source: object) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fsdecode(source)
    return "array" if isinstance(source, np.ndarray) else type(source).__name__


def _from_pillow(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if "truncated" in text.lower():
        return TRUNCATED
    return f"is damaged, or of a kind that cannot be read ({text}); save it again as JPEG or PNG"


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file, or at an address; never wait for a pipe, never read a device.

    Raises:
        RefusedError: it cannot be read.
    """
    if isinstance(path, str) and is_address(path):
        return fetch(path, MAX_BYTES)
    try:
        with io.FileIO(os.fspath(path), opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise RefusedError("is a pipe or a device, not a file")
            if status.st_size > MAX_BYTES:
                raise RefusedError(
                    f"is {status.st_size:,} bytes, above the limit of {MAX_BYTES:,} for a picture"
                )
            return file.readall()
    except FileNotFoundError:
        raise RefusedError("does not exist; check the path") from None
    except IsADirectoryError:
        raise RefusedError("is a folder, not a picture") from None
    except PermissionError:
        raise RefusedError("cannot be read: permission denied") from None
    except OSError as error:
        raise RefusedError(f"cannot be read: {error.strerror}") from None
    except TypeError:
        raise RefusedError("is not a picture; give a path, bytes or an array") from None
    except ValueError as error:
        raise RefusedError(f"is not a path: {error}") from None


def _open_without_waiting(path: str, flags: int) -> int:
    # A pipe without a writer would block an ordinary open for ever. Windows has no such flag.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


# ---- Arrays ----


def _from_array(array: NDArray[Any], max_pixels: int) -> NDArray[np.uint8]:
    described = f"is an array of shape {array.shape} and type {array.dtype}"
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim == 3 and channels not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        raise RefusedError(f"{described}: channels come last; use array.transpose(1, 2, 0)")
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.size == 0:
        raise RefusedError(f"{described}; a picture is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)")
    check_size(array.shape[1], array.shape[0], max_pixels)
    values = _array_to_8_bit(array, described)
    if channels == 4:
        return np.asarray(to_rgb(Image.fromarray(np.ascontiguousarray(values))))
    if channels == 1:
        return np.repeat(values.reshape(*array.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(values)


def _array_to_8_bit(array: NDArray[Any], described: str) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return scale_16_bit(array)
    if array.dtype.kind == "f":
        return scale_floats(array)
    raise RefusedError(
        f"{described}; its type must be uint8, uint16, bool, or float with values from 0 to 1"
    )


# ---- Files ----


def _from_bytes(data: bytes, min_side: int | None, max_pixels: int) -> NDArray[np.uint8]:
    picture, turn = open_picture(data, min_side, max_pixels)
    picture = to_rgb(picture)
    return np.asarray(picture if turn is None else picture.transpose(turn))
