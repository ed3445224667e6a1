"""Of several processes, which does what; tests/workflows/test_two_hosts.py has real ones."""

import pytest

from silverprint.errors import ConfigError
from silverprint.workflows.processes import lost_processes_told, main_process

GLOO = "[pair.cc:545] Read error [10.0.0.2]:45472: Connection reset by peer."


@pytest.mark.parametrize(("rank", "main"), [(None, True), ("0", True), ("1", False)])
def test_the_first_is_the_main_one(monkeypatch, rank, main) -> None:
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    assert main_process() is main


def test_a_lost_one_is_told_in_words(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(ConfigError, match="another process of this run is gone"),
        lost_processes_told(),
    ):
        raise RuntimeError(GLOO)


@pytest.mark.parametrize(("world", "words"), [("1", GLOO), ("2", "mat1 and mat2 do not fit")])
def test_other_errors_are_left_alone(monkeypatch, world, words) -> None:
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(RuntimeError, match=words[-15:]), lost_processes_told():
        raise RuntimeError(words)
