"""A head on features that do not fit into memory: what it costs, and whether it is the best one.

    python benchmarks/streaming.py --rows 100000,1000000,10000000 --folder /mnt/disk

Rows are drawn from CLASSES Gaussian clouds of unit width around orthogonal centres at DISTANCE from
the origin, so the best possible accuracy is known: the share of rows whose own coordinate is the
largest of all. They are written into a feature cache class by class, the worst order there is, by
one process; another one opens it and fits. A row needs 33 bytes of disk and 4 more a feature, which
are given back.
"""

import argparse
import hashlib
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from common import percent, table

CLASSES, DISTANCE = 10, 3.0
HELD = 100_000  # rows that judge
STEP = 1024  # rows that are drawn at once


def main() -> None:
    """Measure each number of rows in processes of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="100000,1000000")
    parser.add_argument("--heads", default="exact,hidden,memory", help="memory: up to 200,000 rows")
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--child", choices=("write", "exact", "hidden", "memory"))
    options = parser.parse_args()
    numbers = [int(part) for part in options.rows.split(",")]
    if options.child:
        result = CHILDREN[options.child](options.folder, numbers[0], options.dimension)
        result["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(result))
        return
    print(section([measured(count, options) for count in numbers], options.dimension))


def measured(count: int, options: argparse.Namespace) -> dict:
    """Write, fit, and delete."""
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        given = place, count, options.dimension
        result = {"rows": count, "write": child("write", *given)}
        result["size"] = sum(path.stat().st_size for path in Path(place).rglob("*.pack"))
        for kind in options.heads.split(","):
            if kind != "memory" or count <= 200_000:
                result[kind] = child(kind, *given)
    return result


def child(kind: str, folder: str, count: int, dimension: int) -> dict:
    """Run one step in a process of its own."""
    command = [sys.executable, __file__, "--child", kind, "--folder", folder, "--rows", str(count),
               "--dimension", str(dimension)]  # fmt: skip
    began = time.perf_counter()
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"{count:,} rows, {kind}: {time.perf_counter() - began:.0f} s, {result}", file=sys.stderr)
    return result


# --- in the processes ---------------------------------------------------------------------------


def write(folder: Path, count: int, dimension: int) -> dict:
    """Draw rows and add them to a cache."""
    cache, began = opened(folder, dimension), time.perf_counter()
    labels, middles = labels_of(count), centres(dimension)
    for start in range(0, len(labels), STEP):
        stop = min(start + STEP, len(labels))
        random = np.random.default_rng([1, start])
        rows = random.standard_normal((stop - start, dimension), dtype=np.float32)
        rows += middles[labels[start:stop]]
        cache.add((digest(row) for row in range(start, stop)), rows)
    cache.flush()
    return {"seconds": time.perf_counter() - began}


def exact(folder: Path, count: int, dimension: int) -> dict:
    """Solve a linear head."""
    from silverprint.models.stacked_heads import HeadConfig

    return fitted(folder, count, dimension, HeadConfig(weight_decay=1e-3), epochs=1)


def hidden(folder: Path, count: int, dimension: int) -> dict:
    """Train a head with a hidden layer for three epochs."""
    from silverprint.models.stacked_heads import HeadConfig

    config = HeadConfig(hidden_size=64, learning_rate=1e-3, weight_decay=0.1)
    return fitted(folder, count, dimension, config, epochs=3)


def memory(folder: Path, count: int, dimension: int) -> dict:
    """Solve a linear head on features held in memory."""
    from silverprint.models.stacked_heads import HeadConfig

    return fitted(folder, count, dimension, HeadConfig(weight_decay=1e-3), epochs=1, streamed=False)


def fitted(
    folder: Path, count: int, dimension: int, config: object, *, epochs: int, streamed: bool = True
) -> dict:
    """Open the cache, fit, and judge on rows that were not learned from."""
    import torch

    from silverprint.backbones.packs import DigestList
    from silverprint.recipes.head_data import HeadData, StreamedHeadData
    from silverprint.recipes.heads import FitSettings, fit_heads

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    began = time.perf_counter()
    cache, labels = opened(folder, dimension), labels_of(count)
    seconds = {"open": time.perf_counter() - began}
    settings, train = FitSettings(class_weights="none", epochs=epochs), None
    for rows in (range(count), range(count, count + HELD)):
        digests = DigestList()
        for row in rows:
            digests.append(digest(row))
        taught = labels[rows.start : rows.stop]
        if streamed:
            data = cache.stream(digests)
            kind = StreamedHeadData
        else:
            data, kind = cache.gather(digests), HeadData
        made = kind.of(data, taught, CLASSES, "softmax", settings, train)
        train, held = (made, None) if train is None else (train, made)
    seconds["ready"] = time.perf_counter() - began
    passes = count_passes(train.stream) if streamed else []
    (head,) = fit_heads([config], train, held, settings)
    seconds["fit"] = time.perf_counter() - began - seconds["ready"]
    return {"seconds": seconds, "passes": len(passes), "accuracy": head.accuracy, "loss": head.loss}


def count_passes(stream: object) -> list[str]:
    """Return a list that grows by one with each pass over the stream."""
    passes: list[str] = []

    def counted(name: str, way: Callable, *given: int) -> object:
        passes.append(name)
        return way(*given)

    for name in ("parts", "mixed_parts"):
        setattr(stream, name, partial(counted, name, getattr(stream, name)))
    return passes


CHILDREN = {"write": write, "exact": exact, "hidden": hidden, "memory": memory}


def opened(folder: Path, dimension: int):  # noqa: ANN201
    """Open the cache of this benchmark."""
    from silverprint.backbones.cache import FeatureCache

    return FeatureCache(folder, "synthetic", {}, dimension)


def labels_of(count: int) -> np.ndarray:
    """Return labels: of the rows to learn from class by class, then of those that judge."""
    taught = np.repeat(np.arange(CLASSES), -(-count // CLASSES))[:count]
    return np.concatenate([taught, np.arange(HELD) % CLASSES])


def centres(dimension: int) -> np.ndarray:
    """Return (CLASSES, dimension), orthogonal to one another."""
    random = np.random.default_rng(0).standard_normal((dimension, CLASSES))
    return (DISTANCE * np.linalg.qr(random)[0].T).astype(np.float32)


def digest(row: int) -> bytes:
    """Stand in for that of a picture's bytes."""
    return hashlib.sha256(row.to_bytes(8, "little")).digest()


# --- what it says ---------------------------------------------------------------------------------


def best_accuracy() -> float:
    """Return the probability that one of N(DISTANCE, 1) is above CLASSES - 1 of N(0, 1)."""
    values, step = np.linspace(-10, 10 + DISTANCE, 200_001, retstep=True)
    density = np.exp(-((values - DISTANCE) ** 2) / 2) / math.sqrt(2 * math.pi)
    below = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in values])
    return float((density * below ** (CLASSES - 1)).sum() * step)


def section(results: list[dict], dimension: int) -> str:
    """Write the section of the results file."""
    rows = []
    for result in results:
        for kind in ("exact", "hidden", "memory"):
            if kind not in result:
                continue
            found = result[kind]
            rows.append([
                f"{result['rows']:,}", f"{result['size'] / 1e9:.1f} GB", NAMES[kind],
                f"{found['seconds']['open']:.1f} s", f"{found['seconds']['ready']:.0f} s",
                f"{found['seconds']['fit']:.0f} s", found["passes"] or "-",
                f"{found['peak']:,.0f} MB", percent(found["accuracy"]),
            ])  # fmt: skip
    best = best_accuracy()
    deviation = math.sqrt(best * (1 - best) / HELD)
    written = ", ".join(
        f"{result['write']['seconds']:,.0f} s and {result['write']['peak']:,.0f} MB for "
        f"{result['rows']:,}"
        for result in results
    )
    return (
        "## Heads by streaming\n\n"
        f"{dimension} float32 features a row, {CLASSES} classes, written class by class "
        f"({written}). One process opens the cache and fits; its peak memory counts torch "
        "(about 250 MB) and all else, but not the system's file cache, which gives way when "
        "memory is asked for: blocks are read, not mapped. Judged on "
        f"{HELD:,} other rows, on which no classifier can expect more than {percent(best)} "
        f"(one standard deviation is {percent(deviation)}).\n\n"
        + table(
            [
                "rows",
                "on disk",
                "head",
                "open",
                "+ plan and statistics",
                "fit",
                "passes",
                "peak memory",
                "accuracy",
            ],
            rows,
        )
    )


NAMES = {
    "exact": "linear, exact, streamed",
    "hidden": "64 hidden units, 3 epochs, streamed",
    "memory": "linear, exact, in memory",
}

if __name__ == "__main__":
    main()
