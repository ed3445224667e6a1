"""Bundles are loaded anew when they change, and requests never notice."""

import json
import os
import shutil
import threading
import time

import pytest

from silverprint.errors import BundleError, ConfigError
from silverprint.serving import models
from silverprint.serving.app import create_app
from silverprint.serving.settings import Settings

BYTES = {"content-type": "application/octet-stream"}


@pytest.fixture(autouse=True)
def often(monkeypatch) -> None:
    monkeypatch.setattr(models, "EVERY", 0.01)


def until(condition, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def label(client, picture) -> str:
    response = client.post("/predict", content=picture("green"), headers=BYTES)
    assert response.status_code == 200
    return response.json()[0]["label"]


def replace(old, new) -> None:
    """Put a new bundle in an old one's place, as training again does."""
    os.rename(old, old.with_name("old"))  # noqa: PTH104
    os.rename(new, old)  # noqa: PTH104


def test_a_new_bundle_is_taken_without_dropping_a_request(client_of, make_bundle, picture) -> None:
    bundle = make_bundle("bundle")
    client = client_of({"colours": bundle}, threads=2)
    found, stop = [], threading.Event()

    def ask() -> None:
        while not stop.is_set():
            found.append(label(client, picture))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: len(found) > 20)
    replace(bundle, make_bundle("new", classes=("r", "g", "b")))
    until(lambda: "g" in found)
    stop.set()
    for thread in threads:
        thread.join()
    assert set(found) == {"green", "g"}
    assert client.get("/info").json()["models"][0]["classes"] == ["r", "g", "b"]


def test_a_damaged_bundle_leaves_the_old_one_in_service(client_of, make_bundle, picture) -> None:
    bundle = make_bundle("bundle")
    client = client_of({"colours": bundle})
    kept = (bundle / "model.onnx").read_bytes()
    (bundle / "model.onnx").write_bytes(kept[:100])
    manifest = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps({**manifest, "classes": ["x", "y", "z"]}))

    def trouble():
        return client.get("/health").json()["models"]["colours"].get("trouble")

    until(lambda: trouble() is not None)
    assert "model.onnx was changed or damaged" in trouble()
    assert label(client, picture) == "green"
    assert (
        'silverprint_loads_total{model="colours",outcome="failed"}' in client.get("/metrics").text
    )
    (bundle / "model.onnx").write_bytes(kept)  # the copy goes on, and is complete
    until(lambda: label(client, picture) == "y")
    assert trouble() is None


def test_a_bundle_that_is_gone_is_served_on(client_of, make_bundle, picture) -> None:
    bundle = make_bundle("bundle")
    client = client_of({"colours": bundle})
    shutil.rmtree(bundle)
    time.sleep(0.05)
    assert label(client, picture) == "green"
    assert "trouble" not in client.get("/health").json()["models"]["colours"]


def test_a_coverage_adds_sets(client_of, make_bundle, picture) -> None:
    sets = {"pictures": 2, "probabilities": [0.9, 0.000001]}
    bundle = {"colours": make_bundle(sets=sets)}

    def ask(**settings):
        client = client_of(bundle, **settings)
        return client.post("/predict", content=picture("red"), headers=BYTES).json()[0]

    sure, all_of_them, plain = ask(coverage=0.3), ask(coverage=0.6), ask()
    assert sure["labels"] == ["red"]
    assert all_of_them["labels"][0] == "red"
    assert "labels" not in plain
    with pytest.raises(ConfigError, match="does not know which sets hold the truth how often"):
        create_app({"colours": make_bundle("older")}, Settings(coverage=0.9))


def test_a_bundle_that_is_not_there_does_not_start(tmp_path) -> None:
    with pytest.raises(BundleError, match="does not exist"):
        create_app({"x": tmp_path / "x"})


def test_health_tells_of_drift(client_of, make_bundle, picture) -> None:
    client = client_of()
    files = [("files", ("p.png", picture(), "image/png"))] * 100
    told = client.get("/health").json()
    assert told["status"] == "ready"
    assert "Drift is watched from 200 pictures on" in told["models"]["colours"]["drift"]
    for _ in range(2):
        assert client.post("/predict", files=files).status_code == 200
    told = client.get("/health/ready").json()["models"]["colours"]["drift"]
    assert "unlike those it was tested on: confidence has a median of 1.00" in told
    assert 'silverprint_drift_index{measure="confidence",model="colours"}' in (
        client.get("/metrics").text
    )
    old = client_of({"colours": make_bundle("old")})
    assert "does not say what is usual" in old.get("/health").json()["models"]["colours"]["drift"]
