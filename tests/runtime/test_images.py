"""Every awkward file is made here, so each test shows what is awkward about it."""

import io
import os
import pickle
import struct
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from silverprint.errors import ImageError
from silverprint.runtime.images import decode

HEIGHT, WIDTH = 24, 32


def smooth() -> np.ndarray:
    """An asymmetric colour picture that JPEG keeps well: (24, 32, 3) uint8."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([columns * 7, rows * 9, (rows + columns) * 4], axis=2).astype(np.uint8)


def saved(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(
        stream, kind, **options
    )
    return stream.getvalue()


def exif_with(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    return exif.tobytes()


def png_part(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, *parts: bytes, pixels: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_part(b"IHDR", header),
            *parts,
            png_part(b"IDAT", zlib.compress(pixels)),
            png_part(b"IEND", b""),
        ]
    )


def tiff(order: str, pixels: bytes, tags: dict[int, tuple[int, list[int]]]) -> bytes:
    """A TIFF of one strip; kind 3 is SHORT, 4 is LONG; lists go after the directory."""
    tags = {273: (4, [0]), 279: (4, [len(pixels)]), **tags}
    start = 8 + len(pixels) + len(pixels) % 2
    extra_at, extra, entries = start + 6 + 12 * len(tags), b"", b""
    for tag in sorted(tags):
        kind, values = tags[tag]
        if tag == 273 and values == [0]:
            values = [8]
        body = struct.pack(f"{order}{len(values)}{'HI'[kind == 4]}", *values)
        if len(body) > 4:
            body, extra = struct.pack(f"{order}I", extra_at + len(extra)), extra + body
        entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + body.ljust(4, b"\0")
    magic = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + extra
    padding = b"\0" * (len(pixels) % 2)
    return magic + struct.pack(f"{order}I", start) + pixels + padding + directory


def grey_tiff(order: str, values: np.ndarray, sample_format: int = 1, **more: object) -> bytes:
    bits = values.dtype.itemsize * 8
    pixels = values.astype(values.dtype.newbyteorder(order)).tobytes()
    height, width = values.shape
    tags = {256: (4, [width]), 257: (4, [height]), 258: (3, [bits]), 259: (3, [1]), 262: (3, [1])}
    tags |= {277: (3, [1]), 278: (4, [height]), 339: (3, [sample_format])}
    return tiff(order, pixels, tags | {int(tag[1:]): value for tag, value in more.items()})


def valid_files() -> dict[str, bytes]:
    """One small file of every kind that is taken."""
    colour = Image.fromarray(smooth())
    clear = colour.convert("RGBA")
    clear.putalpha(Image.fromarray(smooth()[:, :, 0]))
    frames = [colour.convert("P"), colour.rotate(90).convert("P")]
    return {
        "jpeg": saved(colour, "JPEG", exif=exif_with(6)),
        "jpeg-progressive": saved(colour, "JPEG", progressive=True),
        "jpeg-cmyk": saved(colour.convert("CMYK"), "JPEG"),
        "mpo": saved(colour, "MPO", save_all=True, append_images=[colour.rotate(90)]),
        "png": saved(colour, "PNG", exif=exif_with(3)),
        "png-alpha": saved(clear, "PNG"),
        "png-palette": saved(colour.convert("P"), "PNG", transparency=3),
        "png-16": saved(Image.fromarray(smooth()[:, :, 0].astype(np.uint16) * 257), "PNG"),
        "apng": saved(colour, "PNG", save_all=True, append_images=[colour.rotate(90)]),
        "webp": saved(colour, "WEBP", exif=exif_with(8)),
        "webp-lossless": saved(clear, "WEBP", lossless=True),
        "webp-animated": saved(colour, "WEBP", save_all=True, append_images=[colour.rotate(90)]),
        "bmp": saved(colour, "BMP"),
        "bmp-palette": saved(colour.convert("P"), "BMP"),
        "gif": saved(colour, "GIF"),
        "gif-animated": saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "tiff": saved(colour, "TIFF"),
        "tiff-lzw": saved(colour, "TIFF", compression="tiff_lzw"),
        "tiff-deflate": saved(clear, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-jpeg": saved(colour, "TIFF", compression="jpeg"),
        "tiff-group4": saved(colour.convert("1"), "TIFF", compression="group4"),
        "tiff-16": grey_tiff(">", smooth()[:, :, 0].astype(np.uint16) * 257),
    }


FILES = valid_files()
every_file = pytest.mark.parametrize("kind", FILES)


@contextmanager
def no_warning() -> Iterator[None]:
    """Fail on any warning; as an error inside decode it would pass for a damaged file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert not caught


def refused(source: object, match: str, **options: object) -> ImageError:
    with no_warning(), pytest.raises(ImageError, match=match) as raised:
        decode(source, **options)
    return raised.value


# ---- What comes out ----


@every_file
def test_decodes_every_kind(kind):
    expected = np.asarray(Image.open(io.BytesIO(FILES[kind])).convert("RGBA"))
    with no_warning():
        image = decode(FILES[kind])
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.shape in [(HEIGHT, WIDTH, 3), (WIDTH, HEIGHT, 3)]
    if kind in ("jpeg-progressive", "bmp", "gif", "tiff", "tiff-lzw", "mpo", "apng", "jpeg-cmyk"):
        np.testing.assert_array_equal(image, expected[:, :, :3])


@every_file
def test_bytes_and_path_agree_whatever_the_suffix(kind, tmp_path):
    file = tmp_path / "picture.txt"
    file.write_bytes(FILES[kind])
    np.testing.assert_array_equal(decode(file), decode(FILES[kind]))
    np.testing.assert_array_equal(decode(str(file)), decode(FILES[kind]))


UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind, orientation):
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    if kind == "TIFF":
        data = saved(smooth(), kind, tiffinfo={274: orientation})
    else:
        data = saved(smooth(), kind, exif=exif_with(orientation), **options)
    difference = decode(data).astype(int) - UPRIGHT[orientation](smooth())
    assert np.abs(difference).max() <= (8 if kind == "JPEG" else 0)


@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\1\x12", b"x"]
)
def test_damaged_exif_is_no_orientation(exif):
    data = saved(smooth(), "JPEG", exif=exif)
    with no_warning():
        image = decode(data)
    np.testing.assert_array_equal(image, decode(saved(smooth(), "JPEG")))


@pytest.mark.parametrize("orientation", [0, 9, 60000])
def test_unknown_orientation_is_upright(orientation):
    data = saved(smooth(), "PNG", exif=exif_with(orientation))
    np.testing.assert_array_equal(decode(data), smooth())


def test_orientation_as_a_long_and_big_endian():
    exif = b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHII", 274, 4, 1, 3) + bytes(4)
    data = saved(smooth(), "PNG", exif=b"Exif\0\0" + exif)
    np.testing.assert_array_equal(decode(data), smooth()[::-1, ::-1])


SIXTEEN = np.array([[0, 128, 129, 257], [32768, 65406, 65407, 65535]], dtype=np.uint16)
EIGHT = np.array([[0, 0, 1, 1], [128, 254, 255, 255]], dtype=np.uint8)


@pytest.mark.parametrize(
    "data",
    [
        saved(Image.fromarray(SIXTEEN), "PNG"),
        grey_tiff("<", SIXTEEN),
        grey_tiff(">", SIXTEEN),
        grey_tiff("<", SIXTEEN.astype(np.int32), 2),
        saved(Image.fromarray(SIXTEEN), "TIFF", compression="tiff_lzw"),
    ],
    ids=["png", "little", "big", "int32", "lzw"],
)
def test_16_bit_grey_is_scaled(data):
    image = decode(data)
    assert (image == image[:, :, :1]).all()
    np.testing.assert_array_equal(image[:, :, 0], EIGHT)


def test_16_bit_rgb_png_is_scaled():
    row = struct.pack(">3H", 65535, 32768, 0)
    np.testing.assert_array_equal(decode(png(1, 1, 16, 2, pixels=b"\0" + row)), [[[255, 128, 0]]])


def test_float_tiff_within_0_to_1_is_scaled():
    data = grey_tiff("<", np.array([[0, 0.5, 1]], dtype=np.float32), 3)
    np.testing.assert_array_equal(decode(data)[0, :, 0], [0, 128, 255])


def test_numbers_outside_the_assumed_range_are_refused():
    refused(
        grey_tiff("<", np.array([[0, 70000]], dtype=np.int32), 2),
        "integers from 0 to 70000.*0 to 65535",
    )
    refused(grey_tiff("<", np.array([[-1, 5]], dtype=np.int32), 2), "integers from -1 to 5")
    refused(
        grey_tiff("<", np.array([[0, 255]], dtype=np.float32), 3), "floats from 0 to 255.*0 to 1"
    )
    refused(grey_tiff("<", np.array([[0, np.nan]], dtype=np.float32), 3), "floats from nan")


def test_grey_and_1_bit():
    grey = smooth()[:, :, 0]
    np.testing.assert_array_equal(decode(saved(grey, "PNG")), np.repeat(grey[:, :, None], 3, 2))
    black_and_white = Image.fromarray(np.eye(9, dtype=bool))
    for kind in ("PNG", "TIFF", "BMP"):
        np.testing.assert_array_equal(
            decode(saved(black_and_white, kind))[:, :, 1], np.eye(9) * 255
        )


def palette_picture() -> Image.Image:
    picture = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8)).convert("P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    return picture


@pytest.mark.parametrize(
    ("transparency", "expected"),
    [
        (None, [[255, 0, 0], [0, 255, 0], [0, 0, 255]]),
        (1, [[255, 0, 0], [255, 255, 255], [0, 0, 255]]),
        (b"\xff\x00\x80", [[255, 0, 0], [255, 255, 255], [127, 127, 255]]),
    ],
)
def test_palette_is_laid_on_white(transparency, expected):
    options = {} if transparency is None else {"transparency": transparency}
    np.testing.assert_array_equal(decode(saved(palette_picture(), "PNG", **options))[0], expected)


def test_alpha_is_laid_on_white():
    pixels = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 128]]], dtype=np.uint8)
    expected = [[200, 100, 0], [255, 255, 255], [227, 177, 127]]
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(decode(saved(pixels, kind))[0], expected)
    np.testing.assert_array_equal(decode(pixels)[0], expected)
    grey = Image.merge("LA", [Image.new("L", (1, 1), 100), Image.new("L", (1, 1), 128)])
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(decode(saved(grey, kind)), [[[177, 177, 177]]])


def test_premultiplied_grey_alpha_keeps_its_alpha():
    tags = {256: (4, [2]), 257: (4, [1]), 258: (3, [8, 8]), 259: (3, [1]), 262: (3, [1])}
    tags |= {277: (3, [2]), 278: (4, [1]), 338: (3, [1])}
    data = tiff("<", bytes([50, 128, 0, 0]), tags)
    try:
        Image.open(io.BytesIO(data))
    except OSError:
        pytest.skip("this Pillow does not know the mode La")
    assert abs(int(decode(data)[0, 0, 0]) - 177) <= 1
    assert decode(data)[0, 1].tolist() == [255, 255, 255]


def test_transparent_colour_of_grey_and_rgb_png():
    grey = png(2, 1, 8, 0, png_part(b"tRNS", b"\0\x07"), pixels=b"\0\x07\x08")
    np.testing.assert_array_equal(decode(grey)[0], [[255, 255, 255], [8, 8, 8]])
    colour = png(2, 1, 8, 2, png_part(b"tRNS", b"\0\1\0\2\0\3"), pixels=b"\0\1\2\3\4\5\6")
    np.testing.assert_array_equal(decode(colour)[0], [[255, 255, 255], [4, 5, 6]])


@pytest.mark.parametrize(
    ("cmyk", "rgb"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 255, 255, 0), (255, 0, 0)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
    ],
)
def test_cmyk_colours(cmyk, rgb):
    picture = Image.new("CMYK", (16, 16), cmyk)
    for kind in ("JPEG", "TIFF"):  # Pillow writes Adobe's inverted values into the JPEG
        assert np.abs(decode(saved(picture, kind))[8, 8].astype(int) - rgb).max() <= 3
    assert b"Adobe" in saved(picture, "JPEG")


def test_ycbcr_and_lab_tiff():
    data = saved(Image.fromarray(smooth()).convert("YCbCr"), "TIFF", compression="tiff_lzw")
    assert np.abs(decode(data).astype(int) - smooth()).max() <= 3
    lab = decode(saved(Image.new("LAB", (2, 2), (255, 128, 128)), "TIFF"))
    assert lab.min() >= 250


def animation(first: int, second: int) -> list[Image.Image]:
    return [Image.new("RGB", (8, 8), (grey, 0, 0)) for grey in (first, second)]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("GIF", {}),
        ("WEBP", {"lossless": True}),
        ("PNG", {}),
        ("TIFF", {}),
        ("GIF", {"disposal": 2}),
    ],
)
def test_first_frame(kind, options):
    frames = animation(250, 40)
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(decode(data), np.asarray(frames[0]))


def gif(canvas: tuple[int, int], box: tuple[int, int, int, int], *extensions: bytes) -> bytes:
    """A GIF whose first frame, all of colour 1 (red), fills only a box of the canvas."""
    left, top, width, height = box
    frame = saved(palette_picture().resize((width, height), 0), "GIF")
    at = frame.index(b",", 13 + 12)
    palette = bytes([9, 9, 9, 255, 0, 0, 9, 9, 9, 9, 9, 9])
    codes = [4] + [1, 4] * (
        width * height
    )  # a clear code after every pixel keeps codes 3 bits wide
    bits = sum(code << (3 * place) for place, code in enumerate([*codes[:-1], 5]))
    packed = bits.to_bytes(len(codes) * 3 // 8 + 1, "little")
    blocks = b"".join(
        bytes([len(packed[i : i + 255])]) + packed[i : i + 255] for i in range(0, len(packed), 255)
    )
    assert at
    return b"".join(
        [
            b"GIF89a" + struct.pack("<HHBBB", *canvas, 0x81, 0, 0) + palette,
            *extensions,
            b"," + struct.pack("<4HB", left, top, width, height, 0),
            b"\x02" + blocks + b"\0;",
        ]
    )


def test_gif_frame_smaller_than_its_canvas_lies_on_white():
    image = decode(gif((6, 5), (2, 1, 3, 2)))
    expected = np.full((5, 6, 3), 255, dtype=np.uint8)
    expected[1:3, 2:5] = [255, 0, 0]
    np.testing.assert_array_equal(image, expected)


def test_gif_frame_beyond_its_canvas_widens_it():
    assert decode(gif((1, 1), (0, 0, 3, 2))).shape == (2, 3, 3)
    refused(gif((1, 1), (65000, 65000, 3, 2)), "is 65003 x 65002 = 4,225,325,006 pixels")


def test_gif_extensions_are_passed_over():
    comment = b"\x21\xfe" + (b"\xff" + b"x" * 255) * 3 + b"\0"
    control = b"\x21\xf9\4\x09\0\0\1\0"  # disposal 2, colour 1 transparent
    assert decode(gif((2, 2), (0, 0, 2, 2), comment)).tolist() == [[[255, 0, 0]] * 2] * 2
    assert decode(gif((2, 2), (0, 0, 2, 2), comment, control)).min() == 255
    refused(b"GIF89a" + struct.pack("<HHBBB", 2, 2, 0, 0, 0) + b";", "without a first frame")


def test_phone_picture_of_two_frames_is_a_jpeg():
    assert Image.open(io.BytesIO(FILES["mpo"])).format == "MPO"
    np.testing.assert_array_equal(
        decode(FILES["mpo"]), np.asarray(Image.open(io.BytesIO(FILES["mpo"])))
    )


def test_damaged_mpo_index_is_still_a_jpeg():
    data = bytearray(FILES["mpo"])
    at = data.index(b"MPF\0")
    data[at + 8 : at + 12] = b"\xff\xff\xff\xff"
    np.testing.assert_array_equal(decode(bytes(data)), decode(FILES["mpo"]))


def test_apng_default_picture_and_damaged_animation():
    row = b"\0\x01\x02\x03"
    twice = png_part(b"acTL", struct.pack(">II", 0, 0)) * 2
    with no_warning():
        image = decode(png(1, 1, 8, 2, twice, pixels=row))
    assert image.tolist() == [[[1, 2, 3]]]


def test_pillow_is_left_strict():
    for data in FILES.values():
        decode(data)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    assert Image.MAX_IMAGE_PIXELS == 89478485


# ---- Reduced scale ----


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    ("min_side", "side"),
    [
        (None, 96),
        (96, 96),
        (49, 96),
        (48, 48),
        (25, 48),
        (24, 24),
        (13, 24),
        (12, 12),
        (1, 12),
        (200, 96),
    ],
)
def test_reduced_scale_keeps_both_sides_at_least_min_side(min_side, side, orientation):
    data = saved(np.zeros((96, 160, 3), np.uint8), "JPEG", exif=exif_with(orientation))
    assert min(decode(data, min_side=min_side).shape[:2]) == side


def test_reduced_scale_of_odd_sizes_never_falls_short():
    for width in range(20, 60, 3):
        data = saved(np.zeros((width, width + 5, 3), np.uint8), "JPEG")
        assert min(decode(data, min_side=20).shape[:2]) >= 20


def test_reduced_scale_shows_the_same_picture():
    large = np.asarray(Image.fromarray(smooth()).resize((640, 480), Image.Resampling.BICUBIC))
    data = saved(large, "JPEG", quality=95)
    small = np.asarray(Image.fromarray(decode(data)).resize((160, 120), Image.Resampling.BOX))
    assert np.abs(decode(data, min_side=120).astype(int) - small).mean() < 1


def test_only_jpegs_are_reduced():
    assert decode(FILES["png"], min_side=1).shape == (HEIGHT, WIDTH, 3)


# ---- Arrays ----


@pytest.mark.parametrize(
    ("array", "first"),
    [
        (np.array([[7, 8]], np.uint8), 7),
        (np.array([[[7], [8]]], np.uint8), 7),
        (np.array([[[7, 7, 7], [8, 8, 8]]], np.uint8), 7),
        (np.array([[True, False]]), 255),
        (np.array([[32768, 0]], np.uint16), 128),
        (np.array([[32768, 0]], ">u2"), 128),
        (np.array([[0.5, 0]], np.float32), 128),
        (np.array([[0.5, 1]], np.float64), 128),
        (np.array([[0.5, 1]], np.float16), 128),
        (np.array([[[0.0, 0.0, 0.0, 0.5]]]), 127),
    ],
)
def test_arrays(array, first):
    image = decode(array)
    assert image.shape == (*array.shape[:2], 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image[0, 0].tolist() == [first] * 3


def test_rgb_array_is_not_copied_and_a_strided_one_is_made_contiguous():
    assert decode(smooth()) is not None
    image = smooth()
    assert np.shares_memory(decode(image), image)
    assert decode(image[::2, ::-1]).flags.c_contiguous
    np.testing.assert_array_equal(decode(image[::2, ::-1]), image[::2, ::-1])


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (
            np.zeros((3, 5, 7), np.uint8),
            r"shape \(3, 5, 7\) .*: channels come last; use array.transpose\(1, 2, 0\)",
        ),
        (np.zeros((5, 7, 2), np.uint8), r"shape \(5, 7, 2\) and type uint8; a picture is \(H, W\)"),
        (np.zeros(5, np.uint8), r"shape \(5,\)"),
        (np.zeros((2, 5, 5, 3), np.uint8), r"shape \(2, 5, 5, 3\)"),
        (np.zeros((0, 5, 3), np.uint8), r"shape \(0, 5, 3\)"),
        (np.zeros((), np.uint8), r"shape \(\)"),
        (
            np.zeros((4, 4), np.int64),
            r"shape \(4, 4\) and type int64; its type must be uint8, uint16",
        ),
        (np.zeros((4, 4), complex), "type complex128"),
        (np.array([["a"]]), "type <U1"),
        (np.array([[None]]), "type object"),
        (np.full((4, 4), 255.0), "floats from 255 to 255; they must lie within 0 to 1"),
        (np.full((4, 4), -0.1), "floats from -0.1"),
        (np.full((4, 4), np.nan), "floats from nan"),
        (np.full((4, 4), np.inf), "floats from inf"),
    ],
)
def test_arrays_that_are_no_picture(array, match):
    refused(array, "array: .*" + match)


def test_arrays_have_a_size_limit_too():
    refused(
        np.zeros((5, 4), np.uint8),
        r"array: is 4 x 5 = 20 pixels, above the limit of 19",
        max_pixels=19,
    )


# ---- Files that are no picture ----


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", r"is empty \(0 bytes\).*get the file again"),
        (b"<!DOCTYPE html><html>404", "is not a picture: it starts like HTML"),
        (b"\xef\xbb\xbf\n <HTML><body>", "is not a picture: it starts like HTML"),
        (b'<?xml version="1.0"?><svg xmlns="x"/>', "is an SVG drawing.*export it as PNG"),
        (b"<svg/>", "is an SVG drawing"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer.*git lfs pull"),
        (b"hello, this is a note", "is not a picture: it starts like text .'hello, this is a not'"),
        (b'{"error": "not found"}', "it starts like text"),
        (bytes(5000), "it starts with zeros"),
        (b"\x01\x02\x99 whatever", "supported: JPEG, PNG, WebP, BMP, TIFF or GIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC picture.*convert it to JPEG"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "is a HEIC picture"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "is an AVIF picture, which is not supported"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "is an AVIF picture"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "is a video, .*; save single frames as JPEG"),
        (b"8BPS\0\1" + bytes(40), "is a Photoshop file, which is not supported"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "is a PostScript or EPS file"),
        (b"%PDF-1.7\n", "is a PDF"),
        (b"II+\0\x08\0\0\0", "is a BigTIFF"),
        (b"PK\3\4....", "is a ZIP archive, .*; unpack it"),
        (b"RIFF\x20\0\0\0WAVEfmt ", "is not a picture that is supported"),
        (b"BMW is a car, this is text", "it starts like text"),
        (b"P6 1 1 255 abc", "it starts like text"),
        (b"\xff\xd8\xff\xe0", "is damaged|is truncated"),
        (b"II*\0", "is truncated"),
    ],
)
def test_not_a_picture(data, match, tmp_path):
    refused(data, "bytes: .*(" + match + ")")
    file = tmp_path / "photo.jpg"
    file.write_bytes(data)
    refused(file, "photo.jpg: .*(" + match + ")")


@pytest.mark.parametrize("kind", ["EPS", "ICO", "PPM", "TGA", "PCX", "AVIF", "JPEG2000", "PDF"])
def test_formats_that_pillow_knows_but_we_refuse(kind):
    try:
        data = saved(smooth(), kind)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow does not write {kind}")
    refused(data, "not supported|is not a picture")


def test_paths_that_are_no_file(tmp_path):
    missing = tmp_path / "missing.jpg"
    assert refused(missing, "does not exist; check the path").file == str(missing)
    refused(tmp_path, "is a folder, not a picture")
    refused("bad\0name.jpg", "is not a path")
    refused("x" * 5000, "cannot be read: ")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_pipe_and_device_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    refused(tmp_path / "pipe.jpg", "is a pipe or a device")
    refused("/dev/zero", "is a pipe or a device")


def test_file_without_permission(tmp_path, monkeypatch):
    file = tmp_path / "secret.jpg"
    file.write_bytes(FILES["jpeg"])
    file.chmod(0)

    def forbid(*_):  # for a test run as root, whom chmod does not stop
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", forbid)
    refused(file, "cannot be read: permission denied")


def test_huge_file_is_not_read(tmp_path):
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(2 << 30)
    refused(tmp_path / "huge.jpg", "is 2,147,483,648 bytes, above the limit of 1,073,741,824")


@pytest.mark.parametrize("source", [None, 3, 2.5, [1, 2], Image.new("RGB", (2, 2))])
def test_other_types(source):
    refused(source, "is not a picture; give a path, bytes or an array")


def test_name_is_used_and_the_error_is_light():
    error = refused(b"", "^7.png in cats.zip: is empty", name="7.png in cats.zip")
    assert error.__cause__ is None
    assert error.__context__ is None
    assert pickle.loads(pickle.dumps(error)).reason == error.reason


# ---- Bombs ----


def bomb(kind: str) -> bytes:
    if kind == "PNG":
        return png(30000, 30000, 8, 2, pixels=b"\0")
    if kind == "GIF":
        return gif((30000, 30000), (0, 0, 3, 2))
    if kind == "BMP":
        return b"BM" + bytes(8) + struct.pack("<IIiiHH6I", 54, 40, 30000, 30000, 1, 24, *[0] * 6)
    if kind == "TIFF":
        return grey_tiff("<", np.zeros((1, 1), np.uint8), t256=(4, [30000]), t257=(4, [30000]))
    if kind == "JPEG":
        data = bytearray(FILES["jpeg"])
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", 30000, 30000)
        return bytes(data)
    data = bytearray(b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + bytes(60))
    data[24:30] = (29999).to_bytes(3, "little") * 2
    return bytes(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_decompression_bomb(kind):
    refused(
        bomb(kind),
        "is 30000 x 30000 = 900,000,000 pixels, above the limit of 100,000,000; make it smaller",
    )


@every_file
def test_limit_is_exact(kind):
    assert decode(FILES[kind], max_pixels=WIDTH * HEIGHT).size == WIDTH * HEIGHT * 3
    refused(FILES[kind], "= 768 pixels, above the limit of 767", max_pixels=WIDTH * HEIGHT - 1)


def test_pillows_own_limit_neither_warns_nor_raises(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT * 2 // 3)
    for data in [*FILES.values(), gif((1, 1), (0, 0, WIDTH, HEIGHT), b"\x21\xf9\4\x08\0\0\0\0")]:
        with no_warning():
            decode(data)


def test_text_and_profile_bombs_in_png_are_not_unpacked():
    zeros = zlib.compress(bytes(50_000_000))
    parts = [png_part(b"zTXt", b"k\0\0" + zeros), png_part(b"iCCP", b"k\0\0" + zeros)]
    assert decode(png(1, 1, 8, 2, *parts, pixels=b"\0\1\2\3")).tolist() == [[[1, 2, 3]]]


def test_jpeg_of_too_many_scans():
    data = saved(smooth(), "JPEG", progressive=True)
    at = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    last = data[at : data.index(b"\xff", at + 2)]
    refused(data[:at] + last * 600 + data[at:], "has 6.. scans, above the limit of 500")
    video = b"\xff\xda" * 600
    np.testing.assert_array_equal(decode(FILES["jpeg"] + video), decode(FILES["jpeg"]))


def test_tiff_tricks():
    pixel = np.zeros((4, 4), np.uint8)
    refused(grey_tiff("<", pixel, t322=(4, [1 << 20]), t323=(4, [1 << 20])), "1048576 x 1048576")
    refused(
        grey_tiff("<", pixel, t259=(3, [34925])), "TIFF with compression 34925.*save it with LZW"
    )
    refused(grey_tiff("<", pixel, t257=(3, [4, 4])), "tag 257 has 2 values of type 3")
    refused(grey_tiff("<", pixel, t278=(4, [1])), "has 1 of 4 pieces of the picture")
    refused(grey_tiff("<", pixel, t279=(4, [1 << 30])), "is truncated")
    refused(grey_tiff("<", pixel, t273=(4, [1 << 30])), "is truncated")
    refused(grey_tiff("<", pixel, t324=(4, [8])), "in strips or in tiles")
    refused(grey_tiff("<", pixel, t278=(4, [4]), t257=(4, [400]), t279=(4, [9])), "has 1 of 100")
    refused(grey_tiff("<", pixel, t256=(4, [400]), t279=(4, [9])), "is truncated")
    refused(grey_tiff("<", pixel, t258=(3, [7])), "is damaged, or of a kind that cannot be read")


def test_tiff_with_damaged_tags_that_do_not_matter():
    data = grey_tiff("<", np.full((4, 4), 9, np.uint8), t305=(4, [1, 2, 3]), t34665=(4, [99999999]))
    with no_warning():
        assert decode(data).max() == 9


def test_png_checksums_and_unknown_parts():
    data = bytearray(FILES["png"])
    data[data.index(b"IDAT") + 20] ^= 1
    refused(bytes(data), "the checksum of its IDAT part is wrong")
    refused(png(1, 1, 8, 2, png_part(b"CgBI", b"x"), pixels=b"\0\1\2\3"), "unknown part b'CgBI'")


# ---- Truncation and damage ----


def whole_or_refused(data: bytes, whole: np.ndarray) -> None:
    with no_warning():
        try:
            image = decode(data)
        except ImageError:
            image = None
    if image is not None:
        np.testing.assert_array_equal(image, whole)


@every_file
def test_cut_anywhere_is_whole_or_refused(kind):
    data, whole = FILES[kind], decode(FILES[kind])
    for length in range(0, len(data), 1 if len(data) < 1500 else len(data) // 700):
        whole_or_refused(data[:length], whole)


@every_file
def test_half_a_file_is_called_truncated(kind):
    refused(
        FILES[kind][: len(FILES[kind]) // (4 if "animated" in kind or kind == "mpo" else 2)],
        "is truncated|is damaged",
    )


@pytest.mark.parametrize("kind", ["jpeg", "jpeg-progressive", "png", "gif", "webp", "bmp", "tiff"])
def test_cut_short_by_a_fifth_is_called_truncated(kind):
    refused(
        FILES[kind][: len(FILES[kind]) * 4 // 5],
        "is truncated: the file ends before the picture does",
    )


def test_cut_in_a_large_jpeg_is_refused():
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    data = saved(noise, "JPEG", quality=95)
    for tenth in range(1, 10):
        refused(data[: len(data) * tenth // 10], "is truncated")
        refused(data[: len(data) * tenth // 10], "is truncated", min_side=100)


def only_image_error(data: bytes) -> None:
    with no_warning():
        try:
            image = decode(data, max_pixels=100_000)
        except ImageError as error:
            assert error.reason  # noqa: PT017 — either outcome is right
        else:
            assert image.ndim == 3


PREFIXES = [
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"RIFF\x40\0\0\0WEBPVP8 ",
    b"BM",
    b"II*\0",
    b"MM\0*",
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PREFIXES), st.binary(max_size=300))
def test_random_bytes_raise_only_image_errors(prefix, data):
    only_image_error(prefix + data)


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6),
    st.booleans(),
)
def test_flipped_bytes_raise_only_image_errors(kind, flips, in_header):
    data = bytearray(FILES[kind])
    reach = min(len(data), 300) if in_header else len(data)
    for place, value in flips:
        data[int(place * reach)] = value
    only_image_error(bytes(data))


# ---- Threads ----


def test_threads_agree():
    damaged = {f"{kind} cut": data[: len(data) // 2] for kind, data in FILES.items()}
    sources = list((FILES | damaged).values()) * 8

    def outcome(data: bytes) -> object:
        try:
            return decode(data).tobytes()
        except ImageError as error:
            return str(error)

    expected = [outcome(data) for data in sources]
    filters = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(outcome, sources)) == expected
    assert list(warnings.filters) == filters


def test_bytes_like_path(tmp_path):
    class Elsewhere:
        def __fspath__(self) -> str:
            return str(tmp_path / "here.png")

    Path(Elsewhere()).write_bytes(FILES["png"])
    assert decode(Elsewhere()).shape == (HEIGHT, WIDTH, 3)
