"""The population stability index, and what is said of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from silverprint.serving.drift import LEAST, WINDOW, Drift, Usual
from silverprint.serving.metrics import Metrics

LINEAR = [i / 20 for i in range(21)]
REFERENCE = {"pictures": 5_000, "confidence": LINEAR, "distance": LINEAR}


def watched(reference, confidences, distances=None) -> Drift:
    drift = Drift("m", reference, Metrics())
    for i, confidence in enumerate(confidences):
        drift.record(float(confidence), None if distances is None else float(distances[i]))
    return drift


def test_the_index_by_hand() -> None:
    # All 100 in the two lowest of 20 bins; the other 18 count as half a picture.
    values = np.array([0.01, 0.06] * 50)
    expected = 2 * 0.45 * np.log(10) + 18 * (0.005 - 0.05) * np.log(0.005 / 0.05)
    assert Usual(LINEAR, 100).index(values) == pytest.approx(expected)


def test_what_is_like_the_reference_has_a_small_index() -> None:
    values = (np.arange(2_000) + 0.5) / 2_000
    assert Usual(LINEAR, 100).index(values) == pytest.approx(0, abs=1e-9)
    assert Usual(LINEAR, 100).index(values * 3 - 1) > 0.5  # outside falls into the end bins


def test_equal_quantiles_share_one_bin() -> None:
    certain = [0.5 + i / 40 for i in range(16)] + [1.0] * 5  # a quarter or so is certain
    usual = Usual(certain, 1_000)
    generator = np.random.default_rng(0)
    sure = generator.random(4_000) < 0.25
    values = np.where(sure, 1.0, generator.uniform(0.5, 0.875, 4_000))
    assert usual.index(values) < 0.1
    assert usual.index(np.full(100, 1.0)) > 1
    sure = generator.random(4_000) < 0.20
    assert usual.index(np.where(sure, 1.0, generator.uniform(0.5, 0.9, 4_000))) < 0.1
    assert Usual([1.0] * 21, 100).index(np.full(50, 1.0)) == 0


@given(
    st.lists(st.floats(0, 1), min_size=21, max_size=21).map(sorted),
    st.lists(st.floats(-1, 2), min_size=1, max_size=50),
)
def test_the_index_is_never_negative_nor_infinite(quantiles, values) -> None:
    index = Usual(quantiles, 100).index(np.array(values))
    assert np.isfinite(index)
    assert index >= 0


def test_chance_alone_raises_no_alarm() -> None:
    generator = np.random.default_rng(0)
    alarms = 0
    for _ in range(300):
        usual = Usual(np.quantile(generator.random(341), np.linspace(0, 1, 21)).tolist(), 341)
        alarms += usual.index(generator.random(LEAST)) > usual.limit(LEAST)
    assert alarms <= 2


def test_it_says_when_the_range_is_left() -> None:
    generator = np.random.default_rng(0)
    same, other = generator.random(WINDOW), generator.random(WINDOW) / 3
    assert watched(REFERENCE, same, same).sentence() == (
        "The last 1,000 pictures are like those it was tested on."
    )
    told = watched(REFERENCE, other, same).sentence()
    assert told.startswith(
        "The last 1,000 pictures are unlike those it was tested on: confidence has a median of 0.1"
    )
    assert "usually 0.50 (population stability index" in told
    assert "distance" not in told
    assert "distance has a median" in watched(REFERENCE, same, other).sentence()


def test_the_window_slides() -> None:
    drift = watched(REFERENCE, np.zeros(WINDOW), np.zeros(WINDOW))
    assert all(finding.left for finding in drift.findings())
    for value in (np.arange(WINDOW) + 0.5) / WINDOW:
        drift.record(float(value), float(value))
    assert not any(finding.left for finding in drift.findings())


def test_distances_are_counted_by_rank() -> None:
    metrics = Metrics()
    drift = Drift("m", {"pictures": 9, "distance": [10.0 * i - 50 for i in range(21)]}, metrics)
    for distance in (-99.0, 0.0, 55.0, 999.0):
        drift.record(0.5, distance)
    text = metrics.text().decode()
    for bound, count in (("0.05", 1), ("0.25", 2), ("0.5", 2), ("0.55", 3), ("1.0", 4)):
        assert f'silverprint_distance_rank_bucket{{le="{bound}",model="m"}} {count}.0' in text


def test_few_pictures_say_so() -> None:
    drift = watched(REFERENCE, np.zeros(7), np.zeros(7))
    assert drift.findings() == []
    assert drift.sentence() == "Drift is watched from 200 pictures on; 7 came since the start."


@pytest.mark.parametrize(
    "reference",
    [
        None, [], {}, {"pictures": 0, "confidence": LINEAR}, {"confidence": LINEAR},
        {"pictures": 9, "confidence": LINEAR[::-1]}, {"pictures": 9, "confidence": LINEAR[1:]},
        {"pictures": 9, "confidence": ["a"] * 21},
    ],
)  # fmt: skip
def test_a_bundle_without_a_reference_says_so(reference) -> None:
    assert "does not say what is usual" in watched(reference, np.zeros(WINDOW)).sentence()


def test_a_bundle_without_distances_is_watched_by_confidence() -> None:
    drift = watched(REFERENCE, np.zeros(WINDOW))
    assert [finding.measure for finding in drift.findings()] == ["confidence"]
