"""What every figure here is drawn with: words, pictures and shapes as SVG, and PNG made of it.

Colours stand in each element, not in a style sheet, so that any program shows the same.
"""

import base64
import io
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

from silverprint.errors import ConfigError, MissingExtraError
from silverprint.reports.markup import Markup, element, join, letters, shorten
from silverprint.reports.page import make_folder, unwritable

INK, MUTED, HAIR, ACCENT, PAPER = "#1b1e22", "#596069", "#d5d8da", "#1f5485", "#ffffff"
# The last but one comes with Pillow, so there are letters on a machine without fonts too.
FONTS = "Inter, Helvetica Neue, Arial, DejaVu Sans, Aileron, sans-serif"
EM = 0.56  # of the letters' size: how wide one is on average
ZOOM = 2  # pixels of a PNG for one unit of the drawing
KINDS = (".svg", ".png")
PIXEL_KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
Pixels = NDArray[np.uint8]


def words(
    x: float, y: float, text: str, size: float = 12, *, fill: str = INK, anchor: str = "start",
    bold: bool = False, width: float | None = None,
) -> Markup:  # fmt: skip
    """Return a line of text; `width` shortens it to about so many units."""
    shown = text if width is None else shorten(text, max(1, int(width / (EM * size))))
    return element(
        "text", shown, x=float(x), y=float(y), font_size=float(size), fill=fill,
        text_anchor=None if anchor == "start" else anchor, font_weight=600 if bold else None,
    )  # fmt: skip


def width_of(text: str, size: float) -> float:
    """Return about how wide a text is."""
    return letters(text) * EM * size


def lines_of(text: str, width: float, size: float) -> list[str]:
    """Break a text into lines of about so many units."""
    lines: list[str] = []
    for word in text.split():
        if lines and width_of(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def paragraph(
    x: float, y: float, text: str, width: float, size: float = 10.5, fill: str = MUTED
) -> Markup:
    """Return a text broken into lines."""
    lines = lines_of(text, width, size)
    return join(
        words(x, y + 1.32 * size * i, line, size, fill=fill) for i, line in enumerate(lines)
    )


def rectangle(x: float, y: float, width: float, height: float, fill: str, **more: Any) -> Markup:
    """Return a filled rectangle."""
    return element(
        "rect", x=float(x), y=float(y), width=float(width), height=float(height), fill=fill, **more
    )


def polygon(points: Iterable[tuple[float, float]], fill: str, **more: Any) -> Markup:
    """Return a filled polygon."""
    placed = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return element("polygon", points=placed, fill=fill, **more)


def line(
    x1: float, y1: float, x2: float, y2: float, stroke: str = HAIR, width: float = 1
) -> Markup:
    """Return a straight line."""
    return element(
        "path", d=f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}", stroke=stroke, stroke_width=float(width),
        fill="none",
    )  # fmt: skip


def picture(
    pixels: Pixels, x: float, y: float, width: float, height: float, *, sharp: bool = False
) -> Markup:
    """Return a picture (h, w, 3) or (h, w) uint8; `sharp` keeps its pixels square when enlarged."""
    data = base64.b64encode(png(pixels)).decode("ascii")
    return element(
        "image", href=f"data:image/png;base64,{data}", x=float(x), y=float(y), width=float(width),
        height=float(height), preserveAspectRatio="none",
        style="image-rendering:pixelated" if sharp else None,
    )  # fmt: skip


def png(pixels: Pixels) -> bytes:
    """Return pixels as the bytes of a PNG file."""
    return encoded(pixels, Path("_.png"))


def encoded(pixels: Pixels, path: Path) -> bytes:
    """Return pixels as the bytes of the file that the path's ending names, one of PIXEL_KINDS."""
    stream = io.BytesIO()
    kind = PIXEL_KINDS[path.suffix.lower()]
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, kind, quality=92)
    return stream.getvalue()


def drawing(width: float, height: float, parts: Iterable[Markup], title: str) -> Markup:
    """Return the finished figure on white paper."""
    return element(
        "svg", element("title", title), rectangle(0, 0, width, height, PAPER), *parts,
        xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=round(width), height=round(height), font_family=FONTS, role="img",
        style="max-width:100%;height:auto",  # in a notebook's cell, which cuts off what is wider
    )  # fmt: skip


def check_place(path: Path, kinds: Sequence[str] = KINDS) -> Path:
    """Make sure, before any work is done, that a figure may be written there; return its path.

    Raises:
        ConfigError: its ending is another, or its folder cannot be made.
        MissingExtraError: it would be a PNG, and what makes them is not installed.
    """
    path = path.expanduser()
    if path.suffix.lower() not in kinds:
        raise ConfigError(f"a figure must end with {' or '.join(kinds)}; got {str(path)!r}.")
    if path.is_dir():
        raise ConfigError(f"{str(path)!r} is a folder; name a file in it.")
    make_folder(path.parent)
    if path.suffix.lower() == ".png":
        import_resvg()
    return path


def write_figure(figure: Markup, path: Path) -> None:
    """Write a figure as SVG or as PNG, as its ending says, whole or not at all.

    Raises:
        ConfigError: it cannot be written.
        MissingExtraError: what makes PNG files is not installed.
    """
    as_svg = path.suffix.lower() == ".svg"
    write_bytes(f"{figure}\n".encode() if as_svg else rendered(figure), path)


def write_bytes(data: bytes, path: Path) -> None:
    """Write a file whole or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise unwritable(path, error) from None


def rendered(figure: Markup) -> bytes:
    """Return a figure as the bytes of a PNG file.

    Raises:
        MissingExtraError: what makes them is not installed.
    """
    resvg = import_resvg()
    with tempfile.TemporaryDirectory() as folder:
        font = Path(folder) / "aileron.ttf"
        font.write_bytes(_own_font())
        data = resvg.svg_to_bytes(svg_string=str(figure), zoom=ZOOM, font_files=[str(font)])
    return bytes(data)


def import_resvg() -> Any:
    """Return the module that turns SVG into PNG.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import resvg_py
    except ImportError as error:
        raise MissingExtraError("a figure as PNG (SVG does not)", "explain") from error
    return resvg_py


def _own_font() -> bytes:
    font = ImageFont.load_default(12)
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert isinstance(font.path, io.BytesIO)
    return font.path.getvalue()
