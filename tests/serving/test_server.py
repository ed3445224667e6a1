"""Over a real socket: clients that dawdle, break off or come all at once, and the end."""

import concurrent.futures
import contextlib
import http.client
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from silverprint.errors import ConfigError
from silverprint.serving import server
from silverprint.serving.app import create_app
from silverprint.serving.settings import Settings


@contextlib.contextmanager
def running(bundle, **settings):
    """Serve in a thread; yield the server and its port."""
    chosen = Settings(**{"threads": 1, **settings})
    app, ready = create_app({"colours": bundle}, chosen), threading.Event()
    with server.bind("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        made = server.make_server(app, chosen, ready.set)
        thread = threading.Thread(target=made.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            assert ready.wait(10)
            yield made, port
        finally:
            made.handle_exit(signal.SIGTERM, None)
            thread.join(20)
            assert not thread.is_alive()


def post(port: int, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", "/predict", body, {"Content-Type": "image/png"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def head(length: int) -> bytes:
    return (
        f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def read_all(client: socket.socket) -> bytes:
    """Return what comes until the server closes; nothing more if it resets."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            found += part
    return found


def test_dawdling_clients_are_let_go_and_others_answered(make_bundle, picture, monkeypatch) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.5)
    with running(make_bundle(), timeout=1) as (_, port), contextlib.ExitStack() as stack:
        starts = {"silent": b"", "slow head": b"POST /predict HT", "slow body": head(100) + b"x"}
        clients = {
            name: stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            for name in starts
        }
        for name, client in clients.items():
            client.sendall(starts[name])
        assert post(port, picture())[0] == 200
        found = {name: read_all(client) for name, client in clients.items()}
    assert found["silent"] == found["slow head"] == b""
    assert found["slow body"].startswith(b"HTTP/1.1 408 ")


def test_a_kept_connection_is_served_again(make_bundle, picture, monkeypatch) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.9)
    with running(make_bundle()) as (_, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for _ in range(3):
            time.sleep(0.4)  # each within its time; together beyond it
            connection.request("POST", "/predict", picture(), {"Content-Type": "image/png"})
            assert connection.getresponse().read()
        connection.close()


def test_a_truncated_upload_harms_nobody(make_bundle, picture) -> None:
    with running(make_bundle()) as (_, port):
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(head(10_000) + picture())
        assert post(port, picture())[0] == 200


@pytest.mark.parametrize(
    "junk", [b"\0" * 100, b"GET\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
             b"GET / HTTP/1.1\r\n" + b"a: " + b"b" * 100_000]
)  # fmt: skip
def test_what_is_not_http_is_refused(make_bundle, picture, junk) -> None:
    with running(make_bundle()) as (_, port):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(junk)
            assert read_all(client)[:13] in (b"HTTP/1.1 400 ", b"")
        assert post(port, picture())[0] == 200


def test_connections_are_bounded(make_bundle, picture, monkeypatch) -> None:
    monkeypatch.setattr(server, "most_connections", lambda: 3)
    with running(make_bundle()) as (_, port), contextlib.ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            for _ in range(3)
        ]
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            post(port, picture())
        idle[0].close()
        time.sleep(0.2)
        assert post(port, picture())[0] == 200


def test_many_at_once(make_bundle, picture) -> None:
    with running(make_bundle()) as (_, port), concurrent.futures.ThreadPoolExecutor(60) as pool:
        found = list(pool.map(lambda _: post(port, picture())[0], range(200)))
    assert set(found) == {200}


def test_it_finishes_what_it_took_on(make_bundle, picture, monkeypatch) -> None:
    with running(make_bundle()) as (made, port):
        served = made.config.app.state.serving.models.get(None)
        look, begun = served.predictor.look, threading.Event()

        def slowly(images):
            begun.set()
            time.sleep(0.5)
            return look(images)

        monkeypatch.setattr(served.predictor, "look", slowly)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            answers = [pool.submit(post, port, picture()) for _ in range(3)]
            assert begun.wait(10)
            time.sleep(0.1)
            made.handle_exit(signal.SIGTERM, None)
            assert [answer.result()[0] for answer in answers] == [200, 200, 200]
    with pytest.raises(ConnectionRefusedError):
        post(port, picture())


def test_an_address_that_cannot_be_served_on_says_so() -> None:
    with server.bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port} cannot be served on: address alr"):
            server.bind("127.0.0.1", port)
    with pytest.raises(ConfigError, match="port must lie within 0 to 65535; got 70000"):
        server.bind("127.0.0.1", 70_000)


def test_addresses_are_written_for_browsers() -> None:
    with server.bind("::1", 0) as listening:
        port = listening.getsockname()[1]
        assert server.address_of(listening) == f"http://[::1]:{port}"
        assert listening.proto == socket.IPPROTO_TCP  # or small answers wait 40 ms


def test_serving_never_imports_torch(make_bundle) -> None:
    code = f"""
import sys
from fastapi.testclient import TestClient
from silverprint.serving import logs, server
from silverprint.serving.app import create_app
with TestClient(create_app({{"colours": {str(make_bundle())!r}}})) as client:
    for path in ("/docs", "/metrics", "/health", "/openapi.json", "/v2/models/colours"):
        assert client.get(path).status_code == 200, path
    assert client.post("/predict", content=b"x").status_code == 415
heavy = {{"torch", "onnx", "openvino", "timm", "sklearn", "scipy", "matplotlib"}}
print(sorted(heavy & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")
