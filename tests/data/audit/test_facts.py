"""What is measured of a picture, against pictures of which it is known."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from silverprint.data.audit.facts import DIMENSION, FORMATS, NAMES, SIDE, Facts, measure
from silverprint.errors import ImageError


def measured(content) -> Facts:
    return Facts(measure(content, "x")[None])


def test_facts_of_one_colour(encode) -> None:
    content = encode(Image.new("RGB", (400, 200), (255, 128, 0)), "PNG")
    facts = measured(content)
    assert facts.values.shape == (1, DIMENSION)
    assert facts.values.dtype == np.float32
    expected = {
        "width": 400, "height": 200, "bytes": len(content), "format": FORMATS.index("PNG"),
        "red": 1, "green": 128 / 255, "blue": 0, "saturation": 1, "contrast": 0, "sharpness": 0,
    }  # fmt: skip
    for name, value in expected.items():
        assert facts[name][0] == pytest.approx(value, abs=1e-5), name
    assert facts.brightness[0] == pytest.approx(0.299 + 0.587 * 128 / 255, abs=1e-5)
    assert np.ptp(facts.thumbnails[0]) == 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WebP", "BMP", "TIFF"])
def test_the_format_is_told_by_content(draw, encode, kind) -> None:
    assert FORMATS[int(measured(encode(draw(0), kind))["format"][0])] == kind


def test_a_picture_lying_on_its_side_is_measured_upright(draw, encode) -> None:
    exif = Image.Exif()
    exif[274] = 6
    facts = measured(encode(draw(0, (300, 200)), exif=exif))
    assert (facts["width"][0], facts["height"][0]) == (200, 300)


def test_an_array_is_measured_too() -> None:
    facts = measured(np.zeros((28, 20), np.uint8))
    assert (facts["width"][0], facts["height"][0], facts["bytes"][0]) == (20, 28, 560)
    assert FORMATS[int(facts["format"][0])] == "array"
    assert facts.brightness[0] == 0


def test_blur_lowers_sharpness_and_little_else(encode) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((400, 400), Image.Resampling.NEAREST)
    sharp = measured(encode(picture, "PNG"))
    blurred = measured(encode(picture.filter(ImageFilter.GaussianBlur(8)), "PNG"))
    assert blurred["sharpness"][0] < 0.5 * sharp["sharpness"][0]
    assert blurred.brightness[0] == pytest.approx(sharp.brightness[0], abs=0.02)


def test_a_large_jpeg_has_the_facts_of_its_full_size(draw, encode) -> None:
    large = measured(encode(draw(1, (1200, 1600)), quality=95))
    small = measured(encode(draw(1, (300, 400)), quality=95))
    assert large["width"][0] == 1200
    difference = large.thumbnails.astype(int) - small.thumbnails
    assert np.abs(difference).max() < 8


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (900, 1)])
def test_extreme_shapes_are_measured(encode, size) -> None:
    facts = measured(encode(Image.new("RGB", size, "red"), "PNG"))
    assert np.isfinite(facts.values[:, : len(NAMES)]).all()
    assert facts.thumbnails.shape == (1, SIDE, SIDE)


def test_a_thumbnail_survives_its_journey_as_floats(encode) -> None:
    # Any four bytes are some float, NaN too; a cache must give back the same bytes.
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    facts = measured(encode(Image.fromarray(noise), "PNG"))
    again = Facts(np.frombuffer(facts.values.tobytes(), np.float32).reshape(1, -1)[[0]].copy())
    assert (again.thumbnails == facts.thumbnails).all()
    grey = np.asarray(Image.fromarray(noise).convert("L"))
    assert (facts.thumbnails[0] == grey).all()


def test_what_is_no_picture_is_named() -> None:
    with pytest.raises(ImageError, match=r"notes\.jpg: "):
        measure(b"just words", "notes.jpg")
