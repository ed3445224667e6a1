"""The labelling server: who is let in, what is written, what is refused."""

import io
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from silverprint.errors import ConfigError
from silverprint.serving.labelling import BODY, Offered, Session, create_app

HOST = "127.0.0.1:8001"
OWN = {"host": HOST, "origin": f"http://{HOST}"}


class Labels:
    """Remembers what it is told, unless the disk is full."""

    def __init__(self) -> None:
        self.kept: dict[Path, str] = {}
        self.full = False

    def put(self, picture: Path, label: str) -> None:
        if self.full:
            raise ConfigError("labels.csv cannot be written: no space left on device.")
        self.kept[picture] = label

    def remove(self, picture: Path) -> None:
        self.kept.pop(picture, None)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    offered = []
    for number, size in enumerate([(400, 200), (30, 20), (5, 5)]):
        path = tmp_path / f"{number}.png"
        pixels = np.full((size[1], size[0], 3), 40 * number, np.uint8)
        Image.fromarray(pixels).save(path)
        offered.append(Offered(path.name, path, (("cat", 0.61234), ("dog", 0.38766))))
    (tmp_path / "2.png").write_bytes(b"no picture")
    return Session(offered, ["cat", "dog"], Labels(), "labels.csv", lambda: ("train it", ""))


@pytest.fixture
def client(session):
    with TestClient(create_app(session, [HOST, "localhost:8001"]), headers=OWN) as made:
        yield made


def test_labels_are_given_and_taken_back(client, session) -> None:
    labels, (first, second, _) = session.labels, (one.source for one in session.pictures)
    state = client.get("/session").json()
    assert state["pictures"][0] == {"name": "0.png", "guesses": [["cat", 0.6123], ["dog", 0.3877]]}
    assert (state["classes"], state["given"], state["command"]) == (["cat", "dog"], [], "train it")
    at = f"/labels/{session.key}"
    assert client.put(f"{at}/1", json={"label": "dog"}).json() == {"label": "dog"}
    assert client.put(f"{at}/0", json={"label": " CAT\n"}).json() == {"label": "cat"}
    assert labels.kept == {second: "dog", first: "cat"}
    assert client.put(f"{at}/1", json={"label": "emu  bird"}).json() == {"label": "emu bird"}
    state = client.get("/session").json()
    assert state["given"] == [[0, "cat"], [1, "emu bird"]]
    assert state["classes"] == ["cat", "dog", "emu bird"]
    assert client.delete(f"{at}/1").json() == {"label": None}
    assert labels.kept == {first: "cat"}
    assert client.get("/session").json()["given"] == [[0, "cat"]]


def test_a_label_that_is_not_written_is_not_given(client, session) -> None:
    session.labels.full = True
    response = client.put(f"/labels/{session.key}/0", json={"label": "emu"})
    assert response.status_code == 409
    assert response.json()["detail"].endswith("cannot be written: no space left on device.")
    state = client.get("/session").json()
    assert (state["given"], state["classes"]) == ([], ["cat", "dog"])


def test_pictures_are_sent_as_large_as_they_are_shown(client, session) -> None:
    at = f"/pictures/{session.key}"
    small = client.get(f"{at}/0/small")
    assert Image.open(io.BytesIO(small.content)).size == (160, 80)
    assert small.headers["cross-origin-resource-policy"] == "same-origin"
    assert Image.open(io.BytesIO(client.get(f"{at}/0/large").content)).size == (400, 200)
    broken = client.get(f"{at}/2/large")
    assert (broken.status_code, "2.png" in broken.json()["detail"]) == (404, True)
    assert client.get(f"{at}/3/large").status_code == 404
    assert client.get(f"{at}/-1/large").status_code == 404
    assert client.get(f"{at}/0/huge").status_code == 404


def test_the_page_is_ours_and_asks_nobody_else(client) -> None:
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for part in ("label.js", "label.css", "page.css", "icon.svg"):
        assert f"page/{part}" in page.text
        assert client.get(f"/page/{part}").status_code == 200
    assert client.get("/page/..%2Flabelling.py").status_code == 404
    assert client.get("/docs").status_code == 404
    assert client.get("/openapi.json").status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8001", "127.0.0.1:80", ""])
def test_only_this_computer_is_called(client, session, host) -> None:
    """A site whose name points here reads nothing."""
    for path in ("/", "/session", f"/pictures/{session.key}/0/small"):
        response = client.get(path, headers={"host": host})
        assert response.status_code == 403
        assert response.json()["detail"].startswith("This page is at 127.0.0.1:8001, not at")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "", "http://127.0.0.1:8002", "http://localhost:8001"]
)
def test_other_sites_change_nothing(client, session, origin) -> None:
    for method in ("PUT", "DELETE", "POST"):
        response = client.request(
            method, f"/labels/{session.key}/0", json={"label": "dog"}, headers={"origin": origin}
        )
        assert response.status_code == 403
        assert response.json()["detail"] == "Labels are taken from this server's own page only."
    assert session.labels.kept == {}


def test_the_page_of_an_earlier_run_changes_nothing(client, session) -> None:
    response = client.put("/labels/earlier/0", json={"label": "dog"})
    assert response.status_code == 410
    assert response.json()["detail"] == "This page is of an earlier run; reload it."
    assert client.delete("/labels/earlier/0").status_code == 410
    assert client.get("/pictures/earlier/0/small").status_code == 410
    assert session.labels.kept == {}


def test_odd_requests(client, session) -> None:
    at = f"/labels/{session.key}/0"
    long = client.put(at, json={"label": "x" * BODY})
    assert (long.status_code, long.json()["detail"][:30]) == (413, "A request here has at most 4,0")
    assert client.put(at, content=iter([b'{"label": "dog"}'])).status_code == 413
    assert client.put(at, json={"label": 3}).status_code == 422
    assert client.put(at, content=b"{").status_code == 422
    assert client.put(f"/labels/{session.key}/x", json={"label": "dog"}).status_code == 422
    assert client.put(f"/labels/{session.key}/9", json={"label": "dog"}).status_code == 404
    assert session.labels.kept == {}
