"""The moving average of weights and buffers."""

import pytest
import torch
from torch import nn

from silverprint.training.averaging import WeightAverage


def network(value: float = 0.0) -> nn.Linear:
    made = nn.Linear(2, 1, bias=False)
    nn.init.constant_(made.weight, value)
    return made


def average_of(made: nn.Module, average: WeightAverage) -> float:
    with average.swapped_in():
        return float(next(made.parameters()).detach()[0, 0])


def test_the_decay_rises_to_its_limit() -> None:
    made = network()
    average = WeightAverage(made, decay=0.5)
    nn.init.ones_(made.weight)
    average.update()
    assert average_of(made, average) == pytest.approx(1 - 2 / 11)
    for _ in range(7):
        average.update()
    before = average_of(made, average)
    average.update()  # (1 + 9) / (10 + 9) is above the limit
    assert 1 - average_of(made, average) == pytest.approx((1 - before) * 0.5, rel=1e-3)


def test_several_steps_at_once_forget_as_much_as_one_after_the_other() -> None:
    made = network()
    average = WeightAverage(made, decay=0.01)  # the limit from the first update on
    nn.init.ones_(made.weight)
    average.update(steps=2)
    assert average_of(made, average) == pytest.approx(1 - 0.01**2)


def test_swapping_gives_the_weights_back_even_after_an_error() -> None:
    made = network(2.0)
    average = WeightAverage(made)
    nn.init.ones_(made.weight)
    inside = []

    def fail() -> None:
        with average.swapped_in():
            inside.append(made.weight.tolist())
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert inside == [[[2.0, 2.0]]]
    assert made.weight.tolist() == [[1.0, 1.0]]
    assert average_of(made, average) == 2.0


def test_batch_norm_statistics_are_averaged_and_counters_left_alone() -> None:
    made = nn.BatchNorm1d(1)
    average = WeightAverage(made, decay=0.5)
    made(torch.tensor([[10.0], [30.0]]))
    counted = int(made.num_batches_tracked)
    average.update()
    mean = float(made.running_mean)
    with average.swapped_in():
        assert 0 < float(made.running_mean) < mean
        assert int(made.num_batches_tracked) == counted


def test_a_saved_average_goes_on_as_if_never_stopped() -> None:
    made = network()
    first = WeightAverage(made, decay=0.9)
    nn.init.ones_(made.weight)
    first.update()
    second = WeightAverage(made, decay=0.9)
    second.load_state_dict(first.state_dict())
    first.update()
    second.update()
    assert second.updates == 2
    assert average_of(made, first) == average_of(made, second)
