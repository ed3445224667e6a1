import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint.reports.contents import Curve
from silverprint.reports.figures import (
    dot_rows,
    heat_map,
    interval_ruler,
    line_chart,
    nice_scale,
    reliability_diagram,
)
from silverprint.training.metrics import calibration


def numbers_are_finite(svg):
    drawn = re.findall(r'(?:d|x|y|cx|cy|r|width|height|viewBox|transform)="([^"]*)"', svg)
    return not re.search("nan|inf", " ".join(drawn))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_a_nice_scale_holds_its_values_between_round_ticks(values):
    scale = nice_scale(values, 300, 10)
    slack = 1e-6 * (scale.high - scale.low)
    assert scale.low <= min(values) + slack
    assert scale.high >= max(values) - slack
    assert 2 <= len(scale.ticks) <= 9
    assert (scale(scale.low), scale(scale.high)) == (300, 10)


@pytest.mark.parametrize(
    "values", [(0.5,), (0.5, 0.5, 0.5), (0.0,), (1.0, math.nan, 0.2), (math.inf, 1.0), (1e-9, 1e9)]
)
@pytest.mark.parametrize("best", ["low", "high"])
def test_any_curve_can_be_drawn(values, best):
    svg = line_chart([Curve("validation", values), Curve("training", (0.1, 0.2))], "Curves", best)
    assert numbers_are_finite(svg)
    assert "epoch" in svg


def test_the_best_epoch_is_named_and_a_gap_is_left():
    svg = line_chart([Curve("validation loss", (0.9, math.nan, 0.412, 0.5))], "Loss")
    assert ">0.412 at epoch 3<" in svg
    path = re.search(r'd="(M[^"]*L[^"]*)" class="solid"', svg)
    assert path[1].count("M") == 2
    svg = line_chart([Curve("validation accuracy", (0.5, 0.875, 0.8))], "Accuracy", "high")
    assert ">87.5\u202f% at epoch 2<" in svg


def test_lines_differ_by_more_than_colour():
    curves = [Curve(name, (1.0, 2.0)) for name in ("training", "a", "b", "c", "d")]
    svg = line_chart(curves, "x")
    styles = re.findall(r'h26" class="([^"]*)"', svg)
    assert len(styles) == len(set(styles)) == 5


def test_a_small_heat_map_shows_its_numbers():
    svg = heat_map([[12, 3], [0, 1234]], ("cat", "<dog>"), "Confusions")
    assert re.findall(r'class="number (\w+)"[^>]*>(\d+)<', svg) == [
        ("light", "12"),
        ("dark", "3"),
        ("light", "1234"),
    ]
    assert "cat → &lt;dog&gt;: 3 (20.0\u202f%)" in svg
    assert "<dog>" not in svg


def test_no_cell_is_of_a_shade_on_which_no_letter_can_be_read():
    rows = [[k, 100 - k] for k in range(101)]
    matrix = [[*row, *[0] * 99] for row in rows]
    svg = heat_map(matrix, [f"{k}" for k in range(101)], "x")
    shades = [float(shade) for shade in re.findall(r'fill-opacity="([^"]*)"', svg)]
    assert shades
    assert not [shade for shade in shades if 0.55 < shade < 0.78 or shade > 1]


@pytest.mark.parametrize("count", [2, 3, 10, 25, 26, 102])
def test_heat_maps_of_any_size(count):
    svg = heat_map(np.eye(count, dtype=int).tolist(), [f"class {k}" for k in range(count)], "x")
    assert svg.count("fill-opacity") == count
    assert ("number" in svg) == (count <= 25)
    assert numbers_are_finite(svg)
    width, height = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', svg).groups())
    assert max(width, height) < 1100
    if count <= 25:
        assert width <= 705


def test_reliability_leaves_empty_bins_out():
    bins = calibration(np.array([0.72, 0.99]), np.array([True, True]))["bins"]
    svg = reliability_diagram(bins, "x", "pictures")
    assert svg.count("<circle") == 2
    assert "stated 66.7\u202f% to 73.3\u202f%: 1 pictures, 100.0\u202f% true" in svg


def test_reliability_before_calibration_is_drawn_behind():
    now = calibration(np.array([0.72, 0.99]), np.array([True, True]))["bins"]
    before = calibration(np.array([0.5, 0.8]), np.array([False, True]))["bins"]
    svg = reliability_diagram(now, "x", "pictures", before)
    kinds = re.findall(r'class="(before|solid thin|dot)"', svg)
    assert kinds == ["before"] * 3 + ["solid thin", "dot", "dot"]
    assert "before calibration: stated 46.7\u202f% to 53.3\u202f%: 1 pictures, 0.0\u202f%" in svg
    empty = calibration(np.zeros(1), np.zeros(1, bool))["bins"]
    empty[0]["count"] = 0
    assert reliability_diagram(now, "x", "pictures", empty) == reliability_diagram(
        now, "x", "pictures"
    )


def test_a_ruler_begins_late_where_all_is_high():
    assert ">0<" in interval_ruler(0.4, 0.2, 0.6, "x")
    assert ">90<" in interval_ruler(0.98, 0.95, 0.99, "x")
    assert numbers_are_finite(interval_ruler(0.0, 0.0, 0.8, "x"))
    assert numbers_are_finite(interval_ruler(1.0, 1.0, 1.0, "x"))


def test_the_chosen_dot_is_a_ring():
    scale = nice_scale([0.8, 0.9], 94, 320)
    svg = dot_rows([("0.1", [(0.8, False), (0.9, True)])], scale, "x")
    assert svg.count('class="faint"') == svg.count('class="chosen"') == 1
