"""Which files the page asks for."""

import io
import re
from importlib import resources

import pytest
from PIL import Image

from silverprint.runtime.images import decode

PAGE = resources.files("silverprint.serving").joinpath("page/index.html").read_text("utf-8")
KINDS = re.search(r'id="files" accept="([^"]*)"', PAGE)[1].split(",")


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_page_asks_for_is_read(kind: str) -> None:
    # Not image/*: that lets Safari hand over a HEIC photo as it is.
    written = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(written, kind.removeprefix("image/"))
    assert decode(written.getvalue()).shape == (6, 8, 3)
