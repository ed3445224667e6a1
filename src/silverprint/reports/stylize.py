"""A picture painted in the style of others as one HTML file: what came, of what, and how."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from silverprint.reports import background
from silverprint.reports.contents import Curve
from silverprint.reports.figures import line_chart
from silverprint.reports.markup import Markup, Section, element, join, named
from silverprint.reports.page import headline, opening, page

RESULT_SIDE, GIVEN_SIDE, STRIP_SIDE = 1024, 480, 1536  # pixels of the longer side, at most
QUALITY = 90
LOSSES = {
    "content": "Content: distance from the content's maps, as a share of their variance",
    "style": "Style: distance from the styles' Gram matrices, as a share of their size",
    "variation": "Variation: mean length of the colour difference to the next pixel",
}


@dataclass(frozen=True)
class Shown:
    """A picture and what is said below it.

    Attributes:
        name: of the file.
        words: what it is.
        pixels: (h, w, 3) uint8.
    """

    name: str
    words: str
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class StyleReport:
    """Everything the page tells.

    Attributes:
        result: the picture that was made.
        content: the picture whose contents stayed.
        styles: those whose manner came.
        strip: stages from left to right, (h, w, 3) uint8.
        steps: after how many steps each stage but the last was taken.
        summary: the result in a sentence.
        losses: content, style and variation, by step.
        final: the same of the result.
        notices: what the user should know, a line each.
        seconds: by stage.
        provenance: what is needed to do it again, in order.
    """

    result: Shown
    content: Shown
    styles: Sequence[Shown]
    strip: NDArray[np.uint8]
    steps: Sequence[int]
    summary: str
    losses: Mapping[str, Sequence[float]]
    final: Mapping[str, float]
    notices: Sequence[str] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)


def render(report: StyleReport) -> str:
    """Return the whole page as text."""
    top = opening("Silverprint style transfer", report.result.name, report.summary, _top(report))
    chapters = [
        Section("picture", "The picture", _figure(report.result, RESULT_SIDE)),
        _given(report),
        _stages(report),
        _losses(report),
        background.notes(report.notices),
        background.timings(report.seconds),
        background.provenance(report.provenance),
    ]
    return page(f"{report.result.name} – Silverprint style transfer", top, chapters)


def _top(report: StyleReport) -> Markup:
    final = report.final
    return headline(
        f"{100 * final['style']:.1f}",
        "%",
        sentence="What is left between the picture and the style: 100 would be as far as if no "
        "two channels of the network went together.",
        aside=f"Content loss {final['content']:.3f}, variation {final['variation']:.4f}.",
    )


def _given(report: StyleReport) -> Section:
    figures = [_figure(one, GIVEN_SIDE) for one in (report.content, *report.styles)]
    return Section("given", "What it was made of", element("div", *figures, class_="pair"))


def _stages(report: StyleReport) -> Section:
    told = ", ".join(f"{steps:,}" for steps in report.steps)
    words = f"After {told} steps from left to right, and the result."
    shown = Shown("stages on the way", words, report.strip)
    body = element("figure", _image(shown, STRIP_SIDE), element("figcaption", words))
    return Section("stages", "How it came to be", body)


def _losses(report: StyleReport) -> Section:
    charts = [
        element(
            "div",
            element("h3", title),
            line_chart([Curve(name, tuple(report.losses[name]))], title, "none", "step"),
        )
        for name, title in LOSSES.items()
        if report.losses[name]
    ]
    words = element(
        "p",
        "Each as it was found, before its weight. They jump where a finer scale begins, for "
        "that one shows what the coarser one could not.",
    )
    body = join((words, element("div", *charts, class_="pair"))) if charts else Markup("")
    return Section("losses", "The three losses", body)


def _figure(shown: Shown, side: int) -> Markup:
    caption = element("figcaption", named(shown.name), f": {shown.words}")
    return element("figure", _image(shown, side), caption)


def _image(shown: Shown, side: int) -> Markup:
    image = Image.fromarray(shown.pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY)
    return element(
        "img",
        src=f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}",
        alt=f"{shown.name}: {shown.words}",
        width=image.width,
        height=image.height,
        style="max-width:100%;height:auto",
    )
