import io
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import numpy as np
import pytest
from PIL import Image

from silverprint.errors import DataError, ImageError, RefusedError
from silverprint.runtime import remote
from silverprint.runtime.images import decode


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (5, 4), (10, 20, 30)).save(file, "png")
    return file.getvalue()


class Server(BaseHTTPRequestHandler):
    """/good is a picture, /busy becomes one at the third try, /cut ends early, all else is not."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = png()
        if self.path == "/busy" and self.asked.count("/busy") < 3:
            self.send_error(503)
            return
        if self.path not in ("/good", "/busy", "/cut"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + 9 * (self.path == "/cut")))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0))
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    Server.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def store() -> Iterator[fsspec.AbstractFileSystem]:
    system = fsspec.filesystem("memory")
    system.pipe("/silverprint-tests/a.png", png())
    yield system
    system.rm("/silverprint-tests", recursive=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.org/a.jpg", True),
        ("s3://bucket/a.jpg", True),
        ("memory://a.jpg", True),
        ("photos/a.jpg", False),
        ("C:\\photos\\a.jpg", False),
        ("C://photos/a.jpg", False),
        ("", False),
        (None, False),
    ],
)
def test_what_is_an_address(text: object, expected: bool) -> None:
    assert remote.is_address(text) is expected


def test_a_picture_on_the_web(site: str) -> None:
    assert decode(f"{site}/good").shape == (4, 5, 3)


def test_a_busy_server_is_asked_again(site: str) -> None:
    assert remote.fetch(f"{site}/busy", 10_000) == png()
    assert Server.asked == ["/busy"] * 3


def test_what_is_not_there_is_asked_for_once(site: str) -> None:
    with pytest.raises(ImageError, match="gone: cannot be fetched: the server answers 404 Not Fou"):
        decode(f"{site}/none", name="gone")
    assert Server.asked == ["/none"]


def test_an_answer_that_ends_early(site: str) -> None:
    with pytest.raises(RefusedError, match=r"cannot be fetched: IncompleteRead\(.* 9 more expe"):
        remote.fetch(f"{site}/cut", 10_000)


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSES", (0.0,))
    with pytest.raises(RefusedError, match=r"cannot be fetched: .*refused"):
        remote.fetch("http://127.0.0.1:9/a.jpg", 10)


@pytest.mark.usefixtures("store")
def test_too_large(site: str) -> None:
    for address in (f"{site}/good", "memory://silverprint-tests/a.png"):
        with pytest.raises(RefusedError, match=r"is \d+ bytes, above the limit of 10 for a pictu"):
            remote.fetch(address, 10)


@pytest.mark.usefixtures("store")
def test_a_picture_in_a_store() -> None:
    assert np.array_equal(decode("memory://silverprint-tests/a.png")[0, 0], (10, 20, 30))


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("memory://silverprint-tests/b.png", "does not exist; check the address"),
        ("nowhere://b.png", "nowhere:// is no kind of address known here: Protocol not known"),
        ("s3://bucket/b.png", "s3:// needs another package: .*s3fs"),
        ("http://[bad/a.jpg", "cannot be fetched: "),
    ],
)
def test_what_is_wrong_is_said(address: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)  # as if it were not installed
    with pytest.raises(RefusedError, match=text):
        remote.fetch(address, 10_000)


def test_all_kinds_of_address_are_checked_at_once() -> None:
    remote.check_schemes(["https://host/a.jpg", "memory://a.jpg", None])
    with pytest.raises(DataError, match="nowhere://"):
        remote.check_schemes(["https://host/a.jpg", "nowhere://a.jpg"])
