"""What a log file is told of a long stage."""

import pytest

from silverprint.training import progress
from silverprint.training.progress import Progress


def test_a_log_is_told_every_now_and_then(capsys, monkeypatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with Progress().stage("training", total=10) as advance:
        for step in range(10):
            now = 8.0 * step
            advance(1, f"loss {step}")
    lines = capsys.readouterr().err.splitlines()
    bars, notes = lines[::2], lines[1::2]
    assert notes == ["  loss 4", "  loss 8", "  loss 9"]
    assert [bar.split()[2] for bar in bars] == ["5/10", "9/10", "10/10"]


def test_a_notebook_without_widgets_is_told_as_a_log_is(capsys, monkeypatch) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as kernels have it
    shown = Progress()
    with shown.stage("training", total=2) as advance:
        advance(2)
    shown.say("done")
    told = capsys.readouterr()
    assert (told.out, told.err.count("2/2"), told.err.count("done\n")) == ("", 1, 1)
    assert "\x1b" not in told.err


@pytest.mark.parametrize("quiet", [True, False])
def test_a_short_stage_is_told_once_unless_quiet(quiet, capsys) -> None:
    with Progress(quiet).stage("training", total=2) as advance:
        advance(2)
    assert capsys.readouterr().err.count("2/2") == (not quiet)


def test_a_line_stays_one_in_a_log(capsys) -> None:
    Progress().say("a notice " * 40)
    assert capsys.readouterr().err == "a notice " * 40 + "\n"
