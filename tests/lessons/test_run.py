"""`lessons/run.py` as a program: where it is stopped, nothing that it started lives on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LESSONS = Path(__file__).parents[2] / "lessons"
PROGRAM = f"""
import signal
import sys
from pathlib import Path

sys.path.insert(0, {str(LESSONS)!r})
import run

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may run in the background
    run.HERE = Path(sys.argv.pop())
    run.main()
"""
CELL = """
import os, time
from pathlib import Path

Path({file!r}).write_text(f"{{os.getpid()}} {{Path.cwd()}}")
time.sleep(60)
"""


def until(true, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of this kind")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_kernel_ends_with_the_program(tmp_path, end) -> None:
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("nbclient")
    told = tmp_path / "told"
    for name in ("01_a", "02_b"):  # the second must not begin
        cell = nbformat.v4.new_code_cell(CELL.format(file=f"{told}-{name}"))
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / f"{name}.ipynb")
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, tmp_path / "program.py", "--jobs", "1", tmp_path]
    first = tmp_path / "told-01_a"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as program:
        until(lambda: first.exists() and first.read_text())
        kernel, _, folder = first.read_text().partition(" ")
        program.send_signal(end)
        program.wait(10)
    until(lambda: not is_alive(int(kernel)))
    until(lambda: not Path(folder).exists())
    assert not (tmp_path / "told-02_b").exists()
