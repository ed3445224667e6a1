"""Who may come in, how much, and for how long."""

import asyncio
import json
import logging
import threading

import pytest

from silverprint.errors import ConfigError
from silverprint.serving.metrics import Metrics
from silverprint.serving.settings import Settings, named_bundles
from silverprint.serving.workers import Workers

BYTES = {"content-type": "application/octet-stream"}
OPEN = ("/health", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/docs",
        "/docs/style.css", "/openapi.json")  # fmt: skip
GUARDED = ("/info", "/metrics", "/v2", "/v2/models/colours", "/nothing")


def test_an_api_key_guards_all_but_health_and_documents(client_of, picture) -> None:
    client = client_of(api_key="sesame")
    for path in OPEN:
        assert client.get(path).status_code == 200, path
    for path in GUARDED:
        assert client.get(path).status_code == 401, path
    refused = client.post("/predict", content=picture(), headers=BYTES)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["detail"].startswith("The API key is missing; send it as X-API-Key")
    for headers in ({"X-API-Key": "sesam"}, {"Authorization": "Bearer x"}, {"X-API-Key": "\u00e9"}):
        headers = {name: value.encode() for name, value in headers.items()}
        refused = client.get("/info", headers=headers)
        assert refused.status_code == 401
        assert refused.json()["detail"].startswith("The API key is not the right one")
    for headers in ({"X-API-Key": "sesame"}, {"Authorization": "Bearer sesame"}):
        answered = client.post("/predict", content=picture(), headers={**BYTES, **headers})
        assert answered.status_code == 200


def test_other_origins_are_let_in_only_by_name(client_of, client, picture) -> None:
    origin = {"Origin": "https://example.org"}
    answered = client.post("/predict", content=picture(), headers={**BYTES, **origin})
    assert "access-control-allow-origin" not in answered.headers
    client = client_of(cors=("https://example.org",), api_key="sesame")
    asks = {**origin, "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "x-api-key"}  # fmt: skip
    assert client.options("/predict", headers=asks).status_code == 200
    refused = client.get("/info", headers=origin)
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://example.org"
    other = client.get("/health", headers={"Origin": "https://example.net"})
    assert "access-control-allow-origin" not in other.headers


def test_a_body_above_the_limit(client_of, picture) -> None:
    client = client_of(max_bytes=2_000)
    assert client.post("/predict", content=picture(), headers=BYTES).status_code == 200
    refused = client.post("/predict", content=bytes(2_001), headers=BYTES)
    assert refused.status_code == 413
    assert refused.json()["detail"] == (
        "The body is above the limit of 2,000 bytes; send fewer or smaller pictures."
    )
    chunks = (bytes(500) for _ in range(5))  # no Content-Length, so it is counted as it comes
    assert client.post("/predict", content=chunks, headers=BYTES).status_code == 413
    refused = client.post("/v2/models/colours/infer", content=bytes(2_001))
    assert "above the limit" in refused.json()["error"]


def test_a_stopping_server_takes_on_nothing_new(client, picture) -> None:
    client.app.state.serving.stopping = True
    refused = client.post("/predict", content=picture(), headers=BYTES)
    assert refused.status_code == 503
    assert refused.headers["connection"] == "close"
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").json()["status"] == "stopping"
    assert client.get("/health/ready").status_code == 503
    assert client.get("/v2/health/ready").status_code == 503


def test_a_full_queue_says_when_to_come_again(client_of, picture, monkeypatch) -> None:
    client = client_of(queue=2)
    served = client.app.state.serving.models.get(None)
    look, begun, go_on = served.predictor.look, threading.Event(), threading.Event()

    def wait(images):
        begun.set()
        assert go_on.wait(10)
        return look(images)

    monkeypatch.setattr(served.predictor, "look", wait)
    files = [("files", ("p.png", picture(), "image/png"))] * 2
    statuses: list[int] = []

    def send(number: int) -> None:
        statuses.append(client.post("/predict", files=files[:number]).status_code)

    first = threading.Thread(target=send, args=(1,))
    first.start()
    assert begun.wait(10)  # one in work, and now two wait
    second = threading.Thread(target=send, args=(2,))
    second.start()
    workers = client.app.state.serving.workers
    while workers._count < 2:
        threading.Event().wait(0.001)
    refused = client.post("/predict", files=files[:1])
    go_on.set()
    first.join()
    second.join()
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["detail"] == "2 pictures are waiting already; try again in a moment."
    assert statuses == [200, 200]


def test_one_picture_does_not_wait_behind_anothers_hundred(client_of, picture) -> None:
    workers, served = _waiting_workers(client_of)
    answered: list[str] = []

    async def ask(name: str, count: int) -> None:
        await workers.run(served, [(name, picture())] * count, 20)
        answered.append(name)

    async def both() -> None:
        hundred = asyncio.create_task(ask("hundred", 100))
        await asyncio.sleep(0)  # it is in the queue first
        await asyncio.gather(ask("one", 1), hundred, _started(workers))

    asyncio.run(both())
    assert answered == ["one", "hundred"]


def _waiting_workers(client_of):
    """Return one thread's queue that is not started, and a model."""
    state = client_of().app.state.serving
    return Workers(1, 256, 1, 10_000, Metrics()), state.models.get(None)


async def _started(workers) -> None:
    await asyncio.sleep(0)
    workers.start()
    await asyncio.to_thread(workers.stop)


def test_an_answer_that_takes_too_long(client_of, picture, monkeypatch) -> None:
    client = client_of(timeout=0.3)
    served = client.app.state.serving.models.get(None)
    go_on = threading.Event()
    monkeypatch.setattr(served.predictor, "look", lambda _: go_on.wait(10))
    refused = client.post("/predict", content=picture(), headers=BYTES)
    go_on.set()
    assert refused.status_code == 429
    assert refused.json()["detail"] == (
        "The answer was not ready within 0.3 s; try again in a moment."
    )


# ---- On ASGI itself, where a client's pace can be acted ----


def ask(app, messages, *, pause: float = 0) -> list[dict]:
    """Send one POST /predict whose body comes in these messages; return what was answered."""
    sent: list[dict] = []
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": "/predict", "raw_path": b"/predict", "query_string": b"",
        "root_path": "", "headers": [(b"content-type", b"image/png")], "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2), "state": {},
    }  # fmt: skip
    waiting = iter(messages)

    async def receive():
        await asyncio.sleep(pause)
        return next(waiting, None) or await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    async def one():
        async with app.router.lifespan_context(app):
            await app(scope, receive, send)

    asyncio.run(one())
    return sent


def part(body: bytes, more: bool = True) -> dict:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_slow_body_is_cut_off(client_of) -> None:
    app = client_of(timeout=0.1).app
    again = client_of(timeout=0.1).app
    assert app is not again
    sent = ask(_fresh(app), [part(b"x")] * 100, pause=0.02)
    assert sent[0]["status"] == 408
    assert b"did not arrive within 0.1 s" in sent[1]["body"]
    assert (b"connection", b"close") in sent[0]["headers"]


def test_a_client_that_goes_away_is_not_answered(client_of, caplog) -> None:
    caplog.set_level(logging.INFO)
    app = _fresh(client_of().app)
    assert ask(app, [part(b"x"), {"type": "http.disconnect"}]) == []
    noted = [record for record in caplog.records if record.message == "request"]
    assert noted[-1].status == 499


def test_bodies_together_are_bounded(client_of, monkeypatch) -> None:
    monkeypatch.setattr(Settings, "held_bytes", property(lambda _: 1_000))
    app = _fresh(client_of().app)
    sent = ask(app, [part(bytes(2_000), more=False)])
    assert sent[0]["status"] == 429
    assert b"holds as many uploads as it can" in sent[1]["body"]
    gauge = app.state.serving.metrics.text().decode()
    assert "silverprint_held_bytes 0.0" in gauge


def _fresh(app):
    """Return an application like this one that has not been started."""
    from silverprint.serving.app import create_app

    state = app.state.serving
    return create_app(state.models._paths, state.settings)


# ---- What is noted ----


def test_a_request_is_noted_without_its_pictures(client, picture, caplog) -> None:
    caplog.set_level(logging.INFO)
    files = [("files", ("secret-name.png", picture(), "image/png"))] * 2
    client.post("/predict?top=1", files=files)
    [record] = [record for record in caplog.records if record.message == "request"]
    from silverprint.serving.logs import JsonLines

    line = JsonLines().format(record)
    told = json.loads(line)
    assert "\n" not in line
    assert "secret" not in line
    assert told["milliseconds"] > 0
    assert told["bytes"] > 2 * len(picture())
    known = {key: told[key] for key in ("event", "method", "path", "status", "model", "pictures")}
    assert known == {"event": "request", "method": "POST", "path": "/predict", "status": 200,
                     "model": "colours", "pictures": 2}  # fmt: skip


def test_requests_are_counted_by_route(client, picture) -> None:
    client.post("/predict", content=picture(), headers=BYTES)
    client.post("/predict", content=b"<html>", headers=BYTES)
    client.get("/no/such/path")
    client.get("/v2/models/colours")
    text = client.get("/metrics").text
    for line in (
        'silverprint_requests_total{route="/predict",status="200"} 1.0',
        'silverprint_requests_total{route="/predict",status="415"} 1.0',
        'silverprint_requests_total{route="other",status="404"} 1.0',
        'silverprint_requests_total{route="/v2/models/{name}",status="200"} 1.0',
        'silverprint_pictures_total{model="colours",outcome="answered"} 1.0',
        'silverprint_pictures_total{model="colours",outcome="refused"} 1.0',
        'silverprint_confidence_count{model="colours"} 1.0',
        'silverprint_distance_rank_count{model="colours"} 1.0',
        "silverprint_waiting_pictures 0.0",
    ):
        assert line in text.splitlines(), line


def test_a_fault_of_ours_says_so(client_of, picture, monkeypatch) -> None:
    client = client_of(raising=False)
    monkeypatch.setattr(client.app.state.serving.models, "get", lambda _: 1 / 0)
    answered = client.post("/predict", content=picture(), headers=BYTES)
    assert answered.status_code == 500
    assert answered.json()["detail"].startswith("This is our fault, not yours")


# ---- Settings ----


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"max_bytes": 0}, "max-bytes must lie within 1,024 to 1,073,741,824; got 0."),
        ({"queue": 0}, "queue must lie within 1 to 100,000; got 0."),
        ({"timeout": float("nan")}, "timeout must lie within 0.1 to 3,600; got nan."),
        (
            {"mode": "spel"},
            "mode must be one of classify, spell; got 'spel'. Did you mean 'spell'?",
        ),
        ({"api_key": ""}, "api-key must be ASCII characters, and not empty"),
        ({"cors": ("example.org",)}, "cors takes an origin such as https://example.org"),
        ({"cors": ("https://example.org/",)}, "without a path; got 'https://example.org/'."),
    ],
)
def test_wrong_settings_say_so(settings, says) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings(**settings)
    assert says in str(caught.value)


def test_bundles_are_named_by_their_folders(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert named_bundles(["runs/clothing/", "cats=runs/7/bundle", "imagenet:vgg16"]) == {
        "clothing": "runs/clothing/", "cats": "runs/7/bundle", "imagenet-vgg16": "imagenet:vgg16",
    }  # fmt: skip
    assert list(named_bundles(["."])) == [tmp_path.name]
    with pytest.raises(ConfigError, match="two bundles are called 'b': a/b and c/b"):
        named_bundles(["a/b", "c/b"])
    with pytest.raises(ConfigError, match=r"got 'my bundle'\. Name it yourself: NAME=my bundle"):
        named_bundles(["my bundle"])
