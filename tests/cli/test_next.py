"""`silverprint next`, as it is typed."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest


@pytest.fixture
def pool(make_photos, tmp_path):
    root = make_photos(tmp_path / "new", {"a": 4, "b": 4}, seed=7)
    (root / "broken.jpg").write_bytes((root / "a" / "0001.jpg").read_bytes()[:300])
    return root


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_as_a_table_and_as_json(cli, trained, pool) -> None:
    ran = cli("next", trained.bundle, pool, "-n", 3, "--no-page")
    assert ran.code == 0
    assert ran.out.splitlines()[0] == "note: 9 pictures without labels."
    assert len(re.findall(r"^[ab]/000\d\.jpg +(cat|dog|emu) +\d", ran.out, re.MULTILINE)) == 3
    told = (
        "note: broken.jpg is truncated: the file ends before the picture does; get the file again"
    )
    assert told in ran.err
    table = ran.out.partition("\n")[2]
    quiet = cli("next", trained.bundle, pool, "-n", 3, "--no-page", "--quiet")
    assert (quiet.out, quiet.err) == (table, "")
    found = cli("next", trained.bundle, pool, "-n", 3, "--json", "--quiet").json
    assert found["pool"] == 8
    assert [one["file"] for one in found["refused"]] == ["broken.jpg"]
    assert [one["file"] for one in found["pictures"]] == re.findall(r"[ab]/000\d\.jpg", ran.out)
    first = found["pictures"][0]
    assert first["top"][0] == [first["label"], first["probability"]]
    assert not os.path.lexists("labels.csv")


def test_mistakes_are_told_before_any_work(cli, trained, pool, tmp_path) -> None:
    (tmp_path / "labels.csv").write_text("path;label\nnew/a/0000.jpg;cat\n")
    found = cli("next", trained.bundle, pool, "-q", "--json").json
    assert len(found["pictures"]) == 7
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = cli("next", trained.bundle, pool, "--port", port, "-q")
        assert ran.code == 2
        assert ran.err.startswith(f"error: 127.0.0.1:{port} cannot be served on: address already")
        assert ran.err.endswith("; choose another with --port.\n")
    for arguments, told in (
        ((pool, "--out", "labels.txt"), "labels go into a CSV; name one, such as labels.csv"),
        ((pool, "--out", "gone/labels.csv"), "cannot be written: no such file or directory"),
        ((pool, "-n", 0), "n must be at least 1; got 0"),
        ((pool, "--port", 99999), "port must lie within 0 to 65535; got 99999"),
        ((pool, "--with", "gone"), "gone"),
        (("gone",), "gone: pictures without labels are read from a folder"),
    ):
        ran = cli("next", trained.bundle, *arguments, "-q")
        assert (ran.code, ran.out) == (2, "")
        assert told in ran.err
        assert ran.err.count("\n") == 1


@pytest.mark.slow
def test_killed_and_started_again(trained, pool, tmp_path) -> None:
    """What was labelled when the program was killed is there, and is not asked for again."""
    from http.client import HTTPConnection
    from json import loads

    code = "import sys; from silverprint.cli.app import run; sys.exit(run(sys.argv[1:]))"
    counts = []
    for end in (signal.SIGKILL, signal.SIGINT):
        with subprocess.Popen(
            [sys.executable, "-c", code, "next", trained.bundle, pool, "--port", "0", "-q"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        ) as process:  # fmt: skip
            while " to label at http://" not in (line := process.stdout.readline()):
                assert line.startswith("note: ")
            host = re.search(r"http://(\S+);", line)[1]
            connection = HTTPConnection(host, timeout=10)
            connection.request("GET", "/session")
            session = loads(connection.getresponse().read())
            counts.append(len(session["pictures"]))
            headers = {"origin": f"http://{host}", "content-type": "application/json"}
            body = b'{"label": "cat"}'
            connection.request("PUT", f"/labels/{session['key']}/0", body, headers)
            assert connection.getresponse().read() == b'{"label": "cat"}'
            connection.close()
            process.send_signal(end)
            rest = process.stdout.read()
    assert counts == [8, 7]
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 3
    assert process.returncode == 0
    lines = rest.splitlines()
    assert lines[0].startswith("1 new label in ")
    assert "; next: silverprint train labels.csv --out " in lines[0]
    assert lines[1].startswith("note: before that: ")
    assert "a dataset needs at least two classes" in lines[1]
