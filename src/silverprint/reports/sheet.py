"""Rows of pictures side by side, as one image or as a whole chapter."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from silverprint.reports.markup import Markup, Section, element
from silverprint.runtime.sheets import sheet

CLASSES_NAMED = 10


@dataclass(frozen=True)
class Row:
    """Pictures that stand side by side.

    Attributes:
        name: what they are, such as "originals".
        pictures: (n, 1 or 3, S, S) in 0..1.
    """

    name: str
    pictures: NDArray[np.float32]


def in_turn(classes: Sequence[str]) -> str:
    """Return a sentence that says of which classes a sheet's pictures are; empty without any."""
    if not classes:
        return ""
    more = ", …" if len(classes) > CLASSES_NAMED else "."
    return f" Of each class in turn: {', '.join(classes[:CLASSES_NAMED])}{more}"


def sheet_section(
    anchor: str,
    title: str,
    rows: Sequence[NDArray[np.float32]],
    columns: int,
    caption: str,
    words: str = "",
) -> Section:
    """Return a chapter that is one `sheet_figure`, whose words are the title and the caption."""
    words = words or f"{title}: {caption}"
    return Section(anchor, title, sheet_figure(rows, columns, caption, words))


def sheet_figure(
    rows: Sequence[NDArray[np.float32]], columns: int, caption: str, words: str
) -> Markup:
    """Return rows of pictures as one image that keeps its pixels square, and its caption.

    Args:
        rows: each (n, 1 or 3, S, S) in 0..1, with the same n.
        columns: most pictures side by side.
        caption: stands below.
        words: what a screen reader says.
    """
    pixels = sheet(rows, columns=columns, enlarge=1)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    height, width = pixels.shape[:2]
    image = element(
        "img",
        src=f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}",
        alt=words,
        width=width,
        height=height,
        style="width:100%;height:auto;image-rendering:pixelated",
    )
    return element("figure", image, element("figcaption", caption))
