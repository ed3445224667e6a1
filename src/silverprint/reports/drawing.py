"""What all figures are drawn with: scales, axes, letters, the frame."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from silverprint.reports.markup import Markup, element, join
from silverprint.reports.page import style_sheet

WIDTH = 340


@dataclass(frozen=True)
class Scale:
    """A straight map from values to the page, and its axis labels.

    Attributes:
        low: the value at `start`; high: the one at `end`.
        ticks: the values to label.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        """Return where a value lies on the page."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def nice_scale(values: Iterable[float], start: float, end: float, steps: int = 4) -> Scale:
    """Return a scale over the values that begins and ends on a round number."""
    known = list(values)
    low, high = min(known), max(known)
    if high - low < 1e-9 * max(1.0, abs(high)):
        half = 0.5 * abs(low) if abs(low) > 1e-6 else 0.5
        low, high = low - half, high + half
    rough = (high - low) / steps
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(step * tick, 12) for tick in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], start, end, ticks)


def epoch_ticks(epochs: int) -> tuple[float, ...]:
    """Return the epochs to label: 1, and then round numbers."""
    if epochs < 3:
        return tuple(float(epoch) for epoch in range(1, epochs + 1))
    step = next(s * 10**p for p in range(9) for s in (1, 2, 5) if epochs <= 6 * s * 10**p)
    return (1.0, *(float(tick) for tick in range(step, epochs + 1, step) if tick > 1))


def horizontal_grid(scale: Scale, left: float, right: float, write: Any) -> Markup:
    """Return a line a tick, with what `write` makes of its value at the left."""
    return join(
        join(
            (
                element("path", d=f"M{left} {scale(tick):.1f}H{right}", class_="grid"),
                text(left - 7, scale(tick) + 4, write(tick), "end"),
            )
        )
        for tick in scale.ticks
    )


def text(
    x: float, y: float, words: str, anchor: str | None = None, class_: str | None = None
) -> Markup:
    """Return words at a place; `anchor` is start, middle or end."""
    return element("text", words, x=float(x), y=float(y), text_anchor=anchor, class_=class_)


def svg(
    width: float, height: float, parts: Iterable[Markup], label: str, class_: str = "chart"
) -> Markup:
    """Return the finished drawing."""
    return element(
        "svg",
        join(parts),
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=round(width),
        height=round(height),
        role="img",
        aria_label=label,
        class_=class_,
        # Letters in a large drawing must not shrink with the screen; its box scrolls instead.
        style=f"min-width:{0.75 * width:.0f}px" if class_ == "heat" else None,
    )


def standalone(chart: Markup, title: str) -> str:
    """Return a drawing as a file of its own: with its style, a title and a ground."""
    room = 28  # units for the title
    opened, _, inside = chart.partition(">")
    width, height = (_number(opened, name) for name in ("width", "height"))
    ground = element("rect", width=width, height=height + room, style="fill:var(--paper)")
    heading = text(8, 18, title, class_="name")
    frame = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + room}" '
        f'width="{2 * width}" height="{2 * (height + room)}" role="img">'
    )
    moved = f'<g transform="translate(0 {room})">{inside.removesuffix("</svg>")}</g>'
    return f"{frame}<style>{style_sheet()}</style>{ground}{heading}{moved}</svg>\n"


def _number(tag: str, name: str) -> int:
    return int(tag.partition(f' {name}="')[2].partition('"')[0])
