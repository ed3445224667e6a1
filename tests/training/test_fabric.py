"""Where a network trains, and random numbers of its own."""

import types

import pytest
import torch

from silverprint.errors import ConfigError
from silverprint.training.fabric import fast_bf16, share_file, share_of, start_fabric, total
from silverprint.training.randomness import own_randomness, random_states, restore_random_states


def test_precision_is_what_was_asked_for() -> None:
    assert start_fabric("cpu", "f32")._precision.precision == "32-true"
    assert start_fabric("cpu", "bf16")._precision.precision == "bf16-mixed"


@pytest.mark.parametrize(("fast", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_automatic_precision_follows_the_processor(monkeypatch, fast, expected) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)
    assert start_fabric("cpu")._precision.precision == expected
    assert fast_bf16("cpu") == fast
    assert not fast_bf16("mps")


def test_it_says_nothing(capfd, caplog) -> None:
    start_fabric("cpu", "bf16")
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_automatic_device_takes_what_is_there(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert start_fabric().device == torch.device("cpu")
    with pytest.raises(ConfigError, match="device 'cuda' is not to be found here; use auto or cpu"):
        start_fabric("cuda")


@pytest.mark.parametrize(("count", "processes"), [(10, 3), (4, 4), (2, 3), (7, 1)])
def test_shares_are_all_there_is_once_and_in_order(count, processes) -> None:
    rows = torch.arange(count)
    shares = [
        share_of(rows, types.SimpleNamespace(world_size=processes, global_rank=rank))
        for rank in range(processes)
    ]
    assert torch.equal(torch.cat(shares), rows)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_lone_process_has_the_total() -> None:
    assert total(torch.tensor(3.0), start_fabric("cpu", "f32")).item() == 3.0


def test_random_numbers_of_a_run_do_not_depend_on_the_callers() -> None:
    torch.manual_seed(1)
    with own_randomness(7):
        first = torch.rand(2)
    following = torch.rand(2)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(2), following)
    with own_randomness(7):
        assert torch.equal(torch.rand(2), first)


def test_random_numbers_go_on_where_they_stood() -> None:
    fabric = start_fabric("cpu", "f32")
    with own_randomness(7):
        states = random_states(fabric)
        expected = torch.rand(3)
        restore_random_states(states, fabric)
        assert torch.equal(torch.rand(3), expected)


def test_every_process_goes_on_with_its_own_random_numbers() -> None:
    states = []
    for seed in range(2):
        torch.manual_seed(seed)
        states.append(torch.get_rng_state())
    second = types.SimpleNamespace(global_rank=1, device=torch.device("cpu"))
    restore_random_states({"cpu": torch.stack(states)}, second)
    found = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(found, torch.rand(3))


def test_a_lone_process_keeps_its_files(tmp_path) -> None:
    (tmp_path / "last").write_bytes(b"kept")
    share_file(tmp_path / "last", start_fabric("cpu", "f32"))
    share_file(tmp_path / "none", start_fabric("cpu", "f32"))
    assert [path.name for path in tmp_path.iterdir()] == ["last"]
