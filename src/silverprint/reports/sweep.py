"""A sweep as one HTML file, and its charts as files of their own.

    write_sweep(SweepReport(title="clothing", ...), Path("sweep.html"))

For every swept setting a chart of accuracy by epoch: one line a value, all other settings being
those of the best configuration.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from silverprint.reports import background
from silverprint.reports.drawing import (
    WIDTH,
    Scale,
    epoch_ticks,
    horizontal_grid,
    nice_scale,
    standalone,
    svg,
    text,
)
from silverprint.reports.figures import interval_ruler
from silverprint.reports.markup import (
    NARROW_SPACE,
    Markup,
    Section,
    element,
    join,
    percent,
    shorten,
)
from silverprint.reports.page import headline, opening, page, write_page

LEGEND = 104  # units at the right for the lines' names
DASHES = ("dots", "long", "dash-dot", "dots thin", "long thin", "dash-dot thin")


@dataclass(frozen=True)
class Line:
    """One value of a setting.

    Attributes:
        value: as it is written.
        accuracies: on validation, by epoch; one that is not finite is left out.
        level: the accuracy of what ships; the only one of what has no epochs.
        best: whether this is the best configuration.
        epoch: the one that ships, from 1; 0 for the highest.
    """

    value: str
    accuracies: tuple[float, ...] = ()
    level: float | None = None
    best: bool = False
    epoch: int = 0

    @property
    def figure(self) -> float:
        """The accuracy that counts."""
        return max(self.known) if self.level is None else self.level

    @property
    def known(self) -> list[float]:
        """What can be drawn."""
        values = [value for value in self.accuracies if math.isfinite(value)]
        return values if values or self.level is None else [self.level]


@dataclass(frozen=True)
class SweepReport:
    """Everything a sweep's page tells.

    Attributes:
        title: the dataset's name.
        summary: one sentence that says the result in words.
        accuracy: of the best configuration on validation.
        interval: its 95 % interval.
        count: pictures it was judged by.
        tried: number of configurations.
        alike: how many of the others lie within the interval.
        charts: setting -> a line a value.
        candidates: as of `Report`.
        notices: as of `Report`.
        seconds: as of `Report`.
        provenance: as of `Report`.
    """

    title: str
    summary: str
    accuracy: float
    interval: tuple[float, float]
    count: int
    tried: int
    alike: int
    charts: Mapping[str, Sequence[Line]]
    candidates: Sequence[Mapping[str, Any]]
    notices: Sequence[str] = ()
    seconds: Mapping[str, float] | None = None
    provenance: Mapping[str, str] | None = None


def write_sweep(report: SweepReport, path: Path) -> None:
    """Write the page, and beside it each chart as SETTING.svg."""
    write_page(render(report), path)
    for field, lines in report.charts.items():
        chart = sweep_chart(lines, f"Validation accuracy by epoch for each {field}")
        write_page(standalone(chart, _words(field)), path.with_name(f"{field}.svg"))


def render(report: SweepReport) -> str:
    """Return the whole page as text."""
    chapters = [
        _charts(report),
        background.configurations(report.candidates),
        background.reading(report.notices),
        background.timings(report.seconds),
        background.provenance(report.provenance),
    ]
    top = opening("Silverprint sweep", report.title, report.summary, _headline(report))
    return page(f"{report.title} – Silverprint sweep", top, chapters)


def sweep_chart(lines: Sequence[Line], label: str) -> Markup:
    """Return accuracy by epoch, a line a value, named at the right; the best one stands out.

    Args:
        lines: in the order of their values.
        label: what a screen reader says.
    """
    drawn = [line for line in lines if line.known]
    epochs = max((len(line.accuracies) for line in drawn), default=1)
    height, right = 250, WIDTH - LEGEND
    across = Scale(1, max(epochs, 2), 44, right, epoch_ticks(epochs))
    up = nice_scale([value for line in drawn for value in line.known] or [0, 1], height - 34, 14)
    if up.high > 1:
        up = Scale(up.low, 1.0, up.start, up.end, tuple(tick for tick in up.ticks if tick <= 1))
    parts = [horizontal_grid(up, 44, right, lambda value: f"{100 * value:.3g}%")]
    parts += [text(across(tick), height - 17, f"{tick:g}", "middle") for tick in across.ticks]
    parts.append(text(right, height - 3, "epoch", "end"))
    others = [line for line in drawn if not line.best]
    styles = {id(line): DASHES[row % len(DASHES)] for row, line in enumerate(others)}
    parts += [_curve(line, across, up, styles[id(line)]) for line in others]
    parts += [_curve(line, across, up, "solid") for line in drawn if line.best]
    apart = 31 if 31 * len(drawn) <= height - 40 else 17
    for row, line in enumerate(drawn):
        style = styles.get(id(line), "solid")
        parts.append(_legend(line, right + 12, 18.0 + apart * row, style, apart > 20))
    best = next((line for line in drawn if line.best), None)
    if best is not None:
        parts.append(_best_point(best, across, up))
    return svg(WIDTH, height, parts, label)


def written(value: object) -> str:
    """Return a setting's value as people write it."""
    if isinstance(value, list | tuple):
        return ", ".join(map(written, value))
    if value is None:
        return "exact"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _charts(report: SweepReport) -> Section:
    charts = [
        element(
            "div",
            element("h3", _words(field)),
            sweep_chart(lines, f"Validation accuracy by epoch for each {_words(field)}"),
        )
        for field, lines in report.charts.items()
    ]
    caption = element(
        "figcaption",
        "Validation accuracy by epoch. Each chart varies one setting; the others are those of the "
        "best configuration, whose line is drawn solid. A line that ends early stopped because the "
        "validation loss no longer fell. The figures are those of the epoch that ships.",
    )
    body = element("figure", element("div", *charts, class_="pair"), caption)
    return Section("charts", "One setting at a time", body if charts else Markup(""))


def _headline(report: SweepReport) -> Markup:
    low, high = report.interval
    sure = f"95{NARROW_SPACE}% interval: {100 * low:.1f} to {percent(high)} (Wilson)."
    sentence = (
        f"The best of {report.tried:,} configurations was right on "
        f"{round(report.accuracy * report.count):,} of {report.count:,} validation pictures."
    )
    caution = " It was chosen on these same pictures, so expect somewhat less on new ones."
    if report.alike:
        caution += (
            f" {report.alike:,} of the others lie within the interval: between those and the best, "
            "chance may have decided."
        )
    ruler = interval_ruler(report.accuracy, low, high, f"{percent(report.accuracy)}; {sure}")
    number = f"{100 * report.accuracy:.1f}"
    return headline(number, "%", sentence=sentence, ruler=ruler, aside=sure + caution)


def _curve(line: Line, across: Scale, up: Scale, style: str) -> Markup:
    if not line.accuracies and line.level is not None:
        level = f"M{across.start} {up(line.level):.1f}H{across.end}"
        return element("path", d=level, class_=style)
    path, pen = "", "M"
    for epoch, value in enumerate(line.accuracies, start=1):
        if not math.isfinite(value):
            pen = "M"
            continue
        path += f"{pen}{across(epoch):.1f} {up(value):.1f}" + ("h0" if pen == "M" else "")
        pen = "L"
    return element("path", d=path, class_=style)


def _legend(line: Line, x: float, y: float, style: str, roomy: bool) -> Markup:
    """Return how a line is drawn, what it stands for, and below that its accuracy."""
    parts = [
        element("path", d=f"M{x:.0f} {y:.0f}h20", class_=style),
        text(x + 26, y + 4, shorten(line.value, 10), class_="best" if line.best else "name"),
    ]
    if roomy:
        parts.append(text(x + 26, y + 17, percent(line.figure)))
    return join(parts)


def _best_point(line: Line, across: Scale, up: Scale) -> Markup:
    where, value = across.high, line.figure
    if 1 <= line.epoch <= len(line.accuracies):
        where, value = line.epoch, line.accuracies[line.epoch - 1]
    elif line.accuracies:
        value = max(line.known)
        where = line.accuracies.index(value) + 1
    x, y = across(where), up(value)
    part = (x - across.start) / (across.end - across.start)
    anchor = "start" if part < 0.25 else "end" if part > 0.75 else "middle"
    return join((
        element("circle", cx=x, cy=y, r=4.5, class_="dot"),
        text(x, max(y - 9, 10), percent(line.figure), anchor, class_="best"),
    ))  # fmt: skip


def _words(field: str) -> str:
    words = field.replace("_", " ")
    return words[:1].upper() + words[1:]
