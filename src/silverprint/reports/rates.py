"""A learning-rate range test as one HTML file and a drawing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from silverprint.reports import background
from silverprint.reports.drawing import (
    WIDTH,
    Scale,
    horizontal_grid,
    nice_scale,
    standalone,
    svg,
    text,
)
from silverprint.reports.markup import Markup, Section, element
from silverprint.reports.page import headline, opening, page, write_page

SHOWN = 2.5  # times the first loss: what lies higher is not drawn


@dataclass(frozen=True)
class RatesReport:
    """Everything the page tells.

    Attributes:
        title: the dataset's name.
        what: was trained, for example "cnn from scratch".
        rates: the learning rate of each step.
        losses: of each step's batch.
        smoothed: their moving average.
        suggestion: the rate to train with.
        rule: by which it was chosen.
        provenance: as of `Report`.
    """

    title: str
    what: str
    rates: Sequence[float]
    losses: Sequence[float]
    smoothed: Sequence[float]
    suggestion: float
    rule: str
    provenance: Mapping[str, str]


def write_rates(report: RatesReport, path: Path) -> None:
    """Write the page, and beside it the curve as an SVG file of the same name."""
    chart = rate_chart(report)
    caption = element(
        "figcaption",
        "Loss of each step's batch (dots) and its moving average (line) while the learning rate "
        "grows at every step. While it is too small nothing is learned; where it is too large the "
        "loss rises. Smith, arXiv:1506.01186.",
    )
    curve = Section("curve", "Loss by learning rate", element("figure", chart, caption))
    top = opening(
        "Silverprint learning-rate range test",
        report.title,
        f"A learning rate for {report.what}, from {len(report.rates)} steps.",
        headline(f"{report.suggestion:g}", aside=f"Suggested: {report.rule}."),
    )
    chapters = [curve, background.provenance(report.provenance)]
    write_page(page(f"{report.title} – learning-rate range test", top, chapters), path)
    write_page(standalone(chart, f"{report.title}: {report.what}"), path.with_suffix(".svg"))


def rate_chart(report: RatesReport) -> Markup:
    """Draw the loss against the learning rate, on a logarithmic scale; mark the suggestion."""
    exponents = [math.log10(rate) for rate in report.rates]
    low, high = math.floor(exponents[0] + 1e-9), math.ceil(exponents[-1] - 1e-9)
    decades = tuple(float(tick) for tick in range(low, max(high, low + 1) + 1))
    across = Scale(decades[0], decades[-1], 44, WIDTH - 16, decades)
    most = SHOWN * max(report.smoothed[0], report.losses[0])
    drawn = [(x, min(y, most)) for x, y in zip(exponents, report.smoothed, strict=True)]
    points = [(x, y) for x, y in zip(exponents, report.losses, strict=True) if y <= most]
    up = nice_scale([0.0, *(y for _, y in (*drawn, *points))], 216, 14)
    parts = [horizontal_grid(up, 44, WIDTH - 16, lambda value: f"{value:g}")]
    parts += [text(across(tick), 233, f"{10**tick:g}", "middle") for tick in across.ticks]
    parts.append(text(WIDTH - 16, 249, "learning rate", "end", class_="axis"))
    parts.append(text(50, 10, "loss, nats", class_="axis"))
    parts += [element("circle", cx=across(x), cy=up(y), r=1.8, class_="faint") for x, y in points]
    line = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in drawn)
    parts.append(element("path", d=f"M{line}", class_="solid"))
    x = across(math.log10(report.suggestion))
    parts.append(element("path", d=f"M{x:.1f} 14V216", class_="diagonal"))
    near = min(range(len(exponents)), key=lambda k: abs(report.rates[k] / report.suggestion - 1))
    parts.append(element("circle", cx=x, cy=up(drawn[near][1]), r=4.5, class_="dot"))
    anchor = "end" if x > WIDTH / 2 else "start"
    parts.append(text(x + (-7 if anchor == "end" else 7), 28, f"{report.suggestion:g}", anchor,
                      class_="best"))  # fmt: skip
    return svg(WIDTH, 254, parts, "Loss by learning rate")
