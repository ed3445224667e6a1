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
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from silverprint.errors import ImageError

MAX_PIXELS = 100_000_000
MAX_BYTES = 1 << 30  # 100 million pixels of 64 bits fit
MAX_SCANS = 500  # a progressive JPEG has about 10; each costs a pass over all its pixels

_TRUNCATED = "is truncated: the file ends before the picture does; get the file again"
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_PNG_PARTS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_ORIENTATION = 274
_TIFF_SINGLE = (256, 257, 259, 262, 266, _ORIENTATION, 277, 278, 284, 317, 322, 323)
_TIFF_LISTS = (258, 273, 279, 292, 293, 320, 324, 325, 338, 339, 347, 530, 531, 532)
_TIFF_COMPRESSIONS = {1, 2, 3, 4, 5, 7, 8, 32773, 32946, 50000}
_TIFF_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_TIFF_WHOLE = {1: "B", 3: "H", 4: "I"}
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_REFUSED_FORMATS = {
    b"8BPS": "a Photoshop file",
    b"%!PS": "a PostScript or EPS file",
    b"\xc5\xd0\xd3\xc6": "an EPS file",
    b"%PDF": "a PDF",
    b"\0\0\1\0": "an icon (ICO)",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"\xffO\xffQ": "a JPEG 2000 picture",
    b"II+\0": "a BigTIFF",
    b"MM\0+": "a BigTIFF",
    b"PK\3\4": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x1aE\xdf\xa3": "a video",
}


class _RefusedError(Exception):
    """A reason why a picture is refused; `decode` adds the picture's name."""


def decode(
    source: str | os.PathLike[str] | bytes | NDArray[Any],
    *,
    name: str | None = None,
    min_side: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """Return a picture as RGB, upright, whatever it was stored as.

    Args:
        source: a path, a file's bytes, or an array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of
            uint8, uint16 (divided by 257), bool, or floats within 0 to 1 (times 255).
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
        data = source if isinstance(source, bytes) else _read(source)
        return _from_bytes(data, min_side, max_pixels)
    except _RefusedError as refused:
        return str(refused)
    except (IndexError, struct.error):
        return _TRUNCATED
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
        return _TRUNCATED
    return f"is damaged, or of a kind that cannot be read ({text}); save it again as JPEG or PNG"


def _read(path: str | os.PathLike[str]) -> bytes:
    """Return a file's bytes; never wait for a pipe, never read a device."""
    try:
        with io.FileIO(os.fspath(path), opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _RefusedError("is a pipe or a device, not a file")
            if status.st_size > MAX_BYTES:
                raise _RefusedError(
                    f"is {status.st_size:,} bytes, above the limit of {MAX_BYTES:,} for a picture"
                )
            return file.readall()
    except FileNotFoundError:
        raise _RefusedError("does not exist; check the path") from None
    except IsADirectoryError:
        raise _RefusedError("is a folder, not a picture") from None
    except PermissionError:
        raise _RefusedError("cannot be read: permission denied") from None
    except OSError as error:
        raise _RefusedError(f"cannot be read: {error.strerror}") from None
    except TypeError:
        raise _RefusedError("is not a picture; give a path, bytes or an array") from None
    except ValueError as error:
        raise _RefusedError(f"is not a path: {error}") from None


def _open_without_waiting(path: str, flags: int) -> int:
    # A pipe without a writer would block an ordinary open for ever. Windows has no such flag.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise _RefusedError(f"is damaged: its header says {width} x {height} pixels")
    if width * height > max_pixels:
        raise _RefusedError(
            f"is {width} x {height} = {width * height:,} pixels, above the limit of "
            f"{max_pixels:,}; raise max_pixels to allow it"
        )


# ---- Arrays ----


def _from_array(array: NDArray[Any], max_pixels: int) -> NDArray[np.uint8]:
    described = f"is an array of shape {array.shape} and type {array.dtype}"
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim == 3 and channels not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        raise _RefusedError(f"{described}: channels come last; use array.transpose(1, 2, 0)")
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.size == 0:
        raise _RefusedError(f"{described}; a picture is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)")
    _check_size(array.shape[1], array.shape[0], max_pixels)
    values = _array_to_8_bit(array, described)
    if channels == 4:
        return np.asarray(_to_rgb(Image.fromarray(np.ascontiguousarray(values))))
    if channels == 1:
        return np.repeat(values.reshape(*array.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(values)


def _array_to_8_bit(array: NDArray[Any], described: str) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return _scale_16_bit(array)
    if array.dtype.kind == "f":
        return _scale_floats(array)
    raise _RefusedError(
        f"{described}; its type must be uint8, uint16, bool, or float with values from 0 to 1"
    )


def _scale_16_bit(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return 0..65535 as 0..255; 257 takes the one range's ends to the other's."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _scale_floats(values: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 1):  # so written, it is also true of NaN
        raise _RefusedError(
            f"holds floats from {low:g} to {high:g}; they must lie within 0 to 1: scale them"
        )
    return np.rint(values * np.float32(255)).astype(np.uint8)


# ---- Files ----


def _from_bytes(data: bytes, min_side: int | None, max_pixels: int) -> NDArray[np.uint8]:
    if data.startswith(b"\xff\xd8\xff"):
        picture, orientation = _jpeg(data, min_side, max_pixels)
    else:
        for prefix, opener in _OPENERS.items():
            if data.startswith(prefix):
                picture, orientation = opener(data, max_pixels)
                break
        else:
            raise _RefusedError(_what_it_is(data))
    picture = _to_rgb(picture)
    if orientation in _TRANSPOSES:
        picture = picture.transpose(_TRANSPOSES[orientation])
    return np.asarray(picture)


def _to_rgb(picture: Image.Image) -> Image.Image:
    picture.load()
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return Image.fromarray(_grey_to_8_bit(picture)).convert("RGB")
    if picture.has_transparency_data:
        # Pillow has no way from La to RGBA that keeps the alpha.
        picture = picture.convert("LA") if picture.mode == "La" else picture
        picture = picture.convert("RGBA")
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture)
        return white
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _grey_to_8_bit(picture: Image.Image) -> NDArray[np.uint8]:
    values = np.asarray(picture)
    if values.dtype.kind == "f":
        return _scale_floats(values)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise _RefusedError(
            f"holds integers from {low} to {high}; they must lie within 0 to 65535: scale them"
        )
    return _scale_16_bit(values)


class _Jpeg(JpegImagePlugin.JpegImageFile):
    def _read_dpi_from_exif(self) -> None:
        """Leave the EXIF block unread: Pillow is slow at it, and warns where it is damaged."""


def _jpeg(data: bytes, min_side: int | None, max_pixels: int) -> tuple[Image.Image, int]:
    # The class itself, not Image.open: that would take a phone's MPO apart, and warn.
    picture = _Jpeg(io.BytesIO(data))
    _check_size(*picture.size, max_pixels)
    _check_scans(picture, data)
    if min_side is not None:
        picture.draft(None, (min_side, min_side))
    picture.decodermaxblock = len(data)
    return picture, _orientation(picture.info.get("exif", b""))


def _check_scans(picture: _Jpeg, data: bytes) -> None:
    """Refuse a JPEG of so many scans that a small file would keep a processor busy for hours."""
    assert picture.fp is not None
    header = bytes((0xFF, 0xDA, 0, 6 + 2 * picture.layers, picture.layers))
    whole = data.startswith(header, picture.fp.tell() - 8 - 2 * picture.layers)
    if whole and "progressive" not in picture.info:
        return  # The first scan is the only one; what follows may be a phone's video.
    scans = data.count(b"\xff\xda")
    if scans > MAX_SCANS:
        raise _RefusedError(f"has {scans} scans, above the limit of {MAX_SCANS}; save it again")


def _png(data: bytes, max_pixels: int) -> tuple[Image.Image, int]:
    """Open a PNG made of only those parts that describe pixels, each with its checksum checked.

    Pillow checks no checksum of pixel data, and unpacks text and profiles that nobody asked for.
    """
    view, at, exif, kind = memoryview(data), 8, b"", b""
    parts = [view[:8]]
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        start, at = at, at + 12 + length
        if at > len(data):
            raise _RefusedError(_TRUNCATED)
        if kind == b"eXIf":
            exif = data[start + 8 : at - 4]
        elif kind in _PNG_PARTS:
            if zlib.crc32(view[start + 4 : at - 4]) != int.from_bytes(view[at - 4 : at]):
                raise _RefusedError(
                    f"is damaged: the checksum of its {kind.decode()} part is wrong"
                )
            parts.append(view[start:at])
        elif kind[:1].isupper():
            raise _RefusedError(f"is a PNG with an unknown part {kind!r}; save it again as PNG")
    picture = PngImagePlugin.PngImageFile(io.BytesIO(b"".join(parts)))
    _check_size(*picture.size, max_pixels)
    return picture, _orientation(exif)


def _gif(data: bytes, max_pixels: int) -> tuple[Image.Image, int]:
    """Open a GIF made of the first frame alone, and lay it where it belongs on a white canvas."""
    canvas_width, canvas_height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _gif_palette_size(flags)
    head, control = data[10:at], b""
    while data[at] == 0x21:  # extensions; only the graphic control holds anything of use
        after = _skip_gif_blocks(data, at + 2)
        if data[at + 1 : at + 3] == b"\xf9\4":
            transparent, index = data[at + 3] & 1, data[at + 6]
            control = bytes([0x21, 0xF9, 4, transparent, 0, 0, index, 0])
        at = after
    if data[at] != 0x2C:
        raise _RefusedError("is damaged: it is a GIF without a first frame")
    left, top, width, height, flags = struct.unpack_from("<4HB", data, at + 1)
    end = _skip_gif_blocks(data, at + 11 + _gif_palette_size(flags))
    canvas = max(canvas_width, left + width), max(canvas_height, top + height)
    _check_size(width, height, max_pixels)
    _check_size(*canvas, max_pixels)
    size = struct.pack("<HH", width, height)
    alone = b"GIF89a" + size + head + control + b",\0\0\0\0" + size + data[at + 9 : end] + b";"
    frame = _to_rgb(GifImagePlugin.GifImageFile(io.BytesIO(alone)))
    if canvas == (width, height):
        return frame, 1
    picture = Image.new("RGB", canvas, "white")
    picture.paste(frame, (left, top))
    return picture, 1


def _gif_palette_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 128 else 0


def _skip_gif_blocks(data: bytes, at: int) -> int:
    while data[at]:
        at += data[at] + 1
    return at + 1


def _webp(data: bytes, max_pixels: int) -> tuple[Image.Image, int]:
    if data[8:12] != b"WEBP":
        raise _RefusedError(_what_it_is(data))
    if len(data) < max(30, int.from_bytes(data[4:8], "little") + 8):
        raise _RefusedError(_TRUNCATED)
    # Read here, because Pillow's decoder allocates the canvas as soon as it is made.
    if data[12:16] == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    _check_size(width, height, max_pixels)
    picture = WebPImagePlugin.WebPImageFile(io.BytesIO(data))
    return picture, _orientation(picture.info.get("exif", b""))


def _bmp(data: bytes, max_pixels: int) -> tuple[Image.Image, int]:
    if data[14:18] and int.from_bytes(data[14:18], "little") not in _BMP_HEADERS:
        raise _RefusedError(_what_it_is(data))  # two letters are a weak sign
    picture = BmpImagePlugin.BmpImageFile(io.BytesIO(data))
    _check_size(*picture.size, max_pixels)
    return picture, 1


def _tiff(data: bytes, max_pixels: int) -> tuple[Image.Image, int]:
    """Open a TIFF's first picture behind a new directory that holds only tags about pixels.

    What is left out cannot mislead Pillow or libtiff, which otherwise each read it their own way.
    """
    order, entries = _directory(data)
    entries = {tag: entries[tag] for tag in sorted(entries) if tag in _TIFF_SINGLE + _TIFF_LISTS}
    values = {tag: _tiff_values(data, order, tag, *entry) for tag, entry in entries.items()}
    _check_tiff(values, len(data), max_pixels)
    orientation, _ = values.pop(_ORIENTATION, (1,)), entries.pop(_ORIENTATION, None)
    # In front, not behind: a read beyond the pixels must meet the end of the file.
    list_start = 14 + 12 * len(entries)
    shift = list_start + 4 * len(values.get(273) or values[324])
    directory, lists = struct.pack(f"{order}H", len(entries)), b""
    for tag, (kind, count, field) in entries.items():
        if tag in (273, 324):  # where strips or tiles start
            kind, lists = 4, struct.pack(f"{order}{count}I", *(at + shift for at in values[tag]))
            field = struct.pack(f"{order}I", list_start) if count > 1 else lists
        elif count * _TIFF_TYPE_SIZES[kind] > 4:
            field = struct.pack(f"{order}I", struct.unpack(f"{order}I", field)[0] + shift)
        directory += struct.pack(f"{order}HHI4s", tag, kind, count, field)
    head = data[:4] + struct.pack(f"{order}I", 8)
    stream = io.BytesIO(b"".join((head, directory, bytes(4), lists, data)))
    picture = TiffImagePlugin.TiffImageFile(stream)
    # With its pixels' memory made here, Pillow does not warn that the picture is large.
    picture.im = Image.new(picture.mode, picture.size).im
    return picture, orientation[0]


def _tiff_values(
    data: bytes, order: str, tag: int, kind: int, count: int, field: bytes
) -> tuple[int, ...]:
    """Return a tag's numbers; none where they are not whole and positive."""
    size = count * _TIFF_TYPE_SIZES.get(kind, 0)
    if size == 0 or (tag in _TIFF_SINGLE and (count != 1 or kind not in _TIFF_WHOLE)):
        raise _RefusedError(f"is damaged: its TIFF tag {tag} has {count} values of type {kind}")
    start = 0 if size <= 4 else struct.unpack(f"{order}I", field)[0]
    held = field if size <= 4 else data
    if start + size > len(held):
        raise _RefusedError(_TRUNCATED)
    if kind not in _TIFF_WHOLE:
        return ()
    return struct.unpack_from(f"{order}{count}{_TIFF_WHOLE[kind]}", held, start)


def _check_tiff(values: dict[int, tuple[int, ...]], file_size: int, max_pixels: int) -> None:
    width, height = values.get(256, (0,))[0], values.get(257, (0,))[0]
    _check_size(width, height, max_pixels)
    compression = values.get(259, (1,))[0]
    if compression not in _TIFF_COMPRESSIONS:
        raise _RefusedError(
            f"is a TIFF with compression {compression}, which is not supported; save it with LZW"
        )
    tile_width, tile_height = values.get(322, (width,))[0], values.get(323, (1,))[0]
    _check_size(tile_width, tile_height, max(max_pixels, 1 << 20))
    if (273 in values) == (324 in values):
        raise _RefusedError("is damaged: a TIFF holds its picture in strips or in tiles")
    offsets, sizes = values.get(273) or values[324], values.get(279) or values.get(325, ())
    if any(offset + size > file_size for offset, size in zip(offsets, sizes, strict=False)):
        raise _RefusedError(_TRUNCATED)
    rows = min(values.get(278, (height,))[0], height) if 273 in values else tile_height
    pieces = -(-height // max(rows, 1)) * -(-width // tile_width)
    pieces *= values.get(277, (1,))[0] if values.get(284) == (2,) else 1
    if len(offsets) < pieces:
        raise _RefusedError(f"is damaged: it has {len(offsets)} of {pieces} pieces of the picture")


# ---- Metadata ----


def _directory(data: bytes) -> tuple[str, dict[int, tuple[int, int, bytes]]]:
    """Return the byte order and first directory of a TIFF or EXIF block: type, count, field."""
    order = "<" if data.startswith(b"II") else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    (table,) = struct.unpack_from(f"{12 * count}s", data, start + 2)
    entries: dict[int, tuple[int, int, bytes]] = {}
    for tag, *entry in struct.iter_unpack(f"{order}HHI4s", table):
        entries.setdefault(tag, (entry[0], entry[1], entry[2]))
    return order, entries


def _orientation(exif: bytes) -> int:
    """Return the orientation in an EXIF block, 1 to 8; 1 where the block is missing or damaged."""
    try:
        order, entries = _directory(exif.removeprefix(b"Exif\0\0"))
        kind, _, field = entries[_ORIENTATION]
        (orientation,) = struct.unpack_from(f"{order}{_TIFF_WHOLE[kind]}", field)
    except (KeyError, struct.error):
        return 1
    return int(orientation)


# ---- What it is instead ----


def _what_it_is(data: bytes) -> str:
    """Say why bytes that open like no picture we take are none, as far as their start tells."""
    if not data:
        return "is empty (0 bytes): a download or copy that did not finish; get the file again"
    if data.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the picture itself; run git lfs pull"
    if data[4:8] == b"ftyp":
        return f"is {_ftyp(data)}, which is not supported; convert it to JPEG"
    for prefix, what in _REFUSED_FORMATS.items():
        if data.startswith(prefix):
            return f"is {what}, which is not supported; convert it to JPEG or PNG"
    start = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "is not a picture: it starts like HTML (an error page saved under its name?)"
    if b"<svg" in start:
        return "is an SVG drawing, which is not supported; export it as PNG"
    if start.isascii() and b"\0" not in start:
        return f"is not a picture: it starts like text ({start[:20].decode()!r})"
    if not any(data[:1024]):
        return "is not a picture: it starts with zeros, as after a copy that failed"
    return "is not a picture that is supported: JPEG, PNG, WebP, BMP, TIFF or GIF"


def _ftyp(data: bytes) -> str:
    brands = data[8 : min(int.from_bytes(data[:4]), 128)]
    if b"avi" in brands:  # avif, avis; a mif1 container names them further back
        return "an AVIF picture"
    if brands[:4] in (b"mif1", b"msf1") or brands[:3] in (b"hei", b"hev"):
        return "a HEIC picture"
    return "a video"


_OPENERS: dict[bytes, Callable[[bytes, int], tuple[Image.Image, int]]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"GIF87a": _gif,
    b"GIF89a": _gif,
    b"RIFF": _webp,
    b"BM": _bmp,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
}
