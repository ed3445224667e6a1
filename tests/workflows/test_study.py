"""A study that is stopped, taken up and shared; the trials themselves are pretended."""

import json
import logging
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import optuna
import pytest

from silverprint.errors import ConfigError, MissingExtraError
from silverprint.workflows import study
from silverprint.workflows.study import open_database, quiet_optuna, run_study
from silverprint.workflows.sweeps import Tried

FIELDS = {"learning_rate": (0.001, 0.01, 0.1), "widths": ((16,), (16, 8))}


class Trainer:
    """Pretends to train: the accuracy is the learning rate."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.ran: list[dict] = []
        self._stop_at = stop_at

    def __call__(self, config) -> Tried:
        self.ran.append(config)
        if len(self.ran) == self._stop_at:
            raise KeyboardInterrupt
        return Tried(config, config["learning_rate"], 1.0, 2, {"validation accuracy": [0.0, 1.0]})


def key(config) -> str:
    return json.dumps(config, sort_keys=True)


def run(trainer, out, fields=FIELDS, data="photos 1", url=None, **options):
    storage = open_database(out, url)
    return run_study(fields, {"from_scratch": True}, data, trainer, storage=storage, **options)


def test_every_configuration_is_tried_once_and_kept(tmp_path) -> None:
    trainer = Trainer()
    results = run(trainer, tmp_path)
    assert len(trainer.ran) == len({key(config) for config in trainer.ran}) == 6
    assert {key(one.config) for one in results} == {key(config) for config in trainer.ran}
    assert all(one.accuracy == one.config["learning_rate"] for one in results)
    assert all(isinstance(one.config["widths"], tuple) for one in results)
    again = Trainer()
    assert run(again, tmp_path) == results
    assert not again.ran


def test_further_values_leave_what_is_finished_alone(tmp_path) -> None:
    run(Trainer(), tmp_path)
    trainer = Trainer()
    wider = {**FIELDS, "learning_rate": (0.1, 0.5)}
    results = run(trainer, tmp_path, wider)
    assert {config["learning_rate"] for config in trainer.ran} == {0.5}
    assert sorted(one.config["learning_rate"] for one in results) == [0.1, 0.1, 0.5, 0.5]


def test_other_pictures_are_another_study(tmp_path) -> None:
    run(Trainer(), tmp_path)
    other = Trainer()
    run(other, tmp_path, data="photos 2")
    assert len(other.ran) == 6


def test_a_stopped_one_is_taken_up(tmp_path) -> None:
    first, second = Trainer(stop_at=3), Trainer()
    with pytest.raises(KeyboardInterrupt):
        run(first, tmp_path)
    assert len(run(second, tmp_path)) == 6
    assert first.ran[2] in second.ran
    assert not [config for config in first.ran[:2] if config in second.ran]


def test_no_more_than_asked_for(tmp_path) -> None:
    trainer = Trainer()
    assert len(run(trainer, tmp_path, most=2)) == 2
    assert len(run(trainer, tmp_path, most=2)) == 2
    assert len(trainer.ran) == 2
    assert len(run(trainer, tmp_path, most=4)) == 4
    assert len(trainer.ran) == 4


def test_one_that_diverged_is_a_result(tmp_path) -> None:
    results = run(lambda config: Tried(config, None, None), tmp_path)
    assert [one.accuracy for one in results] == [None] * 6
    again = Trainer()
    run(again, tmp_path)
    assert not again.ran


def running(out: Path, fields, machine: str, process: int, beat: float) -> None:
    """Leave a trial behind as a process that was killed would, or one that still works."""
    with quiet_optuna():
        opened = study._open(fields, "photos 1", open_database(out, None))
        config = {"from_scratch": True, "learning_rate": 0.1}
        opened.enqueue_trial({"learning_rate": 0.1}, user_attrs={study.CONFIG: key(config)})
        trial = opened.ask()
        trial.set_user_attr(study.WHO, [machine, process])
        trial.set_user_attr(study.BEAT, beat)


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("case", ["killed here", "silent elsewhere"])
def test_what_a_dead_process_was_at_is_taken_up(tmp_path, case) -> None:
    fields = {"learning_rate": (0.1,)}
    if case == "killed here":
        running(tmp_path, fields, study._machine(), dead_process(), time.time())
    else:
        running(tmp_path, fields, "another", 1, time.time() - 2 * study.SILENT_SECONDS)
    trainer = Trainer()
    assert len(run(trainer, tmp_path, fields)) == 1
    assert len(trainer.ran) == 1


def test_what_a_living_process_is_at_is_left_to_it(tmp_path) -> None:
    fields = {"learning_rate": (0.1,)}
    running(tmp_path, fields, "another", 1, time.time())
    trainer = Trainer()
    assert run(trainer, tmp_path, fields) == []
    assert not trainer.ran


def test_a_result_is_kept_though_others_took_its_process_for_dead(tmp_path) -> None:
    class Slow(Trainer):
        """While it tries the second, somebody gives that trial up."""

        def __call__(self, config) -> Tried:
            tried = super().__call__(config)
            if len(self.ran) == 2:
                storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / study.FILE}")
                (name,) = optuna.get_all_study_names(storage)
                other = optuna.load_study(study_name=name, storage=storage)
                (running,) = (t for t in other.trials if t.state.name == "RUNNING")
                other.tell(running.number, state=optuna.trial.TrialState.FAIL)
            return tried

    trainer = Slow()
    results = run(trainer, tmp_path)
    assert len(results) == len(trainer.ran) == 6
    again = Trainer()
    assert run(again, tmp_path) == results
    assert not again.ran


def test_of_two_that_took_the_same_the_earlier_counts(tmp_path, monkeypatch) -> None:
    """A second process looks before the first has written down what it took."""
    fields = {"learning_rate": (0.1, 0.2)}
    running(tmp_path, fields, "another", 1, time.time())
    taken, looks = study._taken, []

    def blind(opened):
        looks.append(1)
        return set() if len(looks) == 1 else taken(opened)

    monkeypatch.setattr(study, "_taken", blind)
    monkeypatch.setattr("random.Random.shuffle", lambda self, order: order.sort())  # noqa: ARG005
    trainer = Trainer()
    results = run(trainer, tmp_path, fields)
    assert [config["learning_rate"] for config in trainer.ran] == [0.2]
    assert len(results) == 1
    opened = study._open(fields, "photos 1", open_database(tmp_path, None))
    assert [trial.state.name for trial in opened.get_trials()] == ["RUNNING", "PRUNED", "COMPLETE"]


def test_two_processes_share_a_database_by_its_url(tmp_path) -> None:
    """Each configuration is tried by one of them, and both do some."""
    script = tmp_path / "share.py"
    script.write_text(
        textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from silverprint.workflows.study import open_database, run_study
        from silverprint.workflows.sweeps import Tried

        out, name = Path(sys.argv[1]), sys.argv[2]
        (out / f"ready-{name}").touch()
        while not ((out / "ready-a").exists() and (out / "ready-b").exists()):
            time.sleep(0.01)
        storage = open_database(out / name, f"sqlite:///{out}/shared.db")

        def run_one(config):
            with (out / f"ran-{name}").open("a") as file:
                file.write(f"{config['seed']}\\n")
            time.sleep(0.1)
            return Tried(config, 0.5, 1.0)

        run_study({"seed": tuple(range(12))}, {}, "photos 1", run_one, storage=storage)
    """)
    )
    processes = [
        subprocess.Popen(
            [sys.executable, script, tmp_path, name], stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for name in "ab"
    ]
    for process in processes:
        said = b"".join(process.communicate(timeout=120))
        assert (process.returncode, said) == (0, b"")
    ran = [(tmp_path / f"ran-{name}").read_text().split() for name in "ab"]
    assert sorted(map(int, ran[0] + ran[1])) == list(range(12))
    assert all(ran)


def test_a_database_that_cannot_be_used_is_named(tmp_path) -> None:
    for address in ("nowhere://x", f"sqlite:///{tmp_path}/no/such/folder/study.db"):
        with pytest.raises(
            ConfigError, match=f"--study {address} cannot be used .* such as sqlite"
        ):
            run(Trainer(), tmp_path, url=address)


def test_another_address_is_used(tmp_path) -> None:
    run(Trainer(), tmp_path / "out", url=f"sqlite:///{tmp_path}/shared.db")
    assert (tmp_path / "shared.db").exists()
    assert not (tmp_path / "out" / study.FILE).exists()


def test_without_optuna_the_pip_line_is_given(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r'pip install "silverprint\[tune\]"'):
        run(Trainer(), tmp_path)


def test_optuna_is_silent_and_then_as_it_was(tmp_path, capfd) -> None:
    before = optuna.logging.get_verbosity(), logging.getLogger("sqlalchemy").level
    run(Trainer(), tmp_path)
    assert capfd.readouterr() == ("", "")
    assert (optuna.logging.get_verbosity(), logging.getLogger("sqlalchemy").level) == before
