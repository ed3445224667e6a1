"""What a checkpoint brings back, and which epoch is the best."""

import math

import pytest
import torch
from torch import nn

from silverprint.errors import ConfigError
from silverprint.training import run_state
from silverprint.training.averaging import WeightAverage
from silverprint.training.fabric import start_fabric
from silverprint.training.run_state import BEST, LAST, RunState


def state_in(folder, patience=None, **identity) -> RunState:
    network = nn.Linear(2, 1)
    optimiser = torch.optim.AdamW(network.parameters())
    return RunState(
        folder, {"epochs": 3, **identity}, network, optimiser, WeightAverage(network),
        torch.Generator().manual_seed(0), torch.zeros(4), start_fabric("cpu", "f32"), patience,
    )  # fmt: skip


def finish(state: RunState, key: float, weight: float) -> None:
    nn.init.constant_(state.network.weight, weight)
    state.finish_epoch({"loss": key}, (key,))


def test_the_weights_of_the_best_epoch_come_back(tmp_path) -> None:
    state = state_in(tmp_path)
    for key, weight in ((3.0, 1.0), (1.0, 2.0), (2.0, 3.0), (math.nan, 4.0), (1.0, 5.0)):
        finish(state, key, weight)
    assert (state.best_epoch, state.epoch) == (2, 5)
    state.load_best()
    assert state.network.weight.tolist() == [[2.0, 2.0]]


def test_without_any_finite_epoch_the_last_weights_stay(tmp_path) -> None:
    state = state_in(tmp_path)
    finish(state, math.inf, 7.0)
    state.load_best()
    assert state.best_epoch == 0
    assert state.network.weight.tolist() == [[7.0, 7.0]]
    assert not (tmp_path / BEST).exists()


def test_patience_counts_epochs_since_the_best(tmp_path) -> None:
    state = state_in(tmp_path, patience=2)
    ended = []
    for key in (2.0, 1.0, 1.5, 1.2):
        finish(state, key, 0.0)
        ended.append(state.out_of_patience())
    assert ended == [False, False, False, True]
    assert not state_in(tmp_path).out_of_patience()


def test_everything_comes_back(tmp_path) -> None:
    state = state_in(tmp_path)
    state.network(torch.ones(1, 2)).backward()
    state.optimiser.step()
    state.average.update()
    finish(state, 0.5, 1.0)
    state.step, state.losses[0] = 1, 9.0
    torch.rand(3, generator=state.chance)
    state.save()
    expected = torch.rand(2, generator=state.chance), torch.rand(2)

    again = state_in(tmp_path)
    again.take_up()
    assert torch.equal(again.network.weight, state.network.weight)
    assert again.optimiser.state_dict()["state"][0]["step"] == 1
    assert again.average.updates == 1
    assert (again.epoch, again.step, again.best_epoch, again.best_key) == (1, 1, 1, (0.5,))
    assert again.curves == {"loss": [0.5]}
    assert again.losses.tolist() == [9.0, 0.0, 0.0, 0.0]
    assert torch.equal(torch.rand(2, generator=again.chance), expected[0])
    assert torch.equal(torch.rand(2), expected[1])


def test_nothing_to_take_up(tmp_path) -> None:
    state = state_in(tmp_path)
    state.take_up()
    assert state.epoch == 0
    assert list(tmp_path.iterdir()) == []


def test_another_runs_checkpoint_is_refused_by_the_field_that_differs(tmp_path) -> None:
    state_in(tmp_path, learning_rate=0.1).save()
    with pytest.raises(
        ConfigError,
        match=rf"checkpoint .*{LAST} belongs to a run with learning_rate 0\.1, not 0\.2; go on",
    ):
        state_in(tmp_path, learning_rate=0.2).take_up()


def test_a_run_of_another_number_of_processes_is_refused(tmp_path, monkeypatch) -> None:
    state_in(tmp_path).save()
    state = state_in(tmp_path)
    monkeypatch.setattr(run_state, "share_file", lambda *_: None)  # there is no other to ask
    monkeypatch.setattr(type(state.fabric), "world_size", 2)
    with pytest.raises(ConfigError, match="a run with processes 1, not 2; go on as it began"):
        state.take_up()


def test_a_loss_that_is_no_number_is_named_by_its_step(tmp_path) -> None:
    state = state_in(tmp_path)
    state.epoch, state.step = 1, 3
    state.refuse_non_finite(0.1)
    state.losses[3] = math.nan  # not made yet
    state.refuse_non_finite(0.1)
    state.losses[1] = math.inf
    message = r"loss became inf at step 2 of 4 in epoch 2, with a learning rate of 0\.1; try"
    with pytest.raises(ConfigError, match=message):
        state.refuse_non_finite(0.1)


def test_checkpoints_inside_an_epoch_come_after_a_minute(tmp_path) -> None:
    state = state_in(tmp_path)
    state.save_now_and_then()
    assert not (tmp_path / LAST).exists()
    state.saved -= 61
    state.save_now_and_then()
    assert (tmp_path / LAST).exists()


def test_at_the_end_of_an_epoch_its_measures_are_waited_for(tmp_path) -> None:
    state = state_in(tmp_path)
    state.saved -= 61
    for _ in state.losses:
        state.finish_step()
    state.save_now_and_then()
    assert not (tmp_path / LAST).exists()


def test_a_step_moves_the_average_which_is_then_judged(tmp_path) -> None:
    state = state_in(tmp_path)
    nn.init.constant_(state.network.weight, 1.0)
    state.finish_step()
    assert (state.step, state.average.updates) == (1, 1)
    with state.averaged():
        assert (state.network.weight != 1.0).all()
    assert state.network.weight.tolist() == [[1.0, 1.0]]
    state.average = None
    state.finish_step()
    with state.averaged():
        assert state.network.weight.tolist() == [[1.0, 1.0]]
    assert state.step == 2
