"""`kernels`: a picture through the classic filters, side by side, by OpenCV and by torch."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.errors import ConfigError
from silverprint.inspection.figure import (
    ACCENT,
    INK,
    MUTED,
    check_place,
    drawing,
    picture,
    png,
    rectangle,
    words,
    write_bytes,
    write_figure,
)
from silverprint.inspection.kernels import (
    STANDARD,
    Array,
    Kernel,
    by_opencv,
    by_torch,
    canny,
    grey,
    import_opencv,
    parse_kernel,
    shown,
)
from silverprint.inspection.view import reduced
from silverprint.reports.markup import Markup, join
from silverprint.reports.page import make_folder
from silverprint.runtime.images import decode

COLUMNS, TILE, GAP, MARGIN = 3, 340.0, 22.0, 28.0
CELL, MOST_CELLS = 15.0, 7  # of a drawn kernel; a larger one is told by its size


@dataclass(frozen=True)
class Filtered:
    """One filter's result.

    Attributes:
        kernel: its weights.
        result: what OpenCV made: (h, w) for edges, else (h, w, 3).
        difference: the largest one between OpenCV's and torch's, on the scale 0 to 255.
    """

    kernel: Kernel
    result: Array
    difference: float


@dataclass(frozen=True)
class Sheet:
    """What was made of a picture.

    Attributes:
        figure: the file of the figure.
        files: a file for each filter, where they were asked for.
        size: height and width that was filtered.
        filtered: by each kernel.
        canny: (h, w) edges, and the thresholds.
        thresholds: of the edges.
    """

    figure: Path
    files: dict[str, Path]
    size: tuple[int, int]
    filtered: tuple[Filtered, ...]
    canny: NDArray[np.uint8]
    thresholds: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "figure": str(self.figure),
            "files": {name: str(path) for name, path in self.files.items()},
            "height": self.size[0],
            "width": self.size[1],
            "canny": {
                "low": self.thresholds[0],
                "high": self.thresholds[1],
                "share": round(float((self.canny > 0).mean()), 6),
            },
            "filters": [
                {
                    "name": one.kernel.name,
                    "kernel": one.kernel.weights.tolist(),
                    "opencv": one.kernel.opencv,
                    "largest_difference": one.difference,
                }
                for one in self.filtered
            ],
        }


def filter_picture(
    image: str | os.PathLike[str], out: Path, *, kernels: Sequence[str] = (), size: int = 800,
    thresholds: Sequence[float] = (100, 200), separate: Path | None = None,
) -> Sheet:  # fmt: skip
    """Apply the standard kernels and your own, and draw them side by side.

    Args:
        image: a picture.
        out: the figure, .svg or .png.
        kernels: as `parse_kernel` reads them.
        size: longest side to which the picture is reduced first.
        thresholds: Canny's, low and high.
        separate: a folder for each result as a PNG.

    Raises:
        SilverprintError: an argument, the picture or the place is wrong.
    """
    out = check_place(out)
    if not 16 <= size <= 4096:
        raise ConfigError(f"size must lie within 16..4096 pixels; got {size}.")
    if len(thresholds) != 2:
        raise ConfigError(f"canny takes two thresholds, LOW,HIGH; got {len(thresholds)}.")
    own = [parse_kernel(text, number) for number, text in enumerate(kernels, start=1)]
    import_opencv()
    pixels = reduced(decode(image), size)
    values = grey(pixels)
    edges = canny(values, *thresholds)
    filtered = tuple(_apply(kernel, pixels, values) for kernel in (*STANDARD, *own))
    files = {} if separate is None else _write_all(separate, filtered, edges)
    name = Path(image).name
    write_figure(_figure(name, pixels, filtered, edges, thresholds), out)
    height, width = pixels.shape[:2]
    low, high = thresholds
    return Sheet(out, files, (height, width), filtered, edges, (low, high))


def _apply(kernel: Kernel, pixels: NDArray[np.uint8], values: Array) -> Filtered:
    given = values if kernel.finds_edges else pixels.astype(np.float32)
    result = by_opencv(kernel, given)
    return Filtered(kernel, result, float(np.abs(result - by_torch(kernel, given)).max()))


def _write_all(
    folder: Path, filtered: Sequence[Filtered], edges: NDArray[np.uint8]
) -> dict[str, Path]:
    make_folder(folder)
    named = {one.kernel.name: shown(one.kernel, one.result) for one in filtered}
    named["Canny"] = edges
    files = {}
    for number, (name, result) in enumerate(named.items(), start=1):
        plain = "".join(letter if letter.isalnum() else "-" for letter in name.lower())
        files[name] = folder / f"{number:02d}-{plain}.png"
        write_bytes(png(result), files[name])
    return files


# ---- The figure ----


def _figure(
    name: str, pixels: NDArray[np.uint8], filtered: Sequence[Filtered],
    edges: NDArray[np.uint8], thresholds: Sequence[float],
) -> Markup:  # fmt: skip
    height, width = pixels.shape[:2]
    low, high = thresholds
    tiles = [_tile("picture", pixels, [f"{width} × {height} pixels"])]
    for one in filtered:
        said = [
            f"cv2.{one.kernel.opencv}",
            f"torch differs by {one.difference:.1g} of 255 at most"
            if one.difference
            else "torch gives exactly the same",
            "mid-grey is 0" if one.kernel.finds_edges else "",
        ]
        tiles.append(_tile(one.kernel.name, shown(one.kernel, one.result), said, one.kernel))
    told = ["cv2.Canny after the blur", f"begins at {high:g}, goes on above {low:g}"]
    tiles.append(_tile("Canny", edges, told))
    tall = TILE * height / width + 118
    parts = [words(MARGIN, 40, f"Kernels on {name}", 20, bold=True)]
    for i, tile in enumerate(tiles):
        x, y = MARGIN + i % COLUMNS * (TILE + GAP), 62 + i // COLUMNS * tall
        parts.append(_placed(tile, x, y))
    rows = -(-len(tiles) // COLUMNS)
    across = 2 * MARGIN + COLUMNS * TILE + (COLUMNS - 1) * GAP
    return drawing(across, 62 + rows * tall + 8, parts, f"Kernels on {name}")


def _tile(
    title: str, pixels: NDArray[np.uint8], said: Sequence[str], kernel: Kernel | None = None
) -> Markup:
    """Return a picture at 0, 0 with its title, kernel and words below."""
    tall = TILE * pixels.shape[0] / pixels.shape[1]
    parts = [picture(pixels, 0, 0, TILE, tall)]
    left = 0.0
    if kernel is not None:
        drawn, left = _grid_of(kernel, tall + 9)
        parts.append(drawn)
    parts.append(words(left, tall + 22, title, 13, bold=True, width=TILE - left))
    parts += [
        words(left, tall + 39 + 15 * i, text, 10.5, fill=MUTED) for i, text in enumerate(said)
    ]
    return join(parts)


def _grid_of(kernel: Kernel, top: float) -> tuple[Markup, float]:
    """Return a kernel's weights as a small table, and where the words beside it begin."""
    height, width = kernel.weights.shape
    if max(height, width) > MOST_CELLS:
        return words(0, top + 28, f"{height} × {width}", 12, fill=MUTED), 70.0
    cells, unit = _whole(kernel.weights)
    cell = max(CELL, 5.6 * max(len(text) for row in cells for text in row) + 5)
    strongest = float(abs(kernel.weights).max()) or 1.0
    parts = []
    for i, row in enumerate(cells):
        for j, text in enumerate(row):
            share = kernel.weights[i, j] / strongest
            fill = _tint(float(share))
            x, y = j * cell, top + i * CELL
            parts.append(rectangle(x, y, cell, CELL, fill, stroke="#ffffff", stroke_width=1))
            ink = "#ffffff" if abs(share) > 0.55 else INK
            parts.append(words(x + cell / 2, y + 11, text, 9.5, fill=ink, anchor="middle"))
    if unit:
        parts.append(words(0, top + height * CELL + 12, unit, 9.5, fill=MUTED))
    return join(parts), width * cell + 14


def _whole(weights: Array) -> tuple[list[list[str]], str]:
    """Return weights as text, where possible as whole numbers times one fraction."""
    for divisor in (1, *range(2, 17), 25, 49, 64, 81, 100, 256, 273, 1000):
        scaled = weights.astype(np.float64) * divisor
        if np.abs(scaled - scaled.round()).max() < 1e-4 * divisor:
            text = [
                [f"{int(value):d}".replace("-", "−") for value in row] for row in scaled.round()
            ]
            return text, "" if divisor == 1 else f"÷ {divisor}"
    return [[f"{value:.2g}".replace("-", "−") for value in row] for row in weights], ""


def _tint(share: float) -> str:
    """Return blue for negative weights, ochre for positive ones, the paler the weaker."""
    strong = ACCENT if share < 0 else "#b4761a"
    pale = 1 - 0.9 * abs(share)
    values = (int(strong[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(v + (245 - v) * pale):02x}" for v in values)


def _placed(tile: Markup, x: float, y: float) -> Markup:
    from silverprint.reports.markup import element

    return element("g", tile, transform=f"translate({x:g} {y:g})")
