"""The diary of a run, and its mirrors."""

import json
import sys
import types

import pytest

from silverprint.errors import ConfigError, MissingExtraError
from silverprint.training.journal import METRICS, Journal, read_journal


def test_a_line_an_epoch(tmp_path) -> None:
    journal = Journal(tmp_path)
    journal.write(1, {"training loss": 0.5})
    journal.write(2, {"training loss": 0.25, "validation loss": 0.75})
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert lines == [
        {"epoch": 1, "training loss": 0.5},
        {"epoch": 2, "training loss": 0.25, "validation loss": 0.75},
    ]


def test_what_will_be_lived_through_again_is_forgotten(tmp_path) -> None:
    journal = Journal(tmp_path)
    for epoch in (1, 2, 3):
        journal.write(epoch, {"loss": float(epoch)})
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"epoch": 4, "lo')  # the process died here
    resumed = Journal(tmp_path, after=2)
    assert [line["epoch"] for line in resumed.epochs] == [1, 2]
    resumed.write(3, {"loss": 30.0})
    assert [line["loss"] for line in read_journal(tmp_path)] == [1.0, 2.0, 30.0]
    Journal(tmp_path)
    assert read_journal(tmp_path) == []


@pytest.mark.parametrize("damage", ["\x00\x00\n", "{}\n", "[1]\n", "\xff\n", "{"])
def test_a_damaged_line_ends_what_is_known(tmp_path, damage) -> None:
    lines = ['{"epoch": 1, "loss": 2.0}\n', damage, '{"epoch": 3, "loss": 1.0}\n']
    (tmp_path / METRICS).write_text("".join(lines), "latin-1")
    assert read_journal(tmp_path) == [{"epoch": 1, "loss": 2.0}]


def test_unknown_trackers_are_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"got 'tensorbord'\. Did you mean 'tensorboard'"):
        Journal(tmp_path, track="tensorbord")


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_tracker_that_is_not_installed_says_what_to_install(tmp_path, monkeypatch, name) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard.writer", raising=False)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(MissingExtraError, match=rf"--track {name} needs .*silverprint\[track\]"):
        Journal(tmp_path, track=name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_every_measure(tmp_path, monkeypatch) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run-1"
    folder.mkdir()
    journal = Journal(folder, track="tensorboard")
    journal.write(1, {"training loss": 0.5, "learning rate": 0.001})
    journal.write(2, {"training loss": 0.25, "learning rate": 0.0})
    journal.close()
    events = accumulator.EventAccumulator(str(tmp_path / "runs" / "run-1"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("training/loss")] == [(1, 0.5), (2, 0.25)]


def test_mlflow_goes_on_under_its_own_number(tmp_path, monkeypatch) -> None:
    calls = []

    def start_run(run_id, run_name):
        calls.append(("start", run_id, run_name))
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_id or "abc"))

    stand_in = types.ModuleType("mlflow")
    stand_in.start_run = start_run
    stand_in.log_metrics = lambda values, step: calls.append((step, values))
    stand_in.end_run = lambda: calls.append("end")
    monkeypatch.setitem(sys.modules, "mlflow", stand_in)
    journal = Journal(tmp_path, track="mlflow", name="digits")
    journal.write(1, {"loss": 0.5})
    journal.close()
    Journal(tmp_path, after=1, track="mlflow", name="digits")
    assert calls == [
        ("start", None, "digits"), (1, {"loss": 0.5}), "end", ("start", "abc", "digits"),
    ]  # fmt: skip
