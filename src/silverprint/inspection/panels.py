"""An explanation as a figure: where the network looked, and which training pictures are nearest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from silverprint.inspection.figure import (
    ACCENT,
    HAIR,
    INK,
    MUTED,
    drawing,
    line,
    paragraph,
    picture,
    rectangle,
    words,
)
from silverprint.inspection.heat import EMBER, SIGNED, Array, Pixels, coloured
from silverprint.reports.markup import Markup, join

WIDTH, MARGIN, GAP = 960.0, 28.0, 18.0
TILE, TALLEST = 286.0, 372.0  # what a large picture fits into
THUMB = 136.0  # of a small one
OTHER = "#b3452c"  # a neighbour of another class


@dataclass(frozen=True)
class Panel:
    """A large picture with a title above and words below.

    Attributes:
        title: what is shown.
        pixels: (h, w, 3).
        words: below it.
        scale: the colours of its heat, least first, and what the ends mean.
    """

    title: str
    pixels: Pixels
    words: str
    scale: tuple[tuple[str, ...], str, str] | None = None


@dataclass(frozen=True)
class Small:
    """A small picture with two lines below.

    Attributes:
        pixels: (h, w, 3).
        label: the first line.
        words: the second.
        agrees: whether its label is the answer's.
    """

    pixels: Pixels
    label: str
    words: str
    agrees: bool


def explanation_figure(
    title: str, answer: str, top: Sequence[tuple[str, float]], rows: Sequence[Sequence[Panel]],
    neighbours: Sequence[Small], beside: str,
) -> Markup:  # fmt: skip
    """Return the figure.

    Args:
        title: the picture's name.
        answer: what the bundle says, in words.
        top: the likeliest classes and their probabilities.
        rows: panels, up to three a row; the first row's first is the picture itself.
        neighbours: the nearest training pictures.
        beside: words about them, or why there are none.
    """
    parts = [
        words(MARGIN, 42, title, 12, fill=MUTED, width=WIDTH - 2 * MARGIN),
        words(MARGIN, 68, answer, 22, bold=True, width=WIDTH - 2 * MARGIN),
    ]
    y = 102.0
    for row in rows:
        parts += [
            _panel(panel, MARGIN + i * (TILE + GAP), y, tall := _tallest(row))
            for i, panel in enumerate(row)
        ]
        y += tall + 88
    parts.append(_bars(top, MARGIN, y))
    left = MARGIN + TILE + GAP
    parts.append(words(left, y + 12, "Nearest training pictures", 13, bold=True))
    parts.append(paragraph(left, y + 30, beside, WIDTH - left - MARGIN))
    y += 52
    columns = int((WIDTH - left - MARGIN + GAP) // (THUMB + GAP))
    for i, small in enumerate(neighbours):
        at = left + i % columns * (THUMB + GAP), y + i // columns * (THUMB + 48)
        parts.append(_small(small, *at))
    rows_of_small = -(-len(neighbours) // columns)
    bottom = max(y + rows_of_small * (THUMB + 48), y + 24 * len(top))
    return drawing(WIDTH, bottom + 12, parts, f"Why {title} is answered so")


def _fitted(pixels: Pixels, across: float, tall: float) -> tuple[float, float]:
    height, width = pixels.shape[:2]
    scale = min(across / width, tall / height)
    return width * scale, height * scale


def _tallest(row: Sequence[Panel]) -> float:
    return max(_fitted(panel.pixels, TILE, TALLEST)[1] for panel in row)


def _panel(panel: Panel, x: float, y: float, tall: float) -> Markup:
    width, height = _fitted(panel.pixels, TILE, TALLEST)
    top = y + 12
    small = max(panel.pixels.shape[:2]) < TILE / 2
    parts = [
        words(x, y, panel.title, 13, bold=True, width=TILE),
        picture(panel.pixels, x, top, width, height, sharp=small),
        paragraph(x, top + tall + 18, panel.words, TILE),
    ]
    if panel.scale is not None:
        parts.append(_scale(*panel.scale, x, top + tall + 50))
    return join(parts)


def _scale(colours: Sequence[str], less: str, more: str, x: float, y: float) -> Markup:
    ramp = coloured(np.linspace(0, 1, 90, dtype=np.float32)[None].repeat(2, 0), colours)
    return join((
        words(x, y + 8, less, 9.5, fill=MUTED),
        picture(ramp, x + 62, y, 120, 9),
        words(x + 188, y + 8, more, 9.5, fill=MUTED),
    ))  # fmt: skip


def ember_scale() -> tuple[tuple[str, ...], str, str]:
    """Return the scale of heat that only adds."""
    return EMBER, "nothing", "most"


def signed_scale() -> tuple[tuple[str, ...], str, str]:
    """Return the scale of what may speak against, too."""
    return SIGNED, "against", "for"


def _bars(top: Sequence[tuple[str, float]], x: float, y: float) -> Markup:
    parts = [words(x, y + 12, "Likeliest classes", 13, bold=True)]
    for i, (label, share) in enumerate(top):
        row = y + 30 + 26 * i
        ink = INK if i == 0 else MUTED
        parts += [
            words(x, row + 8, label, 11, fill=ink, width=120),
            rectangle(x + 126, row, 110, 9, "#eceeef"),
            rectangle(x + 126, row, max(0.6, 110 * share), 9, ACCENT if i == 0 else "#8fa9c0"),
            words(x + TILE, row + 8, f"{100 * share:.1f} %", 11, fill=ink, anchor="end"),
        ]
    return join(parts)


def _small(small: Small, x: float, y: float) -> Markup:
    width, height = _fitted(small.pixels, THUMB, THUMB)
    left, top = x + (THUMB - width) / 2, y + (THUMB - height) / 2
    colour = ACCENT if small.agrees else OTHER
    return join((
        rectangle(x, y, THUMB, THUMB, "#f4f5f5"),
        picture(small.pixels, left, top, width, height, sharp=max(small.pixels.shape) < THUMB / 2),
        line(x, y + THUMB + 3, x + THUMB, y + THUMB + 3, colour, 3),
        words(x, y + THUMB + 18, small.label, 11.5, fill=colour, bold=True, width=THUMB),
        words(x, y + THUMB + 32, small.words, 9.5, fill=MUTED, width=THUMB),
    ))  # fmt: skip


# ---- Stacks of sections: what layers hold, kernels ----


@dataclass(frozen=True)
class Chapter:
    """A titled part of a longer figure.

    Attributes:
        title: of the part.
        words: what it shows.
        body: drawn with its top left corner at 0, 0.
        height: of the body.
    """

    title: str
    words: str
    body: Markup
    height: float


def stacked_figure(title: str, subtitle: str, chapters: Sequence[Chapter]) -> Markup:
    """Return chapters below each other."""
    from silverprint.inspection.figure import lines_of
    from silverprint.reports.markup import element

    parts = [
        words(MARGIN, 42, title, 22, bold=True, width=WIDTH - 2 * MARGIN),
        words(MARGIN, 62, subtitle, 12, fill=MUTED, width=WIDTH - 2 * MARGIN),
    ]
    y = 88.0
    for chapter in chapters:
        room = WIDTH - 2 * MARGIN
        parts.append(line(MARGIN, y, WIDTH - MARGIN, y, HAIR))
        parts.append(words(MARGIN, y + 24, chapter.title, 14, bold=True, width=room))
        parts.append(paragraph(MARGIN, y + 42, chapter.words, room))
        y += 42 + 14 * len(lines_of(chapter.words, room, 10.5))
        parts.append(element("g", chapter.body, transform=f"translate({MARGIN:g} {y:g})"))
        y += chapter.height + 22
    return drawing(WIDTH, y, parts, title)


def maps_body(sheet: Pixels, width: float = WIDTH - 2 * MARGIN) -> tuple[Markup, float]:
    """Return a sheet of maps as wide as it may be at a whole enlargement, and its height."""
    height, own = sheet.shape[:2]
    shown = min(width, float(own))
    return picture(sheet, 0, 0, shown, height * shown / own, sharp=True), height * shown / own


def norm_body(
    columns: Sequence[tuple[str, Array, Array]], height: float = 150.0
) -> tuple[Markup, float]:
    """Return charts side by side: each channel's mean and one deviation either way.

    Args:
        columns: title, means (c,) and deviations (c,) of each chart; all have one scale.
        height: of the charts.
    """
    from silverprint.reports.drawing import nice_scale

    low = min(float((mean - spread).min()) for _, mean, spread in columns)
    high = max(float((mean + spread).max()) for _, mean, spread in columns)
    scale = nice_scale((low, high), 20 + height, 20)
    room = (WIDTH - 2 * MARGIN - 40) / len(columns) - 20
    parts: list[Markup] = []
    for number, (title, mean, spread) in enumerate(columns):
        left = 40 + number * (room + 20)
        parts.append(words(left, 10, title, 11, bold=True))
        for tick in scale.ticks:
            parts.append(line(left, scale(tick), left + room, scale(tick), HAIR, 0.8))
            if number == 0:
                parts.append(
                    words(left - 6, scale(tick) + 3.5, f"{tick:g}", 9.5, fill=MUTED, anchor="end")
                )
        step = room / len(mean)
        colour = MUTED if number == 0 else ACCENT
        for i, (middle, reach) in enumerate(zip(mean.tolist(), spread.tolist(), strict=True)):
            x = left + (i + 0.5) * step
            parts.append(
                line(x, scale(middle - reach), x, scale(middle + reach), colour, min(3, 0.7 * step))
            )
            dot = min(2.0, step)
            parts.append(rectangle(x - dot / 2, scale(middle) - dot / 2, dot, dot, INK))
    return join(parts), height + 30


def spread_body(
    labels: Sequence[str], runs: Array, without: Sequence[float]
) -> tuple[Markup, float]:
    """Return a strip a class: the probability in each run, and the one without dropout.

    Args:
        labels: the classes.
        runs: (runs, classes) probabilities.
        without: (classes,) probabilities without dropout.
    """
    from silverprint.reports.markup import element

    left, right = 130.0, WIDTH - 2 * MARGIN - 20
    parts: list[Markup] = []
    for i, label in enumerate(labels):
        y = 14 + 30 * i
        parts.append(words(left - 12, y + 4, label, 11, anchor="end", width=118))
        parts.append(line(left, y, right, y, HAIR))
        for j, value in enumerate(runs[:, i].tolist()):
            jitter = 7 * ((0.618034 * j) % 1 - 0.5)
            parts.append(
                element(
                    "circle", cx=left + value * (right - left), cy=y + jitter, r=2.4, fill=ACCENT,
                    fill_opacity=0.35,
                )
            )  # fmt: skip
        x = left + without[i] * (right - left)
        parts.append(line(x, y - 9, x, y + 9, OTHER, 2))
    foot = 14 + 30 * len(labels)
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = left + tick * (right - left)
        parts.append(words(x, foot + 4, f"{100 * tick:.0f} %", 9.5, fill=MUTED, anchor="middle"))
    return join(parts), foot + 8
