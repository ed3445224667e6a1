"""One run's result as one HTML file: no network, no scripts, readable on paper and on a telephone.

    write_report(Report(title="clothing", metrics={"test": ...}, ...), Path("report.html"))

Every name a user chose is escaped where it is placed (see markup), and a content security policy in
the page itself forbids scripts and every request, so a report can be mailed and opened anywhere.
"""

from pathlib import Path

from silverprint.reports import background, pictures, results
from silverprint.reports.contents import Curve, Picture, Report
from silverprint.reports.markup import Section
from silverprint.reports.page import opening, page, write_page

__all__ = ["Curve", "Picture", "Report", "render", "write_report"]


def write_report(report: Report, path: Path) -> None:
    """Write the report to path, whole or not at all."""
    write_page(render(report), path)


def render(report: Report) -> str:
    """Return the whole page as text."""
    words = (report.title, report.summary, results.overall(report))
    top = opening("Silverprint report", *words)
    return page(f"{report.title} – Silverprint report", top, _chapters(report))


def _chapters(report: Report) -> list[Section]:
    """Return the page's chapters in order; those with nothing to tell are empty."""
    return [
        pictures.samples(report),
        results.measures(report),
        results.confusions(report),
        results.per_class(report),
        pictures.mistakes(report),
        results.reliability(report),
        background.training(report.curves),
        background.configurations(report.candidates),
        background.reading(report.notices, report.refused),
        background.timings(report.seconds),
        background.provenance(report.provenance),
    ]
