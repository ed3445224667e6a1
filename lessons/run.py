"""Run lessons, each in a fresh kernel and an empty folder.

make lessons                        all of them, small and quick; nothing is written
make lessons-full                   all at full size; what they showed is written into them
python lessons/run.py --full 02 12  two of them
"""

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from pathlib import Path
from shutil import copy

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat.v4 import new_output

from silverprint.runtime.paths import data_folder

HERE = Path(__file__).parent
FAILED = HERE / "made" / "failed"  # what a lesson at full size showed before it failed
LARGEST = 1_200_000  # bytes of a lesson with all its pictures
NOT_OURS = "not-ours"  # tag of a cell that shows photos whose licence is not known
ASIDE = "(Photos that are not ours to pass on: run the cell to see them.)\n"
LONGEST = {"fast": 180, "full": 1800}  # seconds of one cell


def main() -> None:
    """Run the lessons that were asked for; exit 1 where one fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("lessons", nargs="*", help="such as 02 or 02_a_first_network; all if none")
    parser.add_argument("--full", action="store_true", help="at full size, and keep the outputs")
    cores = os.cpu_count() or 1
    parser.add_argument("--jobs", type=int, default=cores, help="lessons at a time")
    options = parser.parse_args()
    files = chosen(options.lessons)
    mode = "full" if options.full else "fast"
    # Threads that wait for each other by spinning would take the cores from the other lessons.
    os.environ |= {"OMP_NUM_THREADS": str(max(1, cores // options.jobs)),
                   "OMP_WAIT_POLICY": "PASSIVE"}  # fmt: skip
    started, failed = time.monotonic(), 0
    # Fresh processes: each has an event loop and kernels of its own.
    with ProcessPoolExecutor(options.jobs, get_context("spawn"), end_with_parent) as pool:
        try:
            for future in as_completed([pool.submit(run, file, mode) for file in files]):
                line, trouble = future.result()
                print(line, trouble, sep="\n" if trouble else "", flush=True)
                failed += bool(trouble)
        except KeyboardInterrupt:
            os._exit(130)  # the pool would wait for every lesson
    print(f"{len(files)} lessons in {time.monotonic() - started:.0f} s, {failed} failed")
    sys.exit(bool(failed))


def end_with_parent() -> None:
    """Let this worker end when the process that started it does, however that ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for that process

    def wait() -> None:
        parent_process().join()
        os.kill(os.getpid(), signal.SIGTERM)  # makes nbclient end its kernel; the folder goes too
        time.sleep(10)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def chosen(names: list[str]) -> list[Path]:
    """Return the lessons that begin with these names; all of them if there are none."""
    files = sorted(HERE.glob("[0-9][0-9]_*.ipynb"))
    for name in names:
        if not any(file.stem.startswith(name) for file in files):
            sys.exit(f"There is no lesson {name}; there are {', '.join(f.stem for f in files)}.")
    return [file for file in files if not names or file.stem.startswith(tuple(names))]


def run(file: Path, mode: str) -> tuple[str, str]:
    """Run one lesson; return a line about it, and what went wrong, if anything did."""
    if not parent_process().is_alive():
        os._exit(1)
    started = time.monotonic()
    notebook = nbformat.read(file, as_version=4)
    with tempfile.TemporaryDirectory(prefix="lesson-") as folder:
        copy(HERE / "lesson.py", folder)
        os.environ |= {"SILVERPRINT_LESSONS": mode, "SILVERPRINT_CACHE": f"{folder}/cache",
                       "PYTHONWARNINGS": "default"}  # fmt: skip
        client = NotebookClient(notebook, timeout=LONGEST[mode], kernel_name="python3",
                                extra_arguments=["--log-level=ERROR"],
                                resources={"metadata": {"path": folder}},
                                shutdown_kernel="immediate")  # fmt: skip
        try:
            client.execute()
            trouble = ""
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            trouble = str(error)
        if mode == "full":
            places = {folder: "lessons", str(data_folder()): "data"}
            kept = FAILED / file.name if trouble else file
            trouble = keep(notebook, kept, places) or trouble
    return f"{file.stem:44} {time.monotonic() - started:6.1f} s", trouble


def keep(notebook: nbformat.NotebookNode, file: Path, places: dict[str, str]) -> str:
    """Write the outputs, without where they were made; return why not, if they are too large."""
    for cell in notebook.cells:
        if NOT_OURS in cell.metadata.get("tags", ()):
            cell.outputs = [one for one in cell.outputs if "data" not in one]
            cell.outputs.append(new_output("stream", name="stdout", text=ASIDE))
        cell.metadata.pop("execution", None)
        cell.pop("id", None)
    notebook.nbformat_minor = 4  # cells without ids, which would differ from run to run
    text = nbformat.writes(notebook)
    for place, name in places.items():
        text = text.replace(place, name)
    trouble = ""
    if len(text) > LARGEST:
        file = FAILED / file.name
        trouble = f"{len(text):,} bytes with its pictures; at most {LARGEST:,}. Make them smaller."
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    return trouble


if __name__ == "__main__":
    main()
