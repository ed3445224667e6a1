"""Where a run keeps what it needs to go on after a stop: cache/runs/<key>/, one process a run."""

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from silverprint.errors import ConfigError
from silverprint.runtime.disk import writing_to_cache
from silverprint.runtime.paths import cache_folder
from silverprint.training.journal import METRICS
from silverprint.workflows.processes import main_process

KEPT_SECONDS = 30 * 24 * 3600  # a stopped run that nobody took up in this time is forgotten
_HELD: dict[Path, FileLock] = {}  # the folders that are this process's


def hold_run(told: Any, data: Iterable[bytes], *, fresh: bool = False) -> Path:
    """Return the folder of this very run, whether or not an earlier process began it.

    It belongs to this process until that ends, or `leave` gives it up.

    Args:
        told: plain values that decide the result: settings, version.
        data: what is learned from, such as the digest of each file.
        fresh: forget what an earlier process left there.

    Raises:
        ConfigError: another process is at the same run, or the cache cannot be written to.
    """
    digest = hashlib.sha256()
    for part in data:
        digest.update(part)
    digest.update(json.dumps(told, sort_keys=True, default=str).encode())
    folder = cache_folder() / "runs" / digest.hexdigest()[:16]
    if main_process():
        with writing_to_cache(cache_folder()):
            _hold(folder)
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
    elif fresh and os.environ.get("LOCAL_RANK") == "0":  # a host of its own, perhaps the same disk
        from silverprint.training.run_state import BEST, LAST

        for name in (LAST, BEST, METRICS):
            (folder / name).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def leave(folder: Path) -> None:
    """Remove a run's folder, and let other processes have it."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder in _HELD:
        _HELD.pop(folder).release()


def forget_old_runs() -> None:
    """Remove runs that were stopped long ago and never taken up."""
    for left in (*(cache_folder() / "runs").glob("*"), *(cache_folder() / "locks").glob("*")):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _hold(folder: Path) -> None:
    locks = cache_folder() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    lock = _HELD.setdefault(folder, FileLock(locks / folder.name))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            "another process is at this very run, with the same data and settings; wait for "
            "it, or give another --seed."
        ) from None
