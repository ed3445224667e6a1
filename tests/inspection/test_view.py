"""A picture on both sides of the preprocessing, and colours."""

import numpy as np
import pytest
from PIL import Image

from silverprint.backbones.reading import PictureReader
from silverprint.inspection.heat import (
    EMBER,
    SIGNED,
    coloured,
    grid,
    overlay,
    resized,
    signed_overlay,
    tiles,
)
from silverprint.inspection.view import SHOWN_SIDE, reduced, view
from silverprint.runtime.preprocessing import Preprocessing


def marked(height: int, width: int, top: int, left: int, side: int) -> np.ndarray:
    """Return a black picture with a white square."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[top : top + side, left : left + side] = 255
    return pixels


@pytest.mark.parametrize("fit", ["pad", "crop", "squash"])
@pytest.mark.parametrize(("height", "width"), [(60, 100), (100, 60), (40, 40), (33, 97)])
def test_what_the_network_saw_lies_where_it_is_in_the_picture(fit, height, width) -> None:
    source = marked(height, width, height // 2 - 6, width // 2 - 2, 9)
    seen = view(source, "a", Preprocessing(size=64, fit=fit))
    assert seen.pixels.shape == (3, 64, 64)
    back = seen.lay(seen.pixels.mean(axis=0).astype(np.float32))
    assert back.shape == seen.picture.shape[:2]
    difference = np.abs(back - seen.picture.mean(axis=2))
    assert difference.mean() < 8  # only the square's border is blurred
    assert back.max() > 200


def test_pad_leaves_its_bars_out_and_crop_keeps_the_middle() -> None:
    padded = view(marked(50, 100, 0, 0, 5), "a", Preprocessing(size=64, fit="pad"))
    assert padded.box == (16, 0, 48, 64)
    assert padded.picture.shape == (3 * 50, 3 * 100, 3)  # small ones are shown enlarged
    cropped = view(marked(50, 100, 0, 0, 5), "a", Preprocessing(size=64, fit="crop", crop=0.8))
    assert cropped.picture.shape == (8 * 40, 8 * 40, 3)
    assert not cropped.picture.any()


def test_large_pictures_are_shown_smaller() -> None:
    assert reduced(np.zeros((1500, 3000, 3), dtype=np.uint8)).shape == (
        SHOWN_SIDE // 2,
        SHOWN_SIDE,
        3,
    )
    small = np.zeros((10, 20, 3), dtype=np.uint8)
    assert reduced(small) is small


def test_colours_go_from_the_first_to_the_last() -> None:
    ends = coloured(np.array([-1, 0, 1, 2], dtype=np.float32), EMBER)
    assert ends[0].tolist() == ends[1].tolist() == [0x1B, 0x0C, 0x41]
    assert ends[2].tolist() == ends[3].tolist() == [0xFC, 0xF0, 0xA0]
    brightness = coloured(np.linspace(0, 1, 50, dtype=np.float32), EMBER).astype(int).sum(axis=1)
    assert (np.diff(brightness) > 0).all()


def test_no_heat_leaves_the_picture_and_some_does_not() -> None:
    picture = np.full((4, 4, 3), 90, dtype=np.uint8)
    none = np.zeros((4, 4), dtype=np.float32)
    np.testing.assert_array_equal(overlay(picture, none), picture)
    np.testing.assert_array_equal(signed_overlay(picture, none), picture)
    values = none.copy()
    values[0, 0], values[1, 1] = 2, -2
    heated = overlay(picture, values)
    assert heated[0, 0, 0] > 150
    np.testing.assert_array_equal(heated[1:], picture[1:])
    coloured_picture = np.full((4, 4, 3), (200, 10, 10), dtype=np.uint8)
    assert len(set(overlay(coloured_picture, none)[0, 0])) == 1  # its red would pass for heat
    both = signed_overlay(picture, values).astype(int)
    assert both[0, 0, 0] > both[0, 0, 2]
    assert both[1, 1, 2] > both[1, 1, 0]
    assert len(SIGNED) % 2 == 1


def test_sheets() -> None:
    maps = np.zeros((5, 2, 3), dtype=np.float32)
    assert grid(maps, 2, gap=1, enlarge=2).shape == (3 * 4 + 2, 2 * 6 + 1, 3)
    assert tiles(np.zeros((3, 4, 4, 3), dtype=np.uint8), 5).shape == (4, 3 * 5 - 1, 3)
    assert resized(np.ones((3, 3), dtype=np.float32), 5, 4).shape == (4, 5)


def test_a_large_jpeg_is_decoded_as_it_is_for_an_answer(tmp_path) -> None:
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (480, 640, 3), dtype=np.uint8)  # at another scale all differs
    path = tmp_path / "a.jpg"
    Image.fromarray(noise).save(path, quality=95)
    preprocessing = Preprocessing(size=64, fit="crop", crop=0.9)
    seen = view(path, "a", preprocessing)
    expected = PictureReader(preprocessing, [path], ["a"], exact=True).see(0, ()).pixels
    np.testing.assert_array_equal(seen.pixels, expected)
    assert seen.picture.shape == (432, 432, 3)
