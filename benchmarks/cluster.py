"""What a Ray cluster gives: the same features, also when a node or the driver is killed.

    python benchmarks/cluster.py [PHOTOS]

Two nodes are started on this machine, each with its own daemons, and photos (or generated ones, if
no folder is given) are looked at through them. Prints a Markdown section, and ends with an error
where a promise of docs/cluster.md is broken. One machine has no more cores because two daemons
share them, so nothing here says how much faster two machines are.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

STORE = 200 * 2**20
RAY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
       "RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="?", type=Path)
    parser.add_argument("--pictures", type=int, default=1200, help="how many to generate")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = given.photos or generated(folder / "photos", given.pictures)
        lines = [
            *same_features(folder, photos, "openvino-f32"),
            *same_features(folder, photos, "openvino-bf16"),
            *a_node_is_killed(folder, photos),
            *the_driver_is_killed(folder, photos),
        ]
    print("## A cluster of two nodes, on one machine\n")
    words = given.photos.name if given.photos else f"{given.pictures:,} generated pictures"
    print(f"`cluster.py`, {words}, load {os.getloadavg()[0]:.1f}.\n")
    print("| what | found |\n|---|---|")
    for what, found in lines:
        print(f"| {what} | {found} |")


def generated(folder: Path, count: int) -> Path:
    """Write photos of coloured noise in two classes."""
    random = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = random.integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC).save(path, quality=90)
    return folder


@contextmanager
def two_nodes() -> Iterator[tuple[str, object, object]]:
    """Start a head and another node; give the address, the cluster and the other node."""
    os.environ.update(RAY)
    from ray.cluster_utils import Cluster

    cores = os.cpu_count()
    options = {"num_cpus": cores, "object_store_memory": STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=options)
    try:
        other = cluster.add_node(num_cpus=cores, object_store_memory=STORE)
        cluster.wait_for_nodes()
        yield cluster.address, cluster, other
    finally:
        cluster.shutdown()


def start(folder: Path, photos: Path, out: str, cache: str, *options: str) -> subprocess.Popen[str]:
    """Start `silverprint features` with a cache of its own."""
    command = [sys.executable, "-m", "silverprint", "features", str(photos), "--json", "--out",
               str(folder / out), *options]  # fmt: skip
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **RAY, "SILVERPRINT_CACHE": str(folder / cache)},
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> dict:
    """Return what a process says in the end."""
    answer, errors = process.communicate()
    if process.returncode:
        sys.exit(f"exit code {process.returncode}: {errors}")
    return json.loads(answer)


def table(path: Path) -> tuple[list[str], list[bytes], np.ndarray]:
    """Return names, digests and features (n, d) of a Parquet file."""
    from pyarrow import parquet

    read = parquet.read_table(path)
    features = read["features"].combine_chunks()
    return (
        read["name"].to_pylist(),
        read["sha256"].to_pylist(),
        features.flatten().to_numpy().reshape(len(read), -1),
    )


def cached(folder: Path, cache: str) -> int:
    """Return how many pictures are on disk in a cache."""
    from safetensors.numpy import load_file

    files = [
        path for kind in ("shard", "pack") for path in folder.glob(f"{cache}/features/*/*.{kind}")
    ]
    digests = [row.tobytes() for path in files for row in load_file(path)["digests"]]
    return len(set(digests))


def same_features(folder: Path, photos: Path, engine: str) -> list[tuple[str, str]]:
    alone = ended(start(folder, photos, f"{engine}.parquet", f"{engine}-1", "--engine", engine))
    with two_nodes() as (address, _, _):
        on_two = ended(
            start(
                folder,
                photos,
                f"{engine}-ray.parquet",
                f"{engine}-2",
                "--engine",
                engine,
                "--on",
                address,
            )
        )
    names, digests, one = table(folder / f"{engine}.parquet")
    same_names, same_digests, two = table(folder / f"{engine}-ray.parquet")
    assert (names, digests) == (same_names, same_digests)
    assert alone["refused"] == on_two["refused"]
    assert on_two["looked"] == alone["looked"]
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    cosine = float(((one * two).sum(1) / lengths).min())
    exact = bool((one.view(np.uint32) == two.view(np.uint32)).all())
    assert exact if engine.endswith("f32") else cosine >= 0.999
    found = "identical, bit for bit" if exact else f"least cosine {cosine:.6f}"
    times = f"{alone['seconds']['look']:.1f} s alone, {on_two['seconds']['look']:.1f} s with Ray"
    return [(f"features of {len(names):,} pictures, {engine}", f"{found}; look {times}")]


def a_node_is_killed(folder: Path, photos: Path) -> list[tuple[str, str]]:
    with two_nodes() as (address, cluster, other):
        process = start(
            folder, photos, "killed.parquet", "killed", "--engine", "openvino-f32", "--on", address
        )
        before = wait_for(folder, "killed", process)
        workers = workers_on(other)
        assert workers == 1, f"{workers} workers on the node that is killed"
        cluster.remove_node(other, allow_graceful=False)
        began = time.perf_counter()
        told = ended(process)
        seconds = time.perf_counter() - began
    names, _, features = table(folder / "killed.parquet")
    expected, _, one = table(folder / "openvino-f32.parquet")
    assert names == expected
    assert (features == one).all()
    return [(
        f"one of two nodes killed after {before:,} of {len(names):,} pictures",
        f"finished {seconds:.0f} s later; every picture once, features identical; "
        f"{told['looked']:,} counted as looked at",
    )]  # fmt: skip


def the_driver_is_killed(folder: Path, photos: Path) -> list[tuple[str, str]]:
    with two_nodes() as (address, _, _):
        options = ("--engine", "openvino-f32", "--on", address)
        process = start(folder, photos, "driver.parquet", "driver", *options)
        wait_for(folder, "driver", process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kept = cached(folder, "driver")
        told = ended(start(folder, photos, "driver.parquet", "driver", *options))
    names, _, features = table(folder / "driver.parquet")
    expected, digests, one = table(folder / "openvino-f32.parquet")
    assert names == expected
    assert (features == one).all()
    assert told["looked"] == len(set(digests)) - kept
    return [(
        f"driver killed with {kept:,} of {len(names):,} pictures on disk",
        f"the next run looks at the other {told['looked']:,}, at none again that was on disk",
    )]  # fmt: skip


def workers_on(node: object) -> int:
    """Return how many workers of the pass a node has."""
    (daemon,) = node.all_processes["raylet"]
    listed = subprocess.run(
        ["ps", "--ppid", str(daemon.process.pid), "-o", "args="],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return sum("MapWorker" in line for line in listed.stdout.splitlines())


def wait_for(folder: Path, cache: str, process: subprocess.Popen[str]) -> int:
    """Wait until some pictures are on disk, and return how many."""
    while not (found := cached(folder, cache)):
        if process.poll() is not None:
            sys.exit(f"it ended before anything was on disk: {process.communicate()[1]}")
        time.sleep(0.05)
    return found


if __name__ == "__main__":
    main()
