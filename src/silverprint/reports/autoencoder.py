"""An autoencoder as one HTML file: what went in over what came out, and PCA beside it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from silverprint.reports import background
from silverprint.reports.contents import Curve
from silverprint.reports.drawing import WIDTH, Scale, horizontal_grid, nice_scale, svg, text
from silverprint.reports.figures import line_chart
from silverprint.reports.markup import NARROW_SPACE, Markup, Section, element, join, table
from silverprint.reports.page import headline, opening, page
from silverprint.reports.sheet import Row, sheet_section

COLUMNS = 8
WORDS = {
    "error": "Mean squared error",
    "psnr": "PSNR",
    "noisy_psnr": "PSNR under noise",
    "psnr_gained": "PSNR gained",
    "pca_error": "Mean squared error of PCA",
    "pca_psnr": "PSNR of PCA",
    "error_uncut": "Mean squared error before the cut to 0..1",
    "pca_error_uncut": "Mean squared error of PCA before it",
}


@dataclass(frozen=True)
class AutoencoderReport:
    """Everything the page tells.

    Attributes:
        title: the dataset's name.
        summary: the result in a sentence.
        split: which pictures it was measured on.
        measures: "error", "psnr", "pca_error", ... of these.
        code_size: numbers a picture becomes.
        numbers: values of a picture.
        noisy: whether it takes noise off.
        samples: rows of some pictures, evenly drawn.
        worst: rows of the worst.
        best: rows of the best.
        pca: numbers a picture -> mean squared error of PCA with so many.
        curves: losses by epoch.
        notices: as of `Report`.
        refused: as of `Report`.
        seconds: as of `Report`.
        provenance: as of `Report`.
    """

    title: str
    summary: str
    split: str
    measures: Mapping[str, float]
    code_size: int
    numbers: int
    noisy: bool
    samples: Sequence[Row]
    worst: Sequence[Row]
    best: Sequence[Row]
    pca: Mapping[int, float]
    curves: Sequence[Curve]
    notices: Sequence[str] = ()
    refused: Sequence[tuple[str, str]] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)


def render(report: AutoencoderReport) -> str:
    """Return the whole page as text."""
    kind = "denoiser" if report.noisy else "autoencoder"
    top = opening(f"Silverprint {kind}", report.title, report.summary, _headline(report))
    chapters = [
        _pictures(
            "pictures",
            "In and out",
            report.samples,
            f"Drawn evenly from the {report.split} pictures.",
        ),
        _against_pca(report),
        _pictures("worst", "The worst", report.worst, "By PSNR, the lowest first."),
        _pictures("best", "The best", report.best, "By PSNR, the highest first."),
        _training(report.curves),
        background.reading(report.notices, report.refused),
        background.timings(report.seconds),
        background.provenance(report.provenance),
    ]
    return page(f"{report.title} – Silverprint {kind}", top, chapters)


def error_chart(pca: Mapping[int, float], code_size: int, error: float, label: str) -> Markup:
    """Return PCA's error by the number of axes, on a scale of doublings, and one point of ours.

    Args:
        pca: numbers -> mean squared error.
        code_size: of ours.
        error: of ours.
        label: what a screen reader says.
    """
    height, most = 236, max(*pca, code_size, 2)
    doublings = range(math.ceil(math.log2(most)) + 1)
    across = Scale(0, doublings[-1], 52, WIDTH - 14, tuple(map(float, doublings)))
    up = nice_scale([0.0, *pca.values(), error], height - 34, 40)
    parts = [horizontal_grid(up, 52, WIDTH - 14, lambda value: f"{value:g}")]
    parts += [
        text(across(tick), height - 17, f"{2**tick:g}", "middle")
        for tick in across.ticks[:: 2 if len(across.ticks) > 9 else 1]
    ]
    parts.append(text(WIDTH - 14, height - 3, "numbers a picture", "end"))
    line = "L".join(
        f"{across(math.log2(k)):.1f} {up(value):.1f}" for k, value in sorted(pca.items())
    )
    parts.append(element("path", d=f"M{line}", class_="long"))
    x, y = across(math.log2(code_size)), up(error)
    parts.append(element("circle", cx=x, cy=y, r=4.5, class_="dot"))
    parts += [
        element("path", d="M52 8h26", class_="long"),
        text(85, 12, "PCA", class_="name"),
        element("circle", cx=65.0, cy=24.0, r=4.5, class_="dot"),
        text(85, 28, f"this network, {code_size:,} numbers: {error:.4f}", class_="name"),
    ]
    return svg(WIDTH, height, parts, label)


def _pictures(anchor: str, title: str, rows: Sequence[Row], words: str) -> Section:
    names = ", ".join(row.name for row in rows)
    caption = f"{words} In each group, from top to bottom: {names}."
    pictures = [row.pictures for row in rows]
    return sheet_section(anchor, title, pictures, COLUMNS, caption, f"{title}: {names}")


def _headline(report: AutoencoderReport) -> Markup:
    figure = report.measures["psnr_gained" if report.noisy else "psnr"]
    what = "gained over the noisy pictures" if report.noisy else "peak signal-to-noise ratio"
    sentence = (
        f"{what[:1].upper()}{what[1:]}, the mean over {int(report.measures['pictures']):,} "
        f"{report.split} pictures."
    )
    aside = (
        f"A picture of {report.numbers:,} values passes through {report.code_size:,} numbers. "
        "Measured with the files of this bundle."
    )
    return headline(f"{figure:.1f}", "dB", sentence=sentence, aside=aside)


def _against_pca(report: AutoencoderReport) -> Section:
    label = f"Mean squared error by code size: PCA, and this network with {report.code_size}"
    chart = error_chart(report.pca, report.code_size, report.measures["error"], label)
    known = [name for name in WORDS if name in report.measures]
    rows = [[WORDS[name], _written(name, report.measures[name])] for name in known]
    figures = table(["Measure", "Value"], rows, f"On the {report.split} pictures", "figures")
    words = "All pictures are cut to 0..1. PCA was fitted to the same training pictures, clean; "
    words += (
        "here it projects the noisy ones on its axes."
        if report.noisy
        else "it is the best that weighted sums can do with so many numbers."
    )
    caption = element("figcaption", words)
    body = element("figure", element("div", element("div", chart), figures, class_="pair"), caption)
    return Section("measures", "Against PCA", body)


def _training(curves: Sequence[Curve]) -> Section:
    known = [curve for curve in curves if any(map(math.isfinite, curve.values))]
    body = line_chart(known, "Loss by epoch") if known else Markup("")
    words = "Both losses are measured at the end of an epoch, with the same weights."
    return Section("training", "Training", join((element("p", words), body)))


def _written(name: str, value: float) -> str:
    return f"{value:.2f}{NARROW_SPACE}dB" if "psnr" in name else f"{value:.5f}"
