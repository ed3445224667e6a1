"""Measure `silverprint serve`: load, peers, hostile clients, memory, start, and what it installs.

python benchmarks/serving.py CLOTHING [--bundle BUNDLE] [--rounds 3] [--parts load,hostile,...]

LITSERVE_PYTHON names a Python that has LitServe (python -m venv benchmarks/.venv-litserve, then
pip install litserve there); torch comes from this one. Prints Markdown.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.request import urlopen

import numpy as np

from common import HERE, PROGRAM, interleaved, spread, table, timed, train

LITSERVE = Path(os.environ.get("LITSERVE_PYTHON", HERE / ".venv-litserve" / "bin" / "python"))
SIDES = {(400, 533), (400, 534), (533, 400), (534, 400)}
CORES = len(os.sched_getaffinity(0))


@contextlib.contextmanager
def serving(bundle: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run `silverprint serve`; yield the process and its port."""
    command = [PROGRAM, "serve", bundle, "--port", "0", "--quiet", *options]
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True) as it:
        try:
            assert it.stdout is not None
            address = it.stdout.readline().split(" at ")[1].split()[0]
            yield it, int(address.rpartition(":")[2])
        finally:
            it.send_signal(signal.SIGTERM)


@contextlib.contextmanager
def peer(command: Sequence[object], port: int) -> Iterator[int]:
    """Run another server; yield its port once something listens there."""
    paths = os.pathsep.join(path for path in sys.path if path)
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
        [str(part) for part in command], cwd=folder, start_new_session=True,
        env={**os.environ, "PYTHONPATH": paths},
    ) as process:  # fmt: skip
        try:
            end = time.monotonic() + 120
            while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < end:
                time.sleep(0.2)
            yield port
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])


def load(port: int, photos: Path, *options: object) -> dict:
    """Run load.py against a server."""
    url = f"http://127.0.0.1:{port}/predict"
    found = json.loads(timed([sys.executable, HERE / "load.py", url, photos, *options])[1])
    bad = {status: count for status, count in found["statuses"].items() if status != "200"}
    if bad:
        raise SystemExit(f"{url} answered {bad}")
    return found


def photos_of_one_size(data: Path, folder: Path) -> Path:
    """Link the test photos of 400 x 533 (or 534) pixels, either way up."""
    from PIL import Image

    chosen = folder / "photos"
    chosen.mkdir()
    for path in sorted((data / "test").glob("*/*")):
        with Image.open(path) as picture:
            if picture.size in SIDES:
                (chosen / path.name).symlink_to(path.resolve())
    return chosen


# ---- Parts ----


def path_of_a_request(bundle: Path, photos: Path, _: int) -> str:
    """Where a picture's time goes, and whether batches help."""
    from silverprint.runtime.bundle import read_bundle
    from silverprint.runtime.images import decode
    from silverprint.runtime.predictor import Predictor

    predictor = Predictor(read_bundle(bundle))
    contents = [path.read_bytes() for path in sorted(photos.iterdir())][:64]
    images = [decode(data, min_side=predictor.bundle.decode_side) for data in contents]
    alike = np.stack([image for image in images if image.shape == images[0].shape][:16])

    def each(work: Callable[[], object], pictures: int) -> float:
        best = []
        for _ in range(5):
            began = time.thread_time()
            work()
            best.append(1000 * (time.thread_time() - began) / pictures)
        return min(best)

    side = predictor.bundle.decode_side
    decoding = each(lambda: [decode(data, min_side=side) for data in contents], len(contents))
    rows = [["decode", f"{decoding:.2f}"]]
    for size in (1, 2, 4, 8):
        batches = [alike[i : i + size] for i in range(0, len(alike) - size + 1, size)]

        def run(batches: list[np.ndarray] = batches) -> None:
            for batch in batches:
                predictor.look(batch)

        rows.append([f"model, {size} at once", f"{each(run, size * len(batches)):.2f}"])
    with serving(bundle) as (process, port):
        load(port, photos, "--requests", 64)
        before = _cpu(process.pid)
        count = 512
        load(port, photos, "--requests", count)
        whole = 1000 * (_cpu(process.pid) - before) / count
    rows.append(["the server, all in all", f"{whole:.2f}"])
    return "Milliseconds of one core a picture, best of 5 (the server: mean of 512):\n\n" + table(
        ["what", "ms"], rows
    )


def under_load(bundle: Path, photos: Path, rounds: int) -> str:
    """Pictures a second against peers, then latency at half of that."""
    with contextlib.ExitStack() as stack:
        _, ours = stack.enter_context(serving(bundle))
        ports = {"silverprint serve": ours}
        plain = free_port()
        command = [sys.executable, HERE / "plain_server.py", bundle, plain]
        ports["FastAPI + torch"] = stack.enter_context(peer(command, plain))
        if LITSERVE.exists():
            lit = free_port()
            command = [LITSERVE, HERE / "litserve_server.py", bundle, lit, CORES]
            ports[f"LitServe + torch, {CORES} workers"] = stack.enter_context(peer(command, lit))
        for port in ports.values():
            load(port, photos, "--requests", 32)
        counts = {name: 600 if port == ours else 150 for name, port in ports.items()}
        ways = {
            name: lambda port=port, name=name: load(port, photos, "--requests", counts[name])[
                "rate"
            ]
            for name, port in ports.items()
        }
        rates = interleaved(ways, rounds)
        half = statistics.median(rates["silverprint serve"]) / 2
        slow = [
            load(ours, photos, "--requests", 400, "--rate", half, "--connections", 64)
            for _ in range(rounds)
        ]
    rows = [[name, spread(found)] for name, found in rates.items()]
    waits = {key: spread([found[key] for found in slow]) for key in ("p50", "p99")}
    return (
        f"JPEGs of 400 x 533 pixels, one a request (a form), 8 connections, client on the same "
        f"{CORES} cores, {rounds} rounds interleaved:\n\n"
        + table(["server", "pictures/s"], rows)
        + f"\n\nAt {half:.0f} pictures/s, evenly sent: median {waits['p50']} ms, "
        f"99 % within {waits['p99']} ms."
        + ("" if LITSERVE.exists() else "\n\nLitServe was not measured: no venv for it.")
    )


def hostile(bundle: Path, photos: Path, _: int) -> str:
    """Bad clients of each kind, while good requests go on."""
    good = [path.read_bytes() for path in sorted(photos.iterdir())][:32]
    found: dict[str, Counter[object]] = {}
    with serving(bundle, "--timeout", "10") as (process, port):
        before = _resident(process.pid)
        stop, answered = threading.Event(), Counter[object]()

        def go_on() -> None:
            while not stop.is_set():
                answered[_post(port, good[sum(answered.values()) % len(good)])] += 1

        friend = threading.Thread(target=go_on)
        friend.start()
        ways = {
            "1,000 malformed bodies": lambda: _malformed(port, good[0]),
            "30,000 x 30,000 PNG bomb, 20 times": lambda: [_post(port, _bomb()) for _ in range(20)],
            "truncated upload, 100 times": lambda: [_break_off(port, good[0]) for _ in range(100)],
            "20 slow clients": lambda: _side_by_side(20, lambda _: _dawdle(port)),
            "200 connections at once": lambda: _side_by_side(
                200, lambda i: _post(port, good[i % len(good)])
            ),
        }
        for name, way in ways.items():
            found[name] = Counter(way())
        stop.set()
        friend.join()
        found["good requests meanwhile"] = answered
        after = _resident(process.pid)
        found["a good request afterwards"] = Counter([_post(port, good[0])])
    rows = [
        [name, ", ".join(f"{status}: {count}" for status, count in sorted(counts.items(), key=str))]
        for name, counts in found.items()
    ]
    return (
        table(["what was sent", "answers, by status"], rows)
        + f"\n\nResident memory {before:.0f} MB before, {after:.0f} MB after. A truncated upload "
        "gets no answer: its client has gone."
    )


def memory(bundle: Path, photos: Path, _: int) -> str:
    """Resident memory over 10,000 requests."""
    rows = []
    with serving(bundle) as (process, port):
        done = 0
        for until in (500, 1_000, 2_000, 4_000, 6_000, 8_000, 10_000):
            load(port, photos, "--requests", until - done)
            done = until
            rows.append([f"{done:,}", f"{_resident(process.pid):.1f}"])
    return table(["requests", "resident MB"], rows)


def start(bundle: Path, _: Path, rounds: int) -> str:
    """From the command to the first answer of /health/ready."""

    def once() -> float:
        began = time.perf_counter()
        with serving(bundle) as (_, port):
            urlopen(f"http://127.0.0.1:{port}/health/ready").read()
            return time.perf_counter() - began

    found = [once() for _ in range(3 * rounds)]
    return f"From the command to ready: {spread(found, 2)} s, {3 * rounds} times."


def lean(bundle: Path, photos: Path, _: int) -> str:
    """Install the core dependencies alone, and serve from there."""
    with tempfile.TemporaryDirectory() as folder:
        venv = Path(folder) / "venv"
        timed([sys.executable, "-m", "venv", venv])
        quiet = ("--quiet", "--quiet", "--disable-pip-version-check", "--no-compile")
        lock = HERE.parent / "requirements.lock"
        timed([venv / "bin" / "pip", "install", *quiet, "--constraint", lock, HERE.parent])
        own = next(venv.glob("lib/python*/site-packages"))
        sizes = Counter({path.name: _size(path) for path in own.iterdir()})
        for name in [
            name for name in sizes if name.startswith(("pip", "setuptools", "_distutils"))
        ]:
            del sizes[name]  # part of any new venv
        assert not (own / "torch").exists()
        with subprocess.Popen(
            [venv / "bin" / "silverprint", "serve", bundle, "--port", "0", "--quiet"],
            stdout=subprocess.PIPE, text=True, cwd=folder,
        ) as process:  # fmt: skip
            port = int(process.stdout.readline().split(" at ")[1].split()[0].rpartition(":")[2])
            status = _post(port, next(iter(sorted(photos.iterdir()))).read_bytes())
            process.send_signal(signal.SIGTERM)
    largest = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in sizes.most_common(6))
    return (
        f"`pip install silverprint` without extras: {sizes.total() / 1e6:.0f} MB, no torch; it "
        f"serves (status {status}). The largest, in MB: {largest}."
    )


# ---- Clients ----


def _post(port: int, body: bytes, kind: str = "image/jpeg") -> object:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/predict", body, {"Content-Type": kind})
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def _malformed(port: int, good: bytes) -> Iterator[object]:
    generator = np.random.default_rng(0)
    kinds = ("image/jpeg", "multipart/form-data; boundary=b", "application/json", "text/plain")
    for i in range(1_000):
        cut = bytearray(good[: generator.integers(len(good))])
        for at in generator.integers(0, len(cut) + 1, 20):
            cut[at : at + 1] = generator.bytes(1)
        body = bytes(cut) if i % 2 else generator.bytes(generator.integers(2_000))
        kind = kinds[i // 2 % 4]
        if i % 8 == 2:
            body = (
                b'--b\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\n' + body
            )
        yield _post(port, body, kind)


def _bomb() -> bytes:
    def part(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 20))
    parts = part(b"IHDR", header) + part(b"IDAT", pixels) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def _head(length: int) -> bytes:
    return (
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def _break_off(port: int, good: bytes) -> object:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(_head(len(good)) + good[: len(good) // 2])
    return "gone"


def _dawdle(port: int) -> object:
    """Send a byte a tenth of a second until the server has had enough."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(_head(10_000))
        client.settimeout(0.1)
        for _ in range(300):
            try:
                client.sendall(b"x")
                answer = client.recv(1024)
            except TimeoutError:
                continue
            except OSError as error:
                return type(error).__name__
            return int(answer[9:12]) if answer else "closed"
    return "never let go"


def _side_by_side(count: int, work: Callable[[int], object]) -> list[object]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


# ---- Measures ----


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if not file.is_dir())


PARTS: dict[str, tuple[str, Callable[[Path, Path, int], str]]] = {
    "path": ("Where the time goes", path_of_a_request),
    "load": ("Under load", under_load),
    "hostile": ("Hostile clients", hostile),
    "memory": ("Memory", memory),
    "start": ("Start", start),
    "lean": ("Installed", lean),
}


def main() -> None:
    """Measure the parts asked for, and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", default=",".join(PARTS))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        bundle = options.bundle
        if bundle is None:
            bundle = folder / "bundle"
            train(options.data, folder / "cache", bundle)
        photos = photos_of_one_size(options.data, folder)
        print("## Serving", flush=True)
        for part in options.parts.split(","):
            title, measure = PARTS[part]
            print(f"\n### {title}\n\n{measure(bundle, photos, options.rounds)}", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
