"""Pages of sweeps, comparisons and range tests."""

import math
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from silverprint.reports import comparison, rates, sweep
from silverprint.reports.comparison import ComparisonReport, Row
from silverprint.reports.drawing import standalone
from silverprint.reports.rates import RatesReport, rate_chart
from silverprint.reports.sweep import Line, SweepReport, sweep_chart, written

LINES = [
    Line("0.001", (0.2, 0.5, 0.7)),
    Line("0.01", (0.5, 0.8, 0.75, 0.7), best=True),
    Line("<b>", (0.3, math.nan, 0.4)),
    Line("exact", level=0.6),
]
REPORT = SweepReport(
    title="photos & <friends>", summary="Two tried.", accuracy=0.8, interval=(0.7, 0.88),
    count=100, tried=4, alike=2, charts={"learning_rate": LINES},
    candidates=[{"learning_rate": 0.01, "validation_accuracy": 0.8, "validation_loss": 0.5,
                 "chosen": True},
                {"learning_rate": 1.0, "validation_accuracy": None, "validation_loss": None,
                 "chosen": False}],
)  # fmt: skip


def test_a_chart_names_every_value_and_marks_the_best() -> None:
    chart = sweep_chart(LINES, "label")
    root = ElementTree.fromstring(chart)
    words = [text.text for text in root.iter("text")]
    assert {"0.001", "0.01", "<b>", "exact"} <= set(words)
    assert words.count("80.0\u202f%") == 2  # at its point, and beside its name
    (dot,) = root.iter("circle")
    assert dot.get("class") == "dot"
    assert "nan" not in chart
    width = float(root.get("width"))
    assert all(0 <= float(text.get("x")) < width for text in root.iter("text"))


def test_the_figure_is_that_of_the_epoch_that_ships() -> None:
    lines = [Line("1", (0.5, 0.9, 0.7), 0.7, best=True, epoch=3), Line("2", (0.4,), 0.4, epoch=1)]
    chart = str(sweep_chart(lines, "x"))
    assert "70.0" in chart
    assert "90.0" not in chart


def test_many_values_find_room() -> None:
    lines = [Line(f"{value}", (0.1, value / 20)) for value in range(1, 12)]
    root = ElementTree.fromstring(sweep_chart(lines, "label"))
    height = float(root.get("height"))
    assert all(0 < float(text.get("y")) < height for text in root.iter("text"))


def test_a_drawing_stands_alone() -> None:
    root = ElementTree.fromstring(standalone(sweep_chart(LINES, "label"), "R & D"))
    names = [child.tag.rpartition("}")[2] for child in root]
    assert names == ["style", "rect", "text", "g"]
    assert root.get("viewBox").split()[3] == "278"


def test_the_sweeps_page_escapes_and_loads_nothing(tmp_path) -> None:
    sweep.write_sweep(REPORT, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "photos &amp; &lt;friends&gt;" in page
    assert "<friends>" not in page
    assert "default-src" in page
    assert "80 of 100 validation pictures" in page
    assert "2 of the others lie within the interval" in page
    assert (tmp_path / "learning_rate.svg").exists()


@pytest.mark.parametrize(
    ("value", "words"),
    [(1e-4, "0.0001"), (None, "exact"), (True, "yes"), ((512, 256), "512, 256"), ("he", "he")],
)
def test_values_are_written_for_people(value, words) -> None:
    assert written(value) == words


def test_the_comparisons_page(tmp_path) -> None:
    measures = {"test": (0.9, 0.8, None), "validation": (0.85, 0.8, 0.7)}
    rows = [Row("1", "frozen", measures, 3, 1.0), Row("4", "all", measures, 5, 60, best=True)]
    report = ComparisonReport(
        "photos", "Preset 4 won.", 0.9, (0.8, 0.95), "test", rows, {"lite0": LINES, "vgg16": LINES},
        [], {"heads": 1.0}, {"command": "compare"},
    )  # fmt: skip
    comparison.write_comparison_page(report, tmp_path / "compare.html")
    page = (tmp_path / "compare.html").read_text()
    assert "Preset 4 won." in page
    assert page.count("<b>4 ✓</b>") == 2
    for name in ("curves.svg", "curves-2.svg"):
        ElementTree.parse(tmp_path / name)


RATES = RatesReport(
    "photos", "a head", [10.0**k for k in range(-6, 1)], [2, 2, 1.5, 1, 0.5, 3, 900],
    [2, 2, 1.8, 1.4, 1.0, 1.5, 90], 0.001, "a rule", {},
)  # fmt: skip


def test_the_rates_chart_is_cut_where_the_loss_runs_away(tmp_path) -> None:
    root = ElementTree.fromstring(rate_chart(RATES))
    words = [text.text for text in root.iter("text")]
    assert words.count("0.001") == 2  # a tick, and the suggestion
    ticks = [float(text.text) for text in root.iter("text") if text.get("text-anchor") == "end"
             and text.text.replace(".", "").isdigit() and float(text.get("x")) < 44]  # fmt: skip
    assert max(ticks) <= 6
    rates.write_rates(RATES, tmp_path / "learning-rate.html")
    ElementTree.parse(tmp_path / "learning-rate.svg")
    assert "a rule" in (tmp_path / "learning-rate.html").read_text()


def test_a_test_of_one_step_can_be_drawn() -> None:
    ElementTree.fromstring(rate_chart(replace(RATES, rates=[0.1], losses=[1.0], smoothed=[1.0],
                                              suggestion=0.1)))  # fmt: skip
