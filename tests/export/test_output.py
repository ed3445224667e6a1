"""Where exports go: nothing is overwritten, nothing is left behind."""

import signal
import subprocess
import sys

import pytest

from silverprint.errors import ConfigError
from silverprint.export.output import writing


def test_a_file_and_a_folder_arrive_whole(tmp_path) -> None:
    with writing(tmp_path / "new" / "a.onnx") as made:
        made.write_bytes(b"x")
        assert made.name == "a.onnx"
        assert not (tmp_path / "new" / "a.onnx").exists()
    (tmp_path / "empty").mkdir()
    with writing(tmp_path / "empty") as made:
        made.mkdir()
        (made / "inside").write_bytes(b"y")
    assert (tmp_path / "new" / "a.onnx").read_bytes() == b"x"
    assert (tmp_path / "empty" / "inside").read_bytes() == b"y"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.onnx", "empty", "inside", "new"]


def test_after_an_error_nothing_is_there(tmp_path) -> None:
    def fail() -> None:
        with writing(tmp_path / "a") as made:
            made.mkdir()
            (made / "half").write_bytes(b"")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder", "dead link"])
def test_what_is_there_stays(kind, tmp_path) -> None:
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("mine")
    elif kind == "folder":
        out.mkdir()
        (out / "mine").write_text("mine")
    else:
        out.symlink_to("nowhere")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match="out exists already; remove it, or give"), writing(out):
        raise AssertionError
    assert sorted(tmp_path.rglob("*")) == before


def test_what_came_meanwhile_stays(tmp_path) -> None:
    def race() -> None:
        with writing(tmp_path / "a") as made:
            made.write_text("ours")
            (tmp_path / "a").write_text("theirs")

    with pytest.raises(ConfigError, match="exists already"):
        race()
    assert [p.read_text() for p in tmp_path.iterdir()] == ["theirs"]


def test_a_place_that_cannot_be(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    refused = pytest.raises(ConfigError, match=r"cannot be written: .*(exists|not a directory)")
    with refused, writing(tmp_path / "file" / "a"):
        raise AssertionError


KEEP_WRITING = """
import sys, time
from pathlib import Path
from silverprint.export.output import writing

with writing(Path(sys.argv[1])) as made:
    made.write_bytes(b"half")
    print("begun", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_goes_and_a_living_one_is_left_alone(tmp_path) -> None:
    out = tmp_path / "a.onnx"
    with subprocess.Popen(
        [sys.executable, "-c", KEEP_WRITING, str(out)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "begun\n"
        with pytest.raises(ConfigError, match="is being written by another process"), writing(out):
            raise AssertionError
        other.send_signal(signal.SIGKILL)
    assert [one.name for one in tmp_path.iterdir()] == [".a.onnx-unfinished"]
    with writing(out) as made:
        assert list(made.parent.iterdir()) == []
        made.write_bytes(b"whole")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("a.onnx", b"whole")]
