"""A gan as one HTML file: what it makes, how that grew, and how its two networks got along."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.reports import background
from silverprint.reports.contents import Curve
from silverprint.reports.figures import line_chart
from silverprint.reports.markup import (
    Markup,
    Section,
    element,
    join,
    percent,
    table,
)
from silverprint.reports.page import headline, opening, page
from silverprint.reports.sheet import in_turn, sheet_section
from silverprint.runtime.sheets import in_rows

ACROSS = 10  # pictures side by side
STAGES = 8  # epochs shown in the strip
CHARTS = (
    ("Losses", "each of its own network; neither need fall", "loss"),
    ("Answers", "the discriminator's, to both kinds", "answer"),
    ("Balance", "measured on held-out pictures", ""),
)
MEASURES = {
    "frechet": "Frechet distance of made pictures",
    "floor": "Frechet distance of real pictures that were learned from",
    "precision": "Made pictures that lie among real ones",
    "recall": "Real pictures that lie among made ones",
    "sure": "Made pictures of which the classifier is sure (0.9)",
    "sure_of_real": "Real pictures of which it is sure",
    "agree": "Made pictures seen as the class they were made as",
}


@dataclass(frozen=True)
class GanReport:
    """Everything the page tells.

    Attributes:
        title: the dataset's name.
        summary: the result in a sentence.
        classes: what the networks were told; a sheet has them in turn.
        sheet: (n, C, S, S) in 0..1, made pictures, n being a multiple of ACROSS.
        followed: (epochs, m, C, S, S), what the same codes made after each epoch.
        made: (m, C, S, S) further made pictures.
        nearest: the training picture most like each.
        share: how near they are, as a share of what is usual.
        verdict: figures of the judge; None without one.
        words: how both networks got along.
        curves: measures by epoch.
        notices: as of `Report`.
        refused: as of `Report`.
        seconds: as of `Report`.
        provenance: as of `Report`.
    """

    title: str
    summary: str
    classes: Sequence[str]
    sheet: NDArray[np.float32]
    followed: NDArray[np.float32]
    made: NDArray[np.float32]
    nearest: NDArray[np.float32]
    share: float
    verdict: Mapping[str, Any] | None
    words: str
    curves: Sequence[Curve]
    notices: Sequence[str] = ()
    refused: Sequence[tuple[str, str]] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)


def render(report: GanReport) -> str:
    """Return the whole page as text."""
    top = opening("Silverprint gan", report.title, report.summary, _headline(report))
    chapters = [
        _sheet(report),
        _growth(report),
        _quality(report),
        _nearest(report),
        _balance(report),
        background.reading(report.notices, report.refused),
        background.timings(report.seconds),
        background.provenance(report.provenance),
    ]
    return page(f"{report.title} – Silverprint gan", top, chapters)


def _headline(report: GanReport) -> Markup:
    if report.verdict is not None:
        number, unit = f"{report.verdict['frechet']:.2f}", ""
        sentence = (
            f"Frechet distance to {report.verdict['n']:,} real pictures that were not learned "
            f"from; as many that were are at {report.verdict['floor']:.2f}."
        )
    else:
        spread = next(curve.values[-1] for curve in report.curves if curve.name == "spread")
        number, unit = f"{100 * spread:.0f}", "%"
        sentence = "How far made pictures lie apart, as a share of how far real ones do."
    return headline(number, unit, sentence=sentence, aside=report.words)


def _sheet(report: GanReport) -> Section:
    words = f"{len(report.sheet)} pictures, none of them chosen.{in_turn(report.classes)}"
    rows = in_rows(report.sheet, ACROSS)
    return sheet_section("made", "Made pictures", rows, ACROSS, words, "Made pictures")


def _growth(report: GanReport) -> Section:
    epochs = len(report.followed)
    chosen = sorted({round(k) for k in np.geomspace(1, epochs, min(STAGES, epochs))})
    rows = [report.followed[epoch - 1] for epoch in chosen]
    words = f"The same codes after epoch {', '.join(map(str, chosen))}, from top to bottom."
    columns = report.followed.shape[1]
    return sheet_section("growth", "How they grew", rows, columns, words, "How pictures grew")


def _quality(report: GanReport) -> Section:
    found = report.verdict
    if found is None:
        return Section("quality", "How real they look", Markup(""))
    rows = [
        [name, f"{found[key]:.2f}" if key in ("frechet", "floor") else percent(found[key])]
        for key, name in MEASURES.items()
        if found[key] is not None
    ]
    measures = table(["Measure", "Value"], rows, "As the classifier sees them", "figures")
    shares = [[name, percent(share)] for name, share in found["classes"].items()]
    classes = table(["Class", "Share"], shares, "What made pictures are seen as", "figures")
    words = (
        f"{found['n']:,} pictures of each kind, by the {found['features']:,} features of the "
        "judge. Frechet distances compare only under the same judge with as many pictures."
    )
    if found["missing"]:
        words += f" Hardly any are made of: {', '.join(found['missing'])}."
    body = element("div", element("div", measures), element("div", classes), class_="pair")
    return Section("quality", "How real they look", join((element("p", words), body)))


def _nearest(report: GanReport) -> Section:
    words = (
        "Made pictures over the training picture most like each, pixel by pixel. Their distance is "
        f"{percent(report.share)} of what it is for pictures that were not learned from; far less "
        "would say that training pictures are copied."
    )
    said = "Made pictures and the nearest training pictures"
    rows = [report.made, report.nearest]
    return sheet_section("nearest", "Are they copies?", rows, ACROSS, words, said)


def _balance(report: GanReport) -> Section:
    left, charts = list(report.curves), []
    for title, what, part in CHARTS:
        group = [curve for curve in left if part in curve.name]
        left = [curve for curve in left if curve not in group]
        if group:
            chart = line_chart(group, f"{title} by epoch: {what}", "none")
            charts.append(element("div", element("h3", f"{title}, {what}"), chart))
    body = join((element("p", report.words), element("div", *charts, class_="pair")))
    return Section("balance", "How both got along", body)
