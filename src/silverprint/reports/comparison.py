"""Several ways to train, side by side, as one HTML file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from silverprint.reports import background
from silverprint.reports.drawing import standalone
from silverprint.reports.figures import interval_ruler
from silverprint.reports.markup import (
    Markup,
    Section,
    bar,
    element,
    join,
    percent,
    table,
)
from silverprint.reports.page import headline, opening, page, write_page
from silverprint.reports.sweep import Line, sweep_chart


@dataclass(frozen=True)
class Row:
    """One way and its result.

    Attributes:
        name: short.
        words: what it is.
        measures: split -> accuracy, precision, recall; None where there is none.
        epochs: passes up to the best.
        seconds: it took.
        best: whether it won.
    """

    name: str
    words: str
    measures: Mapping[str, tuple[float | None, float | None, float | None]]
    epochs: int
    seconds: float
    best: bool = False


@dataclass(frozen=True)
class ComparisonReport:
    """Everything the page tells.

    Attributes:
        title: the dataset's name.
        verdict: which won, in words.
        accuracy: of the winner, on `split`.
        interval: its 95 % interval.
        split: "test" or "validation".
        rows: in the order asked for.
        charts: heading -> lines of validation accuracy by epoch.
        notices: as of `Report`.
        seconds: as of `Report`.
        provenance: as of `Report`.
    """

    title: str
    verdict: str
    accuracy: float
    interval: tuple[float, float]
    split: str
    rows: Sequence[Row]
    charts: Mapping[str, Sequence[Line]]
    notices: Sequence[str]
    seconds: Mapping[str, float]
    provenance: Mapping[str, str]


def write_comparison_page(report: ComparisonReport, path: Path) -> None:
    """Write the page, and beside it the curves of each network as curves.svg, curves-2.svg, ..."""
    write_page(render(report), path)
    for number, (heading, lines) in enumerate(report.charts.items(), start=1):
        file = "curves.svg" if number == 1 else f"curves-{number}.svg"
        chart = sweep_chart(lines, _label(heading))
        write_page(standalone(chart, f"{report.title}, {heading}"), path.with_name(file))


def render(report: ComparisonReport) -> str:
    """Return the whole page as text."""
    chapters = [
        _measures(report),
        _curves(report),
        background.reading(report.notices),
        background.timings(report.seconds),
        background.provenance(report.provenance),
    ]
    best = next(row for row in report.rows if row.best)
    top = opening("Silverprint comparison", report.title, f"Best: {best.words}.", _headline(report))
    return page(f"{report.title} – Silverprint comparison", top, chapters)


def _headline(report: ComparisonReport) -> Markup:
    low, high = report.interval
    said = f"{percent(report.accuracy)} on {report.split}"
    ruler = interval_ruler(report.accuracy, low, high, said)
    return headline(f"{100 * report.accuracy:.1f}", "%", ruler=ruler, aside=report.verdict)


def _measures(report: ComparisonReport) -> Section:
    parts = []
    for split in ("test", "validation"):
        rows = [
            [
                join((element("b", f"{row.name} ✓") if row.best else row.name, " ", row.words)),
                *(join((element("span", percent(value), class_="value"), bar(value)))
                  for value in row.measures[split]),
                f"{row.epochs}",
                f"{row.seconds:,.0f} s",
            ]
            for row in report.rows
            if split in row.measures
        ]  # fmt: skip
        head = ["Preset", "Accuracy", "Precision", "Recall", "Best epoch", "Time"]
        caption = f"On {split}; precision and recall are means over classes"
        if rows:
            parts.append(table(head, rows, caption, "figures"))
    return Section("measures", "Side by side", join(parts))


def _curves(report: ComparisonReport) -> Section:
    charts = [
        element("div", element("h3", heading), sweep_chart(lines, _label(heading)))
        for heading, lines in report.charts.items()
        if lines
    ]
    caption = element(
        "figcaption",
        "Validation accuracy by epoch. An epoch of a frozen network's head is a pass over what it "
        "saw, which takes a moment; one of a network that trains is a pass through all of it.",
    )
    body = element("figure", element("div", *charts, class_="pair"), caption)
    return Section("curves", "Training curves", body if charts else Markup(""))


def _label(heading: str) -> str:
    return f"Validation accuracy by epoch on {heading}"
