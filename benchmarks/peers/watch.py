"""Run a command and watch its whole tree: seconds, memory, what it printed and what it noted."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PERIOD = 0.5  # seconds between two looks at the memory


def watched(
    command: Sequence[object],
    environment: Mapping[str, str],
    folder: Path,
    limit: float,
    before: Callable[[], None] | None = None,
) -> dict:
    """Run a command in a folder of its own; it is killed after `limit` seconds.

    Returns:
        code, output (both streams), seconds, peak (MB of the process tree), notes (what the job
        noted, with `at` in seconds since the start), load (the average of the last minute), and
        others (cores that other processes took meanwhile).
    """
    notes = folder / "notes.jsonl"
    notes.unlink(missing_ok=True)
    log = folder / "log.txt"
    busy, own, began, at = busy_seconds(), own_seconds(), time.perf_counter(), time.time()
    with log.open("w") as stream:
        process = subprocess.Popen(
            [str(part) for part in command], cwd=folder, stdout=stream, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, env={**environment, "PEER_NOTES": str(notes)},
            start_new_session=True, preexec_fn=before,
        )  # fmt: skip
        peak = _peak_until_end(process, limit)
    seconds = time.perf_counter() - began
    noted = notes.read_text().splitlines() if notes.exists() else []
    facts = [json.loads(line) for line in noted]
    return {
        "code": process.returncode,
        "output": log.read_text("utf-8", "replace"),
        "seconds": seconds,
        "peak": peak / 1e6,
        "notes": [{**fact, "at": fact["at"] - at} for fact in facts],
        "load": os.getloadavg()[0],
        "others": max(0.0, busy_seconds() - busy - (own_seconds() - own)) / seconds,
    }


def _peak_until_end(process: subprocess.Popen, limit: float) -> float:
    peak = 0.0
    timer = threading.Timer(limit, lambda: _kill(process.pid))
    timer.start()
    try:
        while True:
            peak = max(peak, tree_bytes(process.pid))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PERIOD)
                return peak
    finally:
        timer.cancel()
        _kill(process.pid)  # workers that outlived it


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def tree_bytes(process: int) -> float:
    """Add up the proportional memory of a process and all below it: shared pages count once."""
    total = 0.0
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += 1024 * int(line.split()[1])
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            total += sum(map(tree_bytes, map(int, children.read_text().split())))
    return total


def busy_seconds() -> float:
    """Return the seconds of work that all cores have done since the machine started."""
    user, nice, system, _, _, irq, soft, *_ = map(int, Path("/proc/stat").read_text().split()[1:11])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Return the seconds of work of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
