"""Kill -9 at random moments: the next run goes on, and the result is that of a quiet run."""

import argparse
import json
import os
import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from common import PROGRAM, train


def main() -> None:
    """Kill a run at random moments over one cache, finish it, compare with an undisturbed run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report(options.data, options.kills, options.seed, Path(folder))


def report(data: Path, kills: int, seed: int, folder: Path) -> bool:
    """Print what each killed run left, and whether the finished one equals the undisturbed one."""
    seconds, calm, _ = train(data, folder / "calm", folder / "calm-bundle")
    moments = random.Random(seed)
    disturbed, bundle = folder / "disturbed", folder / "bundle"
    for number in range(kills):
        moment = moments.uniform(0.02, 0.35) * seconds  # it gets shorter from run to run
        child = subprocess.Popen(
            [PROGRAM, "train", data, "--out", bundle, "--quiet"],
            env={**os.environ, "SILVERPRINT_CACHE": str(disturbed)},
            stdout=subprocess.DEVNULL,
        )
        time.sleep(moment)
        finished = child.poll() is not None
        child.send_signal(signal.SIGKILL)
        child.wait()
        cached = sum(path.stat().st_size for path in disturbed.rglob("*.shard")) // (1280 * 4 + 32)
        state = "had finished" if finished else "killed"
        print(
            f"{number + 1}: {state} after {moment:.1f} s, {cached:,} rows in the cache", flush=True
        )
    _, result, _ = train(data, disturbed, bundle)
    same = json.dumps(result["metrics"]) == json.dumps(calm["metrics"])
    left = [path.name for path in folder.iterdir() if "unfinished" in path.name]
    verdict = "are the same" if same else "DIFFER"
    print(f"looked at {result['looked']:,} of {result['pictures']:,} in the last run")
    print(f"metrics {verdict}; unfinished bundles left: {len(left)}")
    return same


if __name__ == "__main__":
    main()
