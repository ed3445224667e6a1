"""`serve` as a program, and `predict` against it."""

import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def serving(*arguments: object, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `silverprint serve` on a free port; yield the process and its address."""
    command = [sys.executable, "-m", "silverprint", "serve", "--port", "0", *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment},
    ) as process:  # fmt: skip
        try:
            said = process.stdout.readline()
            address = re.search(r" at (http://\S+) ", said)
            assert address, said + process.stderr.read()
            yield process, address[1]
        finally:
            process.kill()


def test_answers_are_those_of_the_bundle(trained, cli, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SILVERPRINT_API_KEY", "sesame")
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    files = [trained.photos, tmp_path, tmp_path / "none.jpg"]
    with serving(f"animals={trained.bundle}", "--mode", "spell") as (process, address):
        for options in (
            [],
            ["--json"],
            ["--csv"],
            ["--json", "--top", "1"],
            ["--group", "pet=cat,dog"],
        ):
            here, there = (
                cli("predict", model, *files, *options) for model in (trained.bundle, address)
            )
            assert there == here
            assert here.code == 2  # for the two that are none
        assert "serves animals, not 'x'" in cli("predict", f"{address}?model=x", *files).err
        monkeypatch.setenv("SILVERPRINT_API_KEY", "wrong")
        refused = cli("predict", address, *files)
        assert refused.code == 2
        assert "wants an API key: The API key is not the right one" in refused.err
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        logged = [json.loads(line) for line in process.stderr.read().splitlines()]
    assert {line["event"] for line in logged} == {"request"}
    assert str(trained.photos) not in json.dumps(logged)
    gone = cli("predict", address, *files)
    assert gone.code == 2
    assert gone.err.startswith(f"error: no server answers at {address}: connection refused")


def test_sets_over_http(trained, cli) -> None:
    photo = trained.photos / "cat/0001.jpg"
    with serving(trained.bundle, "--coverage", "0.9") as (_, address):
        there = cli("predict", address, photo, "--json")
        assert there == cli("predict", trained.bundle, photo, "--json", "--coverage", 0.9)
        assert there.json[0]["labels"]
        refused = cli("predict", address, photo, "--coverage", 0.9)
    assert "coverage is the server's to say: silverprint serve BUNDLE --coverage 0.9" in refused.err


def test_control_c_ends_it_quietly(trained) -> None:
    with serving(trained.bundle, "--quiet") as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none"], "bundle none does not exist; `silverprint train` makes bundles."),
        (["b", "--mode", "spel"], "mode must be one of classify, spell; got 'spel'. Did you mean"),
        (["b", "--queue", "0"], "queue must lie within 1 to 100,000; got 0."),
        (["b", "--port", "70000"], "port must lie within 0 to 65535; got 70000."),
        (["b", "--cors", "x"], "cors takes an origin such as https://example.org"),
        (["a/b", "c/b"], "two bundles are called 'b': a/b and c/b. Give one another name"),
    ],
)
def test_what_cannot_be_served_says_so(cli, arguments, says) -> None:
    handlers = list(logging.getLogger().handlers)
    ran = cli("serve", *arguments)
    assert logging.getLogger().handlers == handlers  # of the program that this test is part of
    assert ran.code == 2
    assert ran.err.startswith(f"error: {says}")
    assert ran.err.count("\n") == 1


def test_a_taken_port_says_so(trained, cli) -> None:
    with serving(trained.bundle, "--quiet") as (_, address):
        port = address.rpartition(":")[2]
        ran = cli("serve", trained.bundle, "--port", port)
    assert ran.code == 2
    assert f"127.0.0.1:{port} cannot be served on: address already in use" in ran.err


@pytest.mark.slow
def test_it_is_ready_soon(trained) -> None:
    began = time.perf_counter()
    with serving(trained.bundle):
        assert time.perf_counter() - began < 5  # 1 s on an idle machine; make bench measures it
