"""One training on two hosts that share no disk: two caches, and torchrun on loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

EPOCHS = 60


@pytest.mark.slow
def test_a_lost_worker_ends_the_run_and_the_next_start_goes_on_from_it(tmp_path) -> None:
    whole = start(tmp_path / "whole", (0, 1))
    assert [host.wait(240) for host in whole] == [0, 0], told(tmp_path / "whole")
    expected = metrics_of(tmp_path / "whole")
    assert [line["epoch"] for line in expected] == list(range(1, EPOCHS + 1))

    folder = tmp_path / "stopped"
    hosts = start(folder, (0, 1))
    wait_for_epochs(folder, 5)
    os.kill(worker_of(hosts[1]), signal.SIGKILL)
    assert [host.wait(60) != 0 for host in hosts] == [True, True]
    assert "another process of this run is gone or no longer answers" in told(folder)
    assert "our fault" not in told(folder)

    # The host that starts first is the first process, so now the other one has the checkpoint.
    hosts = start(folder, (1, 0))
    assert [host.wait(240) for host in hosts] == [0, 0], told(folder)
    found = metrics_of(folder)
    same = ("epoch", "training loss", "validation loss", "validation accuracy")
    assert [[line[name] for name in same] for line in found] == [
        [line[name] for name in same] for line in expected
    ]


def start(folder: Path, order: tuple[int, int]) -> list[subprocess.Popen[bytes]]:
    """Start both hosts in this order; return them by number."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hosts = {}
    for number in order:
        place = folder / f"host{number}"
        place.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1",
            "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=digits",
            "-m", "silverprint", "train", "digits", "--from-scratch", "--model=mlp",
            f"--epochs={EPOCHS}", "--patience=1000", "--quiet", "--out", str(place / "bundle"),
        ]  # fmt: skip
        environment = {
            **os.environ, "SILVERPRINT_CACHE": str(place / "cache"), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        with (place / "output").open("ab") as output:
            hosts[number] = subprocess.Popen(
                command, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
    return [hosts[0], hosts[1]]


def worker_of(host: subprocess.Popen[bytes]) -> int:
    """Return the one child of a torchrun that trains."""
    children = Path(f"/proc/{host.pid}/task/{host.pid}/children").read_text().split()
    (worker,) = (
        int(child)
        for child in children
        if b"torch.distributed.run" not in Path(f"/proc/{child}/cmdline").read_bytes()
    )
    return worker


def wait_for_epochs(folder: Path, count: int) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        for path in folder.glob("host*/cache/runs/*/metrics.jsonl"):
            if len(path.read_text("utf-8").splitlines()) >= count:
                return
        time.sleep(0.02)
    raise AssertionError(told(folder))


def metrics_of(folder: Path) -> list[dict[str, float]]:
    (path,) = folder.glob("host*/bundle/metrics.jsonl")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def told(folder: Path) -> str:
    return "\n".join(path.read_text("utf-8", "replace") for path in folder.glob("host*/output"))
