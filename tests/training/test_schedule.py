"""The learning rate over a run."""

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from silverprint.training.schedule import learning_rate_factor, set_learning_rate


def test_warm_up_then_half_a_cosine() -> None:
    factors = [learning_rate_factor(step, 14, warm_up=4) for step in range(14)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4] == 1.0
    assert factors[9] == pytest.approx(0.5)
    assert factors[13] == pytest.approx((1 + math.cos(math.pi * 0.9)) / 2)
    assert learning_rate_factor(14, 14, warm_up=4) == 0


def test_a_step_of_an_epoch_is_one_of_the_whole_run() -> None:
    groups = [{}, {"highest": 0.5}]
    optimiser = SimpleNamespace(param_groups=groups)
    state = SimpleNamespace(steps=10, epoch=1, step=5, optimiser=optimiser)
    factor = learning_rate_factor(15, 40, warm_up=8, shape="linear")
    assert set_learning_rate(state, 2.0, 4, warm_up=0.2, shape="linear") == factor * 2
    assert [group["lr"] for group in groups] == [factor * 2, factor * 0.5]
    state.epoch, state.step = 0, 3
    assert set_learning_rate(state, 2.0, 4, warm_up=0.2) == 1.0  # half of the rise


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
