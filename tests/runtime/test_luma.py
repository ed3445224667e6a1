"""Grey as Pillow makes it, of bytes and of floats."""

import numpy as np
from PIL import Image

from silverprint.runtime.luma import luma


def test_luma_is_pillows_and_leaves_grey_alone() -> None:
    colour = np.random.default_rng(0).integers(256, size=(2, 3, 16, 16), dtype=np.uint8)
    ours = luma(colour)[:, 0].astype(int)
    theirs = [Image.fromarray(c.transpose(1, 2, 0)).convert("L") for c in colour]
    assert np.abs(ours - np.stack(theirs)).max() <= 1
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16), 3, axis=1)
    np.testing.assert_array_equal(luma(grey), grey[:, :1])


def test_floats_become_what_bytes_do() -> None:
    colour = np.random.default_rng(1).integers(256, size=(3, 9, 7), dtype=np.uint8)
    found = luma(colour.astype(np.float32))
    assert found.shape == (1, 9, 7)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, luma(colour))
