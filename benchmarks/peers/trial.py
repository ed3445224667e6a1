"""One trial: a peer's job in a folder of its own, on photos copied there."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from venvs import HERE, HUB, python
from watch import watched

LIMIT = 3600.0  # seconds


def environment(home: Path) -> dict[str, str]:
    """Give a job a home of its own, no hub to wait for, and threads that sleep when idle."""
    dropped = ("PYTHONPATH", "VIRTUAL_ENV", "SILVERPRINT_CACHE")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return kept | {
        "HOME": str(home), "SILVERPRINT_CACHE": str(home / "cache"), "HF_HOME": str(HUB),
        "HF_HUB_OFFLINE": "1", "YOLO_OFFLINE": "true", "TF_CPP_MIN_LOG_LEVEL": "2",
        "MPLBACKEND": "agg", "OMP_WAIT_POLICY": "PASSIVE",
    }  # fmt: skip


def job(peer: str, home: Path, *words: object, before: Callable[[], None] | None = None) -> dict:
    """Run one of a peer's jobs in a folder of its own."""
    home.mkdir(parents=True, exist_ok=True)
    file = HERE / "jobs" / f"{peer}_job.py"
    return watched([python(peer), file, *words], environment(home), home, LIMIT, before)


def must(run: dict) -> dict:
    """Return a run that ended well."""
    if run["code"]:
        sys.exit(f"ended with {run['code']}:\n{run['output'][-2000:]}")
    return run


def noted(run: dict, key: str) -> list:
    return [note[key] for note in run["notes"] if key in note]


def lay(data: Path, folder: Path, learned: int | None = None, held: int | None = None) -> Path:
    """Copy photos, evenly chosen: train, and as validation the test photos, which nobody chose by.

    Some tools write beside the photos, so every run gets copies.
    """
    for part, source, count in (("train", "train", learned), ("validation", "test", held)):
        files = sorted((data / source).glob("*/*"))
        wanted = len(files) if count is None else count
        for number in range(wanted):
            file = files[number * len(files) // wanted]
            (folder / part / file.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, folder / part / file.parent.name)
    return folder
