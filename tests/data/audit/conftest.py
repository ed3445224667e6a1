"""Photographs with structure, so that copies can be told from neighbours."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from silverprint.data.audit.facts import Facts, measure

Draw = Callable[..., Image.Image]


@pytest.fixture
def draw() -> Draw:
    """Return a function that draws a picture of blobs; another seed, another picture."""

    def draw_one(seed: int, size: tuple[int, int] = (240, 300)) -> Image.Image:
        areas = np.random.default_rng(seed).integers(0, 256, (7, 6, 3), dtype=np.uint8)
        return Image.fromarray(areas).resize(size, Image.Resampling.BICUBIC)

    return draw_one


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """Return a function that turns a picture into a file's bytes."""

    def encode_one(picture: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
        stream = io.BytesIO()
        picture.save(stream, kind, **options)
        return stream.getvalue()

    return encode_one


@pytest.fixture
def facts_of(encode: Callable[..., bytes]) -> Callable[..., Facts]:
    """Return a function that measures pictures."""

    def facts_of_all(*pictures: Image.Image) -> Facts:
        return Facts(np.stack([measure(encode(one, "PNG"), "x.png") for one in pictures]))

    return facts_of_all
