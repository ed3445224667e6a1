"""Many pictures through `silverprint train`: does a picture cost the same, whatever came before it?

    python benchmarks/scale.py --pictures 5000,100000 --folder /mnt/disk

Pictures are made up (smooth colours, noise, JPEG, all different; about 4 kB at 96 pixels) and
deleted at the end. Each run is a process of its own with an empty cache. It notes time and memory
as pictures are done; the first and the last PART of the largest run, and the smallest run, are what
is compared.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from common import table

CLASSES = 10
PART = 0.1  # share of a run that is called its first and its last part
WARM = 1000  # pictures after which an engine is made and its memory taken


def main() -> None:
    """Run each number of pictures and print the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", default="5000,20000")
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--child", type=Path)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(run(options.child, options.size, options.engine)))
        return
    numbers = sorted(int(part) for part in options.pictures.split(","))
    results = [measured(count, options) for count in numbers]
    print(section(results, options))


def measured(count: int, options: argparse.Namespace) -> dict:
    """Make pictures, train on them, and delete them."""
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder, began = Path(name), time.perf_counter()
        bytes_made = make_pictures(folder / "pictures", count, options.side)
        print(f"{count:,} pictures, {time.perf_counter() - began:.0f} s", file=sys.stderr)
        environment = {**os.environ, "SILVERPRINT_CACHE": str(folder / "cache")}
        command = [sys.executable, __file__, "--child", str(folder), "--size", str(options.size),
                   "--engine", options.engine]  # fmt: skip
        output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
        result = json.loads(output.stdout.splitlines()[-1])
        cached = sum(path.stat().st_size for path in (folder / "cache").rglob("features/*/*"))
    return {"pictures": count, "bytes": bytes_made, "cached": cached, **result}


# --- pictures -----------------------------------------------------------------------------------


def make_pictures(folder: Path, count: int, side: int) -> int:
    """Write JPEGs into a folder a class; return their bytes."""
    for label in range(CLASSES):
        (folder / f"class {label}").mkdir(parents=True)
    starts = range(0, count, 500)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        tasks = [(folder, start, min(start + 500, count), side) for start in starts]
        return sum(pool.map(write_some, tasks))


def write_some(task: tuple[Path, int, int, int]) -> int:
    """Write the pictures of these numbers; return their bytes."""
    folder, start, stop, side = task
    total = 0
    for number in range(start, stop):
        random, label = np.random.default_rng(number), number % CLASSES
        coarse = random.integers(0, 256, (2 + label, 8, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        noise = random.integers(-12, 13, (side, side, 1))
        pixels = np.clip(np.asarray(smooth) + noise, 0, 255).astype(np.uint8)
        path = folder / f"class {label}" / f"picture-{number:09d}.jpg"
        Image.fromarray(pixels).save(path, quality=80)
        total += path.stat().st_size
    return total


# --- in the process -----------------------------------------------------------------------------


def run(folder: Path, size: int, engine: str) -> dict:
    """Train on the pictures; return what was noted."""
    from silverprint.data.read import read
    from silverprint.workflows.settings import TrainSettings
    from silverprint.workflows.train import train_bundle

    notes = recorder()
    with notes.stage("read"):
        dataset = read(folder / "pictures")
    settings = TrainSettings.of(size=size, engine=engine)
    done = train_bundle(dataset, folder / "bundle", settings, notes)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": notes.seconds, "most": notes.most, "looking": notes.looking,
        "cpu": usage.ru_utime + usage.ru_stime, "engine": done.seen.engine,
        "accuracy": done.metrics["validation"]["accuracy"], "peak": usage.ru_maxrss / 1024,
    }  # fmt: skip


def memory() -> float:
    """Return this process's memory in MB, pages of mapped files included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def recorder():  # noqa: ANN201
    """Return a silent Progress that notes memory: by stage, and as pictures are looked at."""
    from silverprint.training.progress import Progress

    class Recorder(Progress):
        def __init__(self) -> None:
            super().__init__(quiet=True)
            self.most: dict[str, float] = {}
            self.looking: list[tuple[int, float, float]] = []

        @contextmanager
        def stage(self, name: str, total: int | None = None, text: str = "") -> Iterator:
            ended, noted = threading.Event(), 0

            def watch() -> None:
                while not ended.wait(0.05):
                    self.most[name] = max(self.most.get(name, 0), memory())

            def advance(count: int, note: str = "") -> None:  # noqa: ARG001
                nonlocal noted
                noted += count
                if name == "look" and noted // 100 > (noted - count) // 100:
                    self.looking.append((noted, time.perf_counter(), memory()))

            self.most[name] = max(self.most.get(name, 0), memory())
            watching = threading.Thread(target=watch, daemon=True)
            watching.start()
            try:
                with super().stage(name, total, text):
                    yield advance
            finally:
                ended.set()
                watching.join()

    return Recorder()


# --- what it says -------------------------------------------------------------------------------


def section(results: list[dict], options: argparse.Namespace) -> str:
    """Write the section of the results file."""
    rows = []
    for result in results:
        first, last = parts_of(result["looking"])
        rows.append([
            f"{result['pictures']:,}", f"{result['bytes'] / result['pictures']:,.0f} B",
            f"{first['rate']:.1f} /s", f"{last['rate']:.1f} /s",
            f"{first['memory']:,.0f} MB", f"{last['memory']:,.0f} MB", f"{slope(result):,.0f} B",
            f"{result['peak']:,.0f} MB", f"{result['cached'] / result['pictures']:,.0f} B",
            f"{1000 * result['cpu'] / result['pictures']:.2f} ms",
        ])  # fmt: skip
    names = list(results[-1]["seconds"])
    stages = [
        [name, *(cell(result, name) for result in results)]
        for name in names
        if results[-1]["seconds"][name] >= 0.05
    ]
    return (
        "## Many pictures\n\n"
        f"Made-up JPEGs of {options.side} pixels, looked at at {options.size} by "
        f"{results[-1]['engine']}; first and last are tenths of the pass, of which the first "
        f"begins after {WARM:,} pictures. Memory is all that the process holds.\n\n"
        + table(
            [
                "pictures",
                "a file",
                "first tenth",
                "last tenth",
                "memory then",
                "and then",
                "growth a picture",
                "peak of the run",
                "cache a picture",
                "processor a picture",
            ],
            rows,
        )
        + "\n\nSeconds of each stage, milliseconds a picture, and the most memory:\n\n"
        + table(["stage", *(f"{result['pictures']:,}" for result in results)], stages)
    )


def parts_of(looking: list[tuple[int, float, float]]) -> list[dict]:
    """Return rate and mean memory of the first and of the last part of the pass."""
    after = [note for note in looking if note[0] >= WARM]
    count = max(2, round(PART * len(after)))
    return [
        {
            "rate": (part[-1][0] - part[0][0]) / (part[-1][1] - part[0][1]),
            "memory": float(np.mean([note[2] for note in part])),
        }
        for part in (after[:count], after[-count:])
    ]


def slope(result: dict) -> float:
    """Return bytes by which memory grows with each picture, over the second half of the pass."""
    half = result["looking"][len(result["looking"]) // 2 :]
    return float(np.polyfit([note[0] for note in half], [note[2] for note in half], 1)[0] * 2**20)


def cell(result: dict, stage: str) -> str:
    """Write a stage's seconds, milliseconds a picture, and peak memory."""
    seconds = result["seconds"].get(stage, 0)
    each = 1000 * seconds / result["pictures"]
    return f"{seconds:,.1f} s, {each:.2f} ms, {result['most'].get(stage, 0):,.0f} MB"


if __name__ == "__main__":
    main()
