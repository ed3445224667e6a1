"""A variational autoencoder as one HTML file: its bound, its pictures, its codes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.reports import background
from silverprint.reports.contents import Curve
from silverprint.reports.drawing import WIDTH, nice_scale, svg
from silverprint.reports.figures import line_chart
from silverprint.reports.markup import Markup, Section, element, join, shorten, table
from silverprint.reports.page import headline, opening, page
from silverprint.reports.sheet import Row, in_turn, sheet_figure, sheet_section
from silverprint.runtime.sheets import in_rows

CLASSES_TOLD = 12  # up to so many have a colour and a name
WIDE = 2 * WIDTH


@dataclass(frozen=True)
class VaeReport:
    """Everything the page tells.

    Attributes:
        title: the dataset's name.
        summary: the result in a sentence.
        split: which pictures it was measured on.
        measures: as bundle.json has them.
        unit: what the bound is counted in, in words.
        collapse: what is to be said of units that say nothing.
        reconstructions: originals, and what came back.
        samples: made from random codes.
        columns: of the sample sheet.
        walks: from code to code, a walk after the other.
        steps: pictures of a walk.
        grid: over the plane of codes of two numbers, and how many a side; None for longer codes.
        points: (n, 2) codes, or their two principal components.
        axes: what the two directions are.
        labels: (n,) of the points.
        classes: their names; one for pictures without labels.
        told: those that the network is told; empty for none.
        curves: as of train_vae.
        notices: as of `Report`.
        refused: as of `Report`.
        seconds: as of `Report`.
        provenance: as of `Report`.
    """

    title: str
    summary: str
    split: str
    measures: Mapping[str, Any]
    unit: str
    collapse: str
    reconstructions: Sequence[Row]
    samples: NDArray[np.float32]
    columns: int
    walks: NDArray[np.float32]
    steps: int
    grid: tuple[NDArray[np.float32], int] | None
    points: NDArray[np.float32]
    axes: str
    labels: NDArray[np.int64]
    classes: Sequence[str]
    told: Sequence[str]
    curves: Mapping[str, Sequence[float]]
    notices: Sequence[str] = ()
    refused: Sequence[tuple[str, str]] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)


def render(report: VaeReport) -> str:
    """Return the whole page as text."""
    eyebrow = "Silverprint variational autoencoder"
    both = report.reconstructions
    over = " over ".join(one.name for one in both)
    staying = ", in the class of the first" if report.told else ""
    chapters = [
        sheet_section("samples", "Made from chance", in_rows(report.samples, report.columns),
                      report.columns, "Each from a code drawn from N(0, I): nobody's picture."
                      f"{in_turn(report.told)}"),
        sheet_section("reconstructions", "In and out", [one.pictures for one in both], 12,
                      f"Of the {report.split} pictures: {over}."),
        sheet_section("walks", "From picture to picture", in_rows(report.walks, report.steps),
                      report.steps, "Each row walks from the code of one picture to that of "
                      f"another{staying}, keeping to lengths that codes of N(0, I) have."),
        _codes(report),
        _bound(report),
        _training(report.curves),
        background.reading(report.notices, report.refused),
        background.timings(report.seconds),
        background.provenance(report.provenance),
    ]  # fmt: skip
    top = opening(eyebrow, report.title, report.summary, _headline(report))
    return page(f"{report.title} – {eyebrow}", top, chapters)


def scatter(
    points: NDArray[np.float32], labels: NDArray[np.int64], classes: Sequence[str], label: str
) -> Markup:
    """Return points (n, 2) coloured by class, each class's name at the median of its points."""
    across = nice_scale(points[:, 0].tolist(), 12, WIDE - 12)
    up = nice_scale(points[:, 1].tolist(), 520, 12)
    told = 1 < len(classes) <= CLASSES_TOLD
    parts, names = [], []
    for number, name in enumerate(classes):
        own = points[labels == number]
        if not len(own):
            continue
        path = "".join(f"M{across(x):.1f} {up(y):.1f}h0" for x, y in own.tolist())
        hue = f"stroke:hsl({360 * number / len(classes):.0f} 62% 52%);" if told else ""
        style = f"{hue}stroke-width:4;stroke-linecap:round;stroke-opacity:.65"
        parts.append(element("path", element("title", name), d=path, style=style))
        if told:
            x, y = np.median(own, axis=0).tolist()
            halo = "font-weight:700;paint-order:stroke;stroke:var(--paper);stroke-width:4px"
            words = shorten(name, 16)
            names.append(element("text", words, x=across(x), y=up(y) + 4, text_anchor="middle",
                                 class_="name", style=halo))  # fmt: skip
    return svg(WIDE, 532, [*parts, *names], label)


def _headline(report: VaeReport) -> Markup:
    measures = report.measures
    sentence = (
        f"Negative log-likelihood of {measures['nll_pictures']:,} {report.split} pictures, bounded "
        f"from above with {measures['samples']:,} codes each; ± {measures['nll_error']:.1f}."
    )
    return headline(f"{measures['nll']:.1f}", "nats", sentence=sentence, aside=report.unit)


def _codes(report: VaeReport) -> Section:
    parts = [element("p", report.collapse)]
    words = f"{len(report.points):,} {report.split} pictures: {report.axes}."
    chart = scatter(report.points, report.labels, report.classes, words)
    parts.append(element("figure", chart, element("figcaption", words)))
    if report.grid is not None:
        pictures, side = report.grid
        told = "The decoder over the whole plane; each step holds the same share of N(0, I)."
        told += f" Of class {report.told[0]}." if report.told else ""
        parts.append(sheet_figure(in_rows(pictures, side), side, told, told))
    return Section("codes", "What the codes hold", join(parts))


def _bound(report: VaeReport) -> Section:
    measures = report.measures
    rows = [
        ["Negative evidence lower bound", f"{measures['negative_elbo']:.2f}"],
        ["of which reconstruction", f"{measures['reconstruction']:.2f}"],
        ["of which divergence from the prior", f"{measures['divergence']:.2f}"],
        [f"Importance-weighted, {measures['samples']:,} codes", f"{measures['nll']:.2f}"],
        ["Active units of the code", f"{measures['active_units']} of {measures['units']}"],
    ]
    caption = (
        f"Nats a picture: the first three of {measures['pictures']:,} {report.split} pictures, the "
        f"fourth of {measures['nll_pictures']:,} of them"
    )
    return Section("bound", "The bound", table(["Measure", "Value"], rows, caption, "figures"))


def _training(curves: Mapping[str, Sequence[float]]) -> Section:
    charts = []
    for term, title, best in (
        ("loss", "Both together: the negative bound", "low"),
        ("reconstruction", "Reconstruction", "none"),
        ("divergence", "Divergence from the prior", "none"),
    ):
        known = [
            Curve(f"{part} {term}", tuple(curves[f"{part} {term}"]))
            for part in ("training", "validation")
            if any(map(math.isfinite, curves.get(f"{part} {term}", ())))
        ]
        if known:
            label = f"{title} by epoch, in nats"
            charts.append(element("div", element("h3", title), line_chart(known, label, best)))
    words = element("p", "In nats a picture, measured at the end of an epoch on fixed draws.")
    return Section("training", "Training", join((words, element("div", *charts, class_="pair"))))
