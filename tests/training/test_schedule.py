"""The learning rate over a run."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from silverprint.training.schedule import learning_rate_factor


def test_warm_up_then_half_a_cosine() -> None:
    factors = [learning_rate_factor(step, 14, warm_up=4) for step in range(14)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4] == 1.0
    assert factors[9] == pytest.approx(0.5)
    assert factors[13] == pytest.approx((1 + math.cos(math.pi * 0.9)) / 2)
    assert learning_rate_factor(14, 14, warm_up=4) == 0


def test_straight_line_and_none() -> None:
    assert learning_rate_factor(5, 10, shape="linear") == 0.5
    assert learning_rate_factor(5, 10, shape="linear", last=0.2) == pytest.approx(0.6)
    assert learning_rate_factor(9, 10, shape="constant") == 1.0


@given(
    st.integers(1, 200), st.data(), st.sampled_from(["cosine", "linear", "constant"]),
    st.floats(0, 1),
)  # fmt: skip
def test_rises_then_falls_within_bounds(steps, data, shape, last) -> None:
    warm_up = data.draw(st.integers(0, steps))
    factors = [
        learning_rate_factor(step, steps, warm_up=warm_up, shape=shape, last=last)
        for step in range(steps)
    ]
    assert all(0 < factor <= 1 or factor == pytest.approx(last) for factor in factors)
    assert factors[:warm_up] == sorted(factors[:warm_up])
    assert factors[warm_up:] == sorted(factors[warm_up:], reverse=True)
