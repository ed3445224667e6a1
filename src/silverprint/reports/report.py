"""One run's result as one HTML file: no network, no scripts, readable on paper and on a telephone.

    write_report(Report(title="clothing", metrics={"test": ...}, ...), Path("report.html"))

Every name a user chose is escaped where it is placed (see markup), and a content security policy in
the page itself forbids scripts and every request, so a report can be mailed and opened anywhere.
"""

import os
from importlib import resources
from pathlib import Path

from silverprint.reports import background, pictures, results
from silverprint.reports.contents import Curve, Picture, Report
from silverprint.reports.markup import Markup, Section, element, join, named

__all__ = ["Curve", "Picture", "Report", "render", "write_report"]

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'"


def write_report(report: Report, path: Path) -> None:
    """Write the report to path, whole or not at all: under another name first, then renamed."""
    page = render(report)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(page, encoding="utf-8", newline="\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def render(report: Report) -> str:
    """Return the whole page as text."""
    chapters = [chapter for chapter in _chapters(report) if chapter.body]
    title = f"{report.title} – Silverprint report"
    body = element(
        "body",
        element("main", _opening(report), _contents(chapters), join(map(_chapter, chapters))),
        element("footer", element("p", "Made by Silverprint. One file that loads nothing.")),
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n{_head(title)}\n{body}\n</html>\n'


def _chapters(report: Report) -> list[Section]:
    """Return the page's chapters in order; those with nothing to tell are empty."""
    return [
        pictures.samples(report),
        results.measures(report),
        results.confusions(report),
        results.per_class(report),
        pictures.mistakes(report),
        results.reliability(report),
        background.training(report),
        background.configurations(report),
        background.reading(report),
        background.timings(report),
        background.provenance(report),
    ]


def _head(title: str) -> Markup:
    style = resources.files("silverprint.reports").joinpath("report.css").read_text("utf-8")
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", Markup(style)),
    )


def _opening(report: Report) -> Markup:
    return element(
        "header",
        element("p", "Silverprint report", class_="eyebrow"),
        element("h1", named(report.title)),
        element("p", report.summary, class_="summary"),
        results.headline(report),
    )


def _contents(chapters: list[Section]) -> Markup:
    links = join(
        element("li", element("a", chapter.anchor.capitalize(), href=f"#{chapter.anchor}"))
        for chapter in chapters
    )
    return element("nav", element("ul", links), aria_label="Contents")


def _chapter(section: Section) -> Markup:
    heading = element("h2", section.title, id=f"{section.anchor}-title")
    return element(
        "section",
        heading,
        section.body,
        id=section.anchor,
        aria_labelledby=f"{section.anchor}-title",
    )
