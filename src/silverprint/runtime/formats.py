"""Opening each picture format safely: only the parts that describe pixels ever reach Pillow.

Sizes are checked in the header. So no file reaches a path of Pillow that warns, loops or allocates
without need, and no global state of Pillow or of `warnings` is changed.
"""

import io
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

from silverprint.errors import RefusedError

MAX_SCANS = 500  # a progressive JPEG has about 10; each costs a pass over all its pixels

TRUNCATED = "is truncated: the file ends before the picture does; get the file again"
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


_REMEDIES = {
    "a ZIP archive": "unpack it",
    "a gzip archive": "unpack it",
    "a video": "save single frames as JPEG",
}


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse a picture that is empty or larger than allowed."""
    if width < 1 or height < 1:
        raise RefusedError(f"is damaged: its header says {width} x {height} pixels")
    if width * height > max_pixels:
        raise RefusedError(
            f"is {width} x {height} = {width * height:,} pixels, above the limit of "
            f"{max_pixels:,}; make it smaller, or raise max_pixels"
        )


def open_picture(
    data: bytes, min_side: int | None, max_pixels: int
) -> tuple[Image.Image, Image.Transpose | None]:
    """Open a file's bytes by its content; return the picture, and how to turn it upright.

    Raises:
        RefusedError: it is no picture that is taken, or breaks a limit.
    """
    if data.startswith(b"\xff\xd8\xff"):
        picture, orientation = _jpeg(data, min_side, max_pixels)
        return picture, _TRANSPOSES.get(orientation)
    for prefix, opener in _OPENERS.items():
        if data.startswith(prefix):
            picture, orientation = opener(data, max_pixels)
            return picture, _TRANSPOSES.get(orientation)
    raise RefusedError(_what_it_is(data))


# ---- Pixels ----


def to_rgb(picture: Image.Image) -> Image.Image:
    """Load a picture of any mode as RGB: 16 bits scaled, transparency laid on white."""
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
        return scale_floats(values)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise RefusedError(
            f"holds integers from {low} to {high}; they must lie within 0 to 65535: scale them"
        )
    return scale_16_bit(values)


def scale_16_bit(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return 0..65535 as 0..255; 257 takes the one range's ends to the other's."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def scale_floats(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return 0..1 as 0..255, rounded."""
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 1):  # so written, it is also true of NaN
        raise RefusedError(
            f"holds floats from {low:g} to {high:g}; they must lie within 0 to 1: scale them"
        )
    return np.rint(values * np.float32(255)).astype(np.uint8)


# ---- Formats ----


class _Jpeg(JpegImagePlugin.JpegImageFile):
    def _read_dpi_from_exif(self) -> None:
        """Leave the EXIF block unread: Pillow is slow at it, and warns where it is damaged."""


def _jpeg(data: bytes, min_side: int | None, max_pixels: int) -> tuple[Image.Image, int]:
    # The class itself, not Image.open: that would take a phone's MPO apart, and warn.
    picture = _Jpeg(io.BytesIO(data))
    check_size(*picture.size, max_pixels)
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
        raise RefusedError(f"has {scans} scans, above the limit of {MAX_SCANS}; save it again")


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
            raise RefusedError(TRUNCATED)
        if kind == b"eXIf":
            exif = data[start + 8 : at - 4]
        elif kind in _PNG_PARTS:
            if zlib.crc32(view[start + 4 : at - 4]) != int.from_bytes(view[at - 4 : at]):
                raise RefusedError(f"is damaged: the checksum of its {kind.decode()} part is wrong")
            parts.append(view[start:at])
        elif kind[:1].isupper():
            raise RefusedError(f"is a PNG with an unknown part {kind!r}; save it again as PNG")
    picture = PngImagePlugin.PngImageFile(io.BytesIO(b"".join(parts)))
    check_size(*picture.size, max_pixels)
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
        raise RefusedError("is damaged: it is a GIF without a first frame")
    left, top, width, height, flags = struct.unpack_from("<4HB", data, at + 1)
    end = _skip_gif_blocks(data, at + 11 + _gif_palette_size(flags))
    canvas = max(canvas_width, left + width), max(canvas_height, top + height)
    check_size(width, height, max_pixels)
    check_size(*canvas, max_pixels)
    size = struct.pack("<HH", width, height)
    alone = b"GIF89a" + size + head + control + b",\0\0\0\0" + size + data[at + 9 : end] + b";"
    frame = to_rgb(GifImagePlugin.GifImageFile(io.BytesIO(alone)))
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
        raise RefusedError(_what_it_is(data))
    if len(data) < max(30, int.from_bytes(data[4:8], "little") + 8):
        raise RefusedError(TRUNCATED)
    # Read here, because Pillow's decoder allocates the canvas as soon as it is made.
    if data[12:16] == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    check_size(width, height, max_pixels)
    picture = WebPImagePlugin.WebPImageFile(io.BytesIO(data))
    return picture, _orientation(picture.info.get("exif", b""))


def _bmp(data: bytes, max_pixels: int) -> tuple[Image.Image, int]:
    if data[14:18] and int.from_bytes(data[14:18], "little") not in _BMP_HEADERS:
        raise RefusedError(_what_it_is(data))  # two letters are a weak sign
    picture = BmpImagePlugin.BmpImageFile(io.BytesIO(data))
    check_size(*picture.size, max_pixels)
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
        raise RefusedError(f"is damaged: its TIFF tag {tag} has {count} values of type {kind}")
    start = 0 if size <= 4 else struct.unpack(f"{order}I", field)[0]
    held = field if size <= 4 else data
    if start + size > len(held):
        raise RefusedError(TRUNCATED)
    if kind not in _TIFF_WHOLE:
        return ()
    return struct.unpack_from(f"{order}{count}{_TIFF_WHOLE[kind]}", held, start)


def _check_tiff(values: dict[int, tuple[int, ...]], file_size: int, max_pixels: int) -> None:
    width, height = values.get(256, (0,))[0], values.get(257, (0,))[0]
    check_size(width, height, max_pixels)
    compression = values.get(259, (1,))[0]
    if compression not in _TIFF_COMPRESSIONS:
        raise RefusedError(
            f"is a TIFF with compression {compression}, which is not supported; save it with LZW"
        )
    tile_width, tile_height = values.get(322, (width,))[0], values.get(323, (1,))[0]
    check_size(tile_width, tile_height, max(max_pixels, 1 << 20))
    if (273 in values) == (324 in values):
        raise RefusedError("is damaged: a TIFF holds its picture in strips or in tiles")
    offsets, sizes = values.get(273) or values[324], values.get(279) or values.get(325, ())
    if any(offset + size > file_size for offset, size in zip(offsets, sizes, strict=False)):
        raise RefusedError(TRUNCATED)
    rows = min(values.get(278, (height,))[0], height) if 273 in values else tile_height
    pieces = -(-height // max(rows, 1)) * -(-width // tile_width)
    pieces *= values.get(277, (1,))[0] if values.get(284) == (2,) else 1
    if len(offsets) < pieces:
        raise RefusedError(f"is damaged: it has {len(offsets)} of {pieces} pieces of the picture")


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
        return _refused(_ftyp(data))
    for prefix, what in _REFUSED_FORMATS.items():
        if data.startswith(prefix):
            return _refused(what)
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


def _refused(what: str) -> str:
    return f"is {what}, which is not supported; {_REMEDIES.get(what, 'convert it to JPEG or PNG')}"


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
