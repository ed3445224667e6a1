"""The client against a server that answers what a test tells it to."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from silverprint.errors import ImageError, ServerError
from silverprint.runtime import client
from silverprint.runtime.client import RemoteModel

MODELS = [
    {"name": "colours", "classes": ["red", "green"], "limits": {"bytes": 50}},
    {"name": "letters", "classes": ["a", "b"], "limits": {"bytes": 50}},
]
GREEN = {"file": "picture 0", "label": "green", "probability": 0.75,
         "top": [["green", 0.75], ["red", 0.25]]}  # fmt: skip
Answer = tuple[int, object] | tuple[int, object, dict[str, str]]


class Told:
    """A server that answers /predict from a list, and remembers what it was asked."""

    def __init__(self, answers: list[Answer], info: Answer = (200, {"models": MODELS})) -> None:
        self.asked: list[tuple[str, bytes, str | None]] = []
        lock, told, waiting = threading.Lock(), self, list(answers)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._send(*info)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    told.asked.append((self.path, body, self.headers["X-API-Key"]))
                    answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                self._send(*answer)

            def _send(self, status, body, headers=None) -> None:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def serve(monkeypatch) -> Iterator[Callable[..., Told]]:
    monkeypatch.setattr(client, "LONGEST_WAIT", 0.01)
    started: list[Told] = []

    def start(*answers: Answer, **info: Answer) -> Told:
        started.append(Told(list(answers), **info))
        return started[-1]

    yield start
    for told in started:
        told.stop()


def test_answers_are_those_of_the_server(serve, tmp_path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"bytes")
    told = serve((200, [GREEN]))
    model = RemoteModel(f"{told.address}/?model=letters", "key")
    assert (model.name, model.classes) == ("letters", ("a", "b"))
    [answer] = model.predict([str(tmp_path / "a.jpg")], names=["a.jpg"], top=2)
    assert answer.to_json() == {**GREEN, "file": "a.jpg"}
    assert told.asked == [("/predict?model=letters&top=2", b"bytes", "key")]


def test_sets_are_those_of_the_server(serve) -> None:
    told = [GREEN | {"labels": ["green", "red"]}, GREEN | {"labels": []}, GREEN]
    model = RemoteModel(serve(*((200, [answer]) for answer in told)).address)
    found = [next(model.predict([b"p"], names=["a"])).labels for _ in told]
    assert found == [("green", "red"), (), None]


def test_order_is_kept_over_many_pictures(serve) -> None:
    told = serve((200, [GREEN]))
    names = [f"p{i}" for i in range(70)]
    answers = list(RemoteModel(told.address).predict([b"x"] * 70, names=names))
    assert [answer.file for answer in answers] == names


def test_all_probabilities_for_groups(serve) -> None:
    told = serve((200, [GREEN]))
    [(name, found)] = RemoteModel(told.address).stream([b"x"], ["x.jpg"])
    assert name == "x.jpg"
    np.testing.assert_array_equal(found, np.float32([0.25, 0.75]))


def test_pictures_that_are_refused(serve, tmp_path) -> None:
    refused = {"detail": "picture 0: is bad", "answers": [{"file": "picture 0", "error": "is bad"}]}
    told = serve((422, refused), (413, {"detail": "The body is above the limit."}))
    pictures = [b"x", b"y", bytes(51), str(tmp_path / "none.jpg"), str(tmp_path)]
    model = RemoteModel(told.address)
    answers = [next(iter(model.predict([picture], names=["p"]))).error for picture in pictures]
    assert answers == [
        "is bad",
        "The body is above the limit.",
        "is 51 bytes, above the server's limit of 50",
        "does not exist; check the path",
        "is a folder, not a picture",
    ]
    [(_, outcome)] = model.stream([b"x"], ["p"])
    assert isinstance(outcome, ImageError)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(serve, status) -> None:
    told = serve((status, {"detail": "busy"}, {"Retry-After": "7"}), (status, b"no JSON"),
                 (200, [GREEN]))  # fmt: skip
    [answer] = RemoteModel(told.address).predict([b"x"], names=["p"])
    assert answer.label == "green"
    assert len(told.asked) == 3


def test_a_server_that_stays_busy_says_so(serve, monkeypatch) -> None:
    monkeypatch.setattr(client, "TRIES", 3)
    told = serve((429, {"detail": "9 pictures are waiting already."}))
    with pytest.raises(ServerError, match="answered 429: 9 pictures are waiting already"):
        list(RemoteModel(told.address).predict([b"x"], names=["p"]))
    assert len(told.asked) == 3


@pytest.mark.parametrize(
    ("info", "says"),
    [
        (
            (401, {"detail": "It is missing."}),
            r"wants an API key: It is missing\. Set SILVERPRINT_A",
        ),
        ((200, {"hello": 1}), "is not a Silverprint server; check the address"),
        ((200, b"<html>"), "is not a Silverprint server; check the address"),
        ((404, b"<html>"), "answered 404, as no Silverprint server does; check the address"),
        ((500, {"detail": "Our fault."}), r"answered 500: Our fault\."),
    ],
)
def test_servers_that_refuse(serve, info, says) -> None:
    with pytest.raises(ServerError, match=says):
        RemoteModel(serve((200, [GREEN]), info=info).address)


@pytest.mark.parametrize("answer", [(200, {}), (200, b"<html>"), (413, b"<html>"), (302, b"")])
def test_what_stands_between_may_answer_too(serve, answer) -> None:
    model = RemoteModel(serve(answer).address)
    with pytest.raises(ServerError, match=f"answered {answer[0]}, as no Silverprint server does"):
        list(model.predict([b"x"], names=["p"]))


def test_a_model_that_is_not_served(serve) -> None:
    with pytest.raises(ServerError, match="serves colours, letters, not 'x'"):
        RemoteModel(f"{serve((200, [GREEN])).address}?model=x")


def test_no_server_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ServerError) as caught:
            RemoteModel(address)
    assert str(caught.value) == (
        f"no server answers at {address}: connection refused; start `silverprint serve`."
    )


@pytest.mark.parametrize(
    "address", ["http://", "http://host:port", "https://:80", "http://x:99999"]
)
def test_what_is_no_address(address) -> None:
    with pytest.raises(ServerError, match="is not an address; write http://HOST:PORT"):
        RemoteModel(address)
