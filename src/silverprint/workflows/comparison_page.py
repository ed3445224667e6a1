"""Turn a comparison into its page and drawings."""

import datetime
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from silverprint.reports.comparison import ComparisonReport, Row, write_comparison_page
from silverprint.reports.sweep import Line

if TYPE_CHECKING:
    from silverprint.workflows.compare import Comparison

PAGE = "compare.html"


def write_comparison(
    comparison: "Comparison", out: Path, seconds: Mapping[str, float], command: str
) -> None:
    """Write compare.html and the curves into the folder."""
    best = comparison.ranked[0]
    found = best.metrics[comparison.split]
    several = len({one.backbone for one in comparison.results}) > 1
    low, high = found["accuracy_interval"]
    rows, charts = [], dict[str, list[Line]]()
    for one in comparison.results:
        name = f"{one.preset}, {one.backbone}:" if several else f"{one.preset}"
        measures = {
            split: (values["accuracy"], values["macro_precision"], values["macro_recall"])
            for split, values in one.metrics.items()
        }
        rows.append(Row(name, one.words, measures, one.epochs, one.seconds, one is best))
        curve = tuple(one.curves.get("validation accuracy", ()))
        accuracy = one.metrics["validation"]["accuracy"]
        line = Line(f"preset {one.preset}", curve, accuracy, one is best, one.epochs)
        charts.setdefault(one.backbone, []).append(line)
    libraries = {name: version(name) for name in ("silverprint", "torch", "numpy")}
    report = ComparisonReport(
        title=comparison.title,
        verdict=comparison.verdict,
        accuracy=found["accuracy"],
        interval=(low, high),
        split=comparison.split,
        rows=rows,
        charts=charts,
        notices=comparison.notices,
        seconds=dict(seconds),
        provenance={
            "command": command,
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            **libraries,
        },
    )
    write_comparison_page(report, out / PAGE)
