"""Sheets of pictures and headlines, as they stand on a page."""

import base64
import io
import re

import numpy as np
from PIL import Image

from silverprint.reports.page import headline
from silverprint.reports.sheet import sheet_section


def test_a_sheet_keeps_every_pixel_and_says_what_it_shows() -> None:
    rows = [np.zeros((3, 1, 4, 4), np.float32), np.ones((3, 1, 4, 4), np.float32)]
    section = sheet_section("both", "In & out", rows, 2, "Black over white.")
    (encoded,) = re.findall(r"base64,([^\"]+)", section.body)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    # Two and a gap across; two rows, a wider gap, and the third picture's two rows.
    assert pixels.shape == (28, 10, 3)
    assert (pixels[:4, :4] == 0).all()
    assert (pixels[18:22, :4] == 0).all()
    assert (pixels[6:10] == 255).all()
    assert 'alt="In &amp; out: Black over white."' in section.body
    assert "<figcaption>Black over white.</figcaption>" in section.body


def test_a_headline_leaves_out_what_it_is_not_given() -> None:
    bare = headline("3", aside="nothing else")
    assert "small" not in bare
    assert "sentence" not in bare
    full = headline("3", "dB", sentence="Of <all>.", aside="")
    assert '<p class="number">3<small>\u202fdB</small></p>' in full
    assert "Of &lt;all&gt;." in full
