"""What a job tells: one JSON object a line, into the file that PEER_NOTES names."""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path


def note(**facts: object) -> None:
    """Write facts, the time of day, and the seconds of work that all of this job has done."""
    with Path(os.environ["PEER_NOTES"]).open("a") as file:
        line = {"at": time.time(), "work": work_of(os.getpid()), **facts}
        file.write(json.dumps(line) + "\n")


def work_of(process: int) -> float:
    """Return the core seconds of a process and all below it, those that ended too."""
    home = Path(f"/proc/{process}")
    try:
        fields = (home / "stat").read_text().rpartition(")")[2].split()
        seconds = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        children = " ".join(path.read_text() for path in home.glob("task/*/children"))
    except OSError:  # it ended meanwhile
        return 0.0
    return seconds + sum(work_of(int(child)) for child in children.split())


def note_seen(picture: object) -> None:
    """Note a PIL picture as 16 x 16 x 3 numbers within 0 to 255."""
    small = picture.convert("RGB").resize((16, 16))  # type: ignore[attr-defined]
    note(seen=list(small.tobytes()))


def note_answers(predict: Callable[[], object], repeats: int) -> None:
    """Predict once, which ends a fresh start, and then again; note the label and the seconds."""
    note(label=str(predict()))
    for _ in range(repeats):
        began = time.perf_counter()
        predict()
        note(warm=time.perf_counter() - began)


def main(
    train: Callable[[Path, Path, int], None],
    predict: Callable[[Path, str, int], None],
    see: Callable[[str], None],
) -> None:
    """Do `train DATA OUT EPOCHS`, `predict OUT PHOTO REPEATS` or `each FOLDER...`."""
    verb, *rest = sys.argv[1:]
    if verb == "train":
        train(Path(rest[0]), Path(rest[1]), int(rest[2]))
    elif verb == "predict":
        predict(Path(rest[0]), rest[1], int(rest[2]))
    else:
        for folder in map(Path, rest):
            (folder / "code").write_text(str(in_child(folder, lambda: try_files(train, see))))


def try_files(train: Callable[[Path, Path, int], None], see: Callable[[str], None]) -> None:
    """Train one epoch on what lies here, then see the file that stands alone, if there is one."""
    here = Path.cwd()
    train(here / "photos", here / "out", 1)
    for file in (here / "alone").glob("*/*"):
        try:
            see(str(file))
        except Exception as error:
            note(unseen=repr(error))


def in_child(folder: Path, work: Callable[[], None]) -> int:
    """Work in a child of this process, which has its imports done; return its exit code.

    What the child prints and notes goes into the folder.
    """
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        os.chdir(folder)
        os.environ["PEER_NOTES"] = str(folder / "notes.jsonl")
        log = os.open("log.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        work()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
