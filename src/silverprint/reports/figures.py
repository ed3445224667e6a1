"""The report's figures, as SVG written by hand.

Each function takes plain numbers and returns one <svg>. Colours come from the page's style sheet by
class, so dark mode and print need nothing here. Charts are 340 units wide: one fills a telephone,
two stand side by side on a page, and letters keep their size. Nothing is told by colour alone.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from silverprint.reports.contents import Curve
from silverprint.reports.drawing import (
    WIDTH,
    Scale,
    epoch_ticks,
    horizontal_grid,
    nice_scale,
    svg,
    text,
)
from silverprint.reports.markup import Markup, element, join, letters, percent, shorten

NUMBERED_CLASSES = 25  # up to so many, a heat map's cells hold numbers
_RULERS = ((0.9, 0.02), (0.8, 0.05), (0.5, 0.1), (0.0, 0.25))  # first value, step
_LINES = ("solid", "dots", "long", "dash-dot")


def line_chart(
    curves: Sequence[Curve], label: str, best: str = "low", unit: str = "epoch"
) -> Markup:
    """Return curves by epoch; the best point of the first one that is not training is marked.

    Args:
        curves: at least one finite value in all.
        label: what a screen reader says.
        best: "low" for losses, "high" for accuracies, which are written in percent; "none" for what
            is neither good nor bad.
        unit: what is counted from left to right.
    """
    # Quiet training curves first, so that what matters is drawn over them.
    ordered = sorted(curves, key=lambda curve: "train" not in curve.name.lower())
    legend = 16 * len(ordered)
    epochs = max(len(curve.values) for curve in ordered)
    values = [value for curve in ordered for value in curve.values if math.isfinite(value)]
    if best != "high" and 0 <= min(values) < 0.4 * max(values):
        values.append(0.0)
    height = legend + 206
    across = Scale(1, max(epochs, 2), 44, WIDTH - 12, epoch_ticks(epochs))
    up = nice_scale(values, height - 34, legend + 16)
    if best == "high" and up.high > 1 >= max(values):
        up = Scale(up.low, 1.0, up.start, up.end, tuple(tick for tick in up.ticks if tick <= 1))
    write = (lambda value: f"{100 * value:g}%") if best == "high" else (lambda value: f"{value:g}")
    parts = [horizontal_grid(up, 44, WIDTH - 12, write)]
    parts += [text(across(tick), height - 17, f"{tick:g}", "middle") for tick in across.ticks]
    parts.append(text(WIDTH - 12, height - 3, unit, "end"))
    for row, curve in enumerate(ordered):
        style = _line_style(ordered, row)
        parts.append(_polyline(curve, across, up, style))
        y = 8 + 16 * row
        parts.append(element("path", d=f"M44 {y}h26", class_=style))
        parts.append(text(77, y + 4, shorten(curve.name, 36), class_="name"))
    if best != "none":
        parts.append(_best_point(ordered[-1] if epochs else None, across, up, best))
    return svg(WIDTH, height, parts, label)


def heat_map(matrix: Sequence[Sequence[int]], names: Sequence[str], label: str) -> Markup:
    """Return a confusion matrix: rows are the truth, columns the prediction.

    A cell's strength is its share of the row: right answers plainly, mistakes by the square root,
    or a share of 2 % could not be seen. Empty cells are not drawn, so 102 classes stay small.
    """
    count = len(names)
    numbered = count <= NUMBERED_CLASSES
    short = [shorten(name, 18 if numbered else 16) for name in names]
    size = 12.0 if numbered else min(10.0, max(7.5, 760 / count) * 0.94)
    longest = max(letters(name) for name in short) * size * 0.56 + 10
    left = max(longest, 78.0)
    top, overhang = (longest * 0.72 + 14, longest * 0.72) if numbered else (longest + 4, 4.0)
    cell = min(54.0, (700 - left - overhang) / count) if numbered else max(7.5, 760 / count)
    parts = [
        text(left - 6, top - 24, "predicted →", "end", class_="axis"),
        text(left - 6, top - 8, "truth ↓", "end", class_="axis"),
        element("rect", x=left, y=top, width=cell * count, height=cell * count, class_="frame"),
    ]
    turn = -45 if numbered else -90
    for k, name in enumerate(short):
        middle = (k + 0.5) * cell
        full = element("title", names[k])
        x, y = left + middle + (0 if numbered else size * 0.35), top - 6
        turned = f"rotate({turn} {x:.1f} {y:.1f})"
        font = f"font-size:{size:.1f}px"
        parts.append(element("text", name, full, x=x, y=y, transform=turned, style=font))
        y = top + middle + size * 0.35
        parts.append(element("text", name, full, x=left - 6, y=y, text_anchor="end", style=font))
    for row, values in enumerate(matrix):
        total = sum(values)
        for column, value in enumerate(values):
            if value:
                where = (left + column * cell, top + row * cell, cell)
                pair = (names[row], names[column])
                parts.append(_heat_cell(where, row == column, value, total, pair, numbered))
    return svg(left + cell * count + overhang, top + cell * count + 2, parts, label, "heat")


def reliability_diagram(
    bins: Sequence[Mapping[str, Any]],
    label: str,
    noun: str,
    before: Sequence[Mapping[str, Any]] = (),
) -> Markup:
    """Return stated probability against observed frequency, with how many pictures below.

    Args:
        bins: as metrics.calibration returns them.
        label: what a screen reader says.
        noun: what is counted, for example "pictures".
        before: the bins before calibration, drawn palely behind.
    """
    across = Scale(0, 1, 44, WIDTH - 18, (0, 0.25, 0.5, 0.75, 1))
    up = Scale(0, 1, 296, 12, across.ticks)
    most = max((row["count"] for row in bins), default=0) or 1
    parts = [horizontal_grid(up, 44, WIDTH - 18, lambda value: f"{100 * value:g}%")]
    diagonal = f"M{across(0)} {up(0)}L{across(1)} {up(1)}"
    parts.append(element("path", d=diagonal, class_="diagonal"))
    if any(row["count"] for row in before):
        plain, points = _reliability_points(before, across, up)
        parts.append(_through(points, "before"))
        for row, (x, y) in zip(plain, points, strict=True):
            said = element("title", f"before calibration: {_reliability_tip(row, noun)}")
            parts.append(element("circle", said, cx=x, cy=y, r=3, class_="before"))
    filled, points = _reliability_points(bins, across, up)
    parts.append(_through(points, "solid thin"))
    for row, (x, y) in zip(filled, points, strict=True):
        tip = _reliability_tip(row, noun)
        gap = f"M{x:.1f} {up(row['confidence']):.1f}V{y:.1f}"
        parts.append(element("path", d=gap, class_="gap"))
        radius = 2.5 + 5.5 * math.sqrt(row["count"] / most)
        parts.append(element("circle", element("title", tip), cx=x, cy=y, r=radius, class_="dot"))
        tall = max(1.0, 40 * row["count"] / most)
        begin, end = across(row["low"]), across(row["high"])
        parts.append(
            element(
                "rect",
                element("title", tip),
                x=begin + 1,
                y=352 - tall,
                width=end - begin - 2,
                height=tall,
                class_="column",
            )
        )
    parts.append(element("path", d=f"M44 352H{WIDTH - 18}", class_="base"))
    parts += [text(across(t), 367, f"{100 * t:g}%", "middle") for t in across.ticks]
    parts += [
        text(50, 22, "observed", class_="axis"),
        text(WIDTH - 12, 382, "stated probability", "end", class_="axis"),
        text(50, 324, noun, class_="axis"),
    ]
    return svg(WIDTH, 386, parts, label)


def _reliability_points(
    bins: Sequence[Mapping[str, Any]], across: Scale, up: Scale
) -> tuple[list[Mapping[str, Any]], list[tuple[float, float]]]:
    filled = [row for row in bins if row["count"]]
    return filled, [(across(row["confidence"]), up(row["observed"])) for row in filled]


def _reliability_tip(row: Mapping[str, Any], noun: str) -> str:
    return (
        f"stated {percent(row['low'])} to {percent(row['high'])}: {row['count']:,} {noun}, "
        f"{percent(row['observed'])} true"
    )


def _through(points: Sequence[tuple[float, float]], style: str) -> Markup:
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return element("path", d=f"M{line}", class_=style)


def dot_rows(
    rows: Sequence[tuple[str, Sequence[tuple[float, bool]]]], scale: Scale, label: str
) -> Markup:
    """Return a row of dots for each value of a setting; the chosen configuration is a ring.

    Args:
        rows: (value, [(result, chosen), ...]) from top to bottom.
        scale: of the results, from x = 84 on, the same in charts that stand beside one another.
        label: what a screen reader says.
    """
    bottom = 22 * len(rows) + 6
    parts: list[Markup] = []
    for tick in scale.ticks:
        parts.append(element("path", d=f"M{scale(tick):.1f} 0V{bottom}", class_="grid"))
        parts.append(text(scale(tick), bottom + 14, f"{100 * tick:.3g}%", "middle"))
    for row, (value, results) in enumerate(rows):
        y = 14 + 22 * row
        parts.append(element("path", d=f"M84 {y}H{WIDTH - 12}", class_="grid"))
        parts.append(text(76, y + 4, shorten(value, 12), "end", class_="name"))
        for result, chosen in sorted(results, key=lambda pair: pair[1]):
            kind, radius = ("chosen", 5.5) if chosen else ("faint", 3.5)
            tip = element("title", percent(result) + (" (chosen)" if chosen else ""))
            parts.append(element("circle", tip, cx=scale(result), cy=y, r=radius, class_=kind))
    return svg(WIDTH, bottom + 20, parts, label)


def interval_ruler(value: float, low: float, high: float, label: str) -> Markup:
    """Return a value and its interval on a ruler up to 100 %, from 0 or, if all is high, later."""
    first, step = next(pair for pair in _RULERS if pair[0] < low - 0.01 or not pair[0])
    ticks = tuple(first + step * tick for tick in range(round((1 - first) / step) + 1))
    scale = Scale(first, 1, 10, WIDTH - 14, ticks)
    parts = [element("path", d=f"M10 14H{WIDTH - 14}", class_="base")]
    for tick in scale.ticks:
        parts.append(element("path", d=f"M{scale(tick)} 14v5", class_="base"))
        parts.append(text(scale(tick), 33, f"{100 * tick:.0f}", "middle"))
    span = f"M{scale(low):.1f} 14H{scale(high):.1f}"
    parts.append(element("path", d=span, class_="interval"))
    parts.append(element("circle", cx=scale(value), cy=14, r=4, class_="dot"))
    return svg(WIDTH, 38, parts, label)


def _heat_cell(
    where: tuple[float, float, float],
    right: bool,
    value: int,
    total: int,
    pair: tuple[str, str],
    numbered: bool,
) -> Markup:
    x, y, cell = where
    share = value / total
    strength = _strength(share, right)
    tip = element("title", f"{pair[0]} → {pair[1]}: {value:,} ({percent(share)})")
    inset = min(1.0, cell * 0.06)
    square = element(
        "rect",
        tip,
        x=x + inset,
        y=y + inset,
        width=cell - 2 * inset,
        height=cell - 2 * inset,
        class_="right" if right else "wrong",
        fill_opacity=strength,
    )
    if not numbered:
        return square
    size = min(13.0, cell * 0.9 / (0.6 * len(f"{value}")))
    middle, tone = x + cell / 2, "light" if share >= 0.5 else "dark"
    number = element(
        "text",
        str(value),
        x=middle,
        y=y + cell / 2 + size * 0.35,
        text_anchor="middle",
        class_=f"number {tone}",
        style=f"font-size:{size:.1f}px",
    )
    return join((square, number))


def _strength(share: float, right: bool) -> float:
    """Return a cell's opacity; from half of the row on it jumps.

    Between 0.55 and 0.78 neither black nor white letters reach a contrast of 4.5 in both the light
    and the dark page, so no cell is that opaque.
    """
    if share >= 0.5:
        return 0.56 + 0.44 * share
    return 0.08 + 0.47 * (2 * share if right else math.sqrt(2 * share))


def _best_point(curve: Curve | None, across: Scale, up: Scale, best: str) -> Markup:
    known = [(v, k) for k, v in enumerate(curve.values) if math.isfinite(v)] if curve else []
    if not known:
        return Markup("")
    value, epoch = min(known) if best == "low" else max(known, key=lambda pair: pair[0])
    x, y = across(epoch + 1), up(value)
    part = (x - across.start) / (across.end - across.start)
    anchor = "start" if part < 0.25 else "end" if part > 0.75 else "middle"
    said = f"{value:.3f}" if best == "low" else percent(value)
    # Training losses lie below and training accuracies above: the other side is free.
    offset = -11 if best == "low" else 19
    words = text(x, y + offset, f"{said} at epoch {epoch + 1}", anchor, class_="best")
    return join((element("circle", cx=x, cy=y, r=4.5, class_="dot"), words))


def _polyline(curve: Curve, across: Scale, up: Scale, style: str) -> Markup:
    """Return the curve; a value that is not finite leaves a gap, a lone one is a dot."""
    path, pen = "", "M"
    for epoch, value in enumerate(curve.values, start=1):
        if not math.isfinite(value):
            pen = "M"
            continue
        path += f"{pen}{across(epoch):.1f} {up(value):.1f}"
        # Round line ends turn a line of no length into a dot.
        path += "h0" if pen == "M" else ""
        pen = "L"
    return element("path", d=path or "M0 0", class_=style)


def _line_style(curves: Sequence[Curve], row: int) -> str:
    if "train" in curves[row].name.lower():
        return "quiet"
    first = sum("train" in curve.name.lower() for curve in curves)
    return _LINES[(row - first) % len(_LINES)]
