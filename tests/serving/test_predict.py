"""POST /predict: each way to send pictures, and each way to send something else."""

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from silverprint.runtime.bundle import read_bundle
from silverprint.runtime.predictor import Predictor

BYTES = {"content-type": "application/octet-stream"}


def files(*contents, field="files"):
    return [(field, (f"p{i}.png", content, "image/png")) for i, content in enumerate(contents)]


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def bomb(width: int, height: int) -> bytes:
    """Return a small PNG that says it is large."""

    def part(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 16))
    parts = part(b"IHDR", header) + part(b"IDAT", pixels) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


# ---- What is taken ----


def test_a_form_answers_as_the_bundle_does(client_of, make_bundle, picture) -> None:
    bundle = make_bundle()
    contents = [picture("red"), picture("green", "JPEG"), picture("blue", "WEBP", (31, 17))]
    response = client_of({"colours": bundle}).post("/predict", files=files(*contents))
    assert response.status_code == 200
    names = ["p0.png", "p1.png", "p2.png"]
    expected = Predictor(read_bundle(bundle)).predict(contents, names=names)
    assert response.json() == [answer.to_json() for answer in expected]
    assert [answer["label"] for answer in response.json()] == ["red", "green", "blue"]


@pytest.mark.parametrize("kind", ["application/octet-stream", "image/png", "IMAGE/JPEG; q=1", None])
def test_a_body_that_is_a_picture(client, picture, kind) -> None:
    headers = {} if kind is None else {"content-type": kind}
    response = client.post("/predict", content=picture("green"), headers=headers)
    [answer] = response.json()
    assert (response.status_code, answer["file"], answer["label"]) == (200, "picture 0", "green")


def test_base64_in_json(client, picture) -> None:
    images = [
        {"data": encoded(picture("blue")), "file": "b.png"},
        {"data": f"data:image/png;base64,{encoded(picture('red'))}"},
    ]
    answers = client.post("/predict", json={"images": images}).json()
    assert [(answer["file"], answer["label"]) for answer in answers] == [
        ("b.png", "blue"),
        ("picture 1", "red"),
    ]


def test_top(client, picture) -> None:
    for top in (1, 2, 50):
        [answer] = client.post(f"/predict?top={top}", content=picture(), headers=BYTES).json()
        assert len(answer["top"]) == min(top, 3)


def test_several_models_by_name(client_of, make_bundle, picture) -> None:
    other = make_bundle("other", classes=("a", "b", "c"))
    client = client_of({"colours": make_bundle(), "letters": other})
    answers = [
        client.post(f"/predict{query}", content=picture("green"), headers=BYTES).json()[0]["label"]
        for query in ("", "?model=colours", "?model=letters")
    ]
    assert answers == ["green", "green", "b"]
    response = client.post("/predict?model=leters", content=picture(), headers=BYTES)
    assert response.status_code == 404
    assert response.json()["detail"] == ("No model is called 'leters'. Did you mean 'letters'?")


@pytest.mark.parametrize("batch", [1, 4])
def test_many_pictures_of_mixed_sizes_keep_their_order(client_of, picture, batch) -> None:
    names = [("red", "green", "blue")[i % 3] for i in range(30)]
    contents = [picture(name, size=(20 + i % 2, 20)) for i, name in enumerate(names)]
    contents[7] = b"text, no picture"
    response = client_of(batch=batch, threads=2).post("/predict", files=files(*contents))
    found = [answer.get("label") for answer in response.json()]
    assert response.status_code == 200
    assert found == [*names[:7], None, *names[8:]]
    assert response.json()[7] == {
        "file": "p7.png",
        "error": "is not a picture: it starts like text ('text, no picture')",
    }


def test_multi_label(client_of, make_bundle, picture) -> None:
    client = client_of({"colours": make_bundle(task="multi-label")})
    [answer] = client.post("/predict", content=picture("green"), headers=BYTES).json()
    assert answer["label"] == "green"


def test_info(client_of) -> None:
    told = client_of(mode="spell", max_bytes=5000, max_pixels=4000).get("/info").json()
    assert told == {
        "models": [
            {
                "name": "colours",
                "classes": ["red", "green", "blue"],
                "task": "single-label",
                "mode": "spell",
                "limits": {"bytes": 5000, "pixels": 4000},
            }
        ]
    }


# ---- What is not ----


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        (b"", 422, "picture 0: is empty (0 bytes)"),
        (b"GIF89a", 422, "picture 0: is truncated"),
        (b"<html>", 415, "it starts like HTML"),
        (b"%PDF-1.4", 415, "is a PDF, which is not supported"),
        (bomb(30_000, 30_000), 413, "is 30000 x 30000 = 900,000,000 pixels, above the limit"),
        (bomb(100, 100)[:60], 422, "is truncated"),
    ],
    ids=["empty", "cut", "html", "pdf", "bomb", "cut png"],
)
def test_a_lone_bad_picture_says_why(client, content, status, says) -> None:
    response = client.post("/predict", content=content, headers=BYTES)
    told = response.json()
    assert response.status_code == status
    assert says in told["detail"]
    assert told["detail"] == f"picture 0: {told['answers'][0]['error']}"


def test_pictures_that_are_bad_in_different_ways(client) -> None:
    response = client.post("/predict", files=files(b"GIF89a", b"%PDF", bomb(30_000, 30_000)))
    assert response.status_code == 422
    assert len(response.json()["answers"]) == 3


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ({"files": files(b"x", field="file")}, 422, "no file in the field 'files'; it has file."),
        ({"files": [("files", (None, b"x"))]}, 422, "no file in the field 'files'; it has files."),
        ({"data": {"files": "x"}}, 415, "'application/x-www-form-urlencoded' is not taken; send"),
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415, "'text/plain'"),
        ({"json": {}}, 422, "images: Field required"),
        ({"json": {"images": []}}, 422, "images: List should have at least 1 item"),
        ({"json": {"images": [{"data": "?"}]}}, 422, "images[0].data is not base64"),
        ({"json": {"images": [{"data": "\u00e9"}]}}, 422, "images[0].data is not base64"),
        ({"json": {"images": [{"datum": ""}]}}, 422, "images.0.data: Field required"),
        ({"json": [1]}, 422, "Input should be an object"),
        ({"content": b"[" * 100_000, "headers": {"content-type": "application/json"}}, 422, "JSON"),
        ({"content": b"\xff", "headers": {"content-type": "application/json"}}, 422, "JSON"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 422, "No boundary"),
    ],
)
def test_content_that_is_not_taken_says_so(client, arguments, status, says) -> None:
    response = client.post("/predict", **arguments)
    assert response.status_code == status
    assert says in response.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/predict", 405, "/predict does not take GET"),
        ("GET", "/nothing", 404, "There is no /nothing here; /docs lists what there is."),
        ("POST", "/predict?top=0", 422, "query.top: Input should be greater than or equal to 1"),
        ("POST", "/predict?top=x", 422, "query.top: Input should be a valid integer"),
    ],
)
def test_requests_that_miss(client, method, path, status, says) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert says in response.json()["detail"]


def test_too_many_pictures(client_of, picture) -> None:
    response = client_of(queue=3).post(
        "/predict", json={"images": [{"data": encoded(picture())}] * 4}
    )
    assert response.status_code == 413
    assert response.json()["detail"] == "A request holds at most 3 pictures; got 4."
    response = client_of(queue=3).post("/predict", files=files(*[picture()] * 4))
    assert response.status_code == 413
    assert response.json()["detail"] == "A request holds at most 3 pictures; this has more."


def test_extreme_shapes_are_answered_or_refused(client) -> None:
    for size in ((1, 1), (1, 30_000), (30_000, 1), (4_000, 3_000)):
        buffer = io.BytesIO()
        Image.new("RGB", size, (5, 250, 5)).save(buffer, "PNG", compress_level=1)
        response = client.post("/predict", content=buffer.getvalue(), headers=BYTES)
        assert response.status_code == 200, size
        assert response.json()[0]["label"] == "green"


def test_a_model_that_fails_is_an_answer_too(client, picture, monkeypatch, caplog) -> None:
    def fail(_: np.ndarray) -> None:
        raise RuntimeError("no such kernel")

    served = client.app.state.serving.models.get(None)
    monkeypatch.setattr(served.predictor, "look", fail)
    response = client.post("/predict", content=picture(), headers=BYTES)
    assert response.status_code == 422
    assert "is 20 x 20 pixels, and the model fails on it" in response.json()["detail"]
    assert "no such kernel" in caplog.text


JUNK = st.binary(max_size=300)
HEADERS = st.sampled_from(
    ["multipart/form-data; boundary=b", "multipart/form-data", "application/json", "image/png",
     "application/json; charset=utf-16", "multipart/form-data; boundary="]
)  # fmt: skip
FORMS = JUNK.map(
    lambda junk: b'--b\r\nContent-Disposition: form-data; name="files"; filename="' + junk
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.one_of(JUNK, FORMS), kind=HEADERS)
def test_junk_is_refused_with_a_sentence(client, content, kind) -> None:
    response = client.post("/predict", content=content, headers={"content-type": kind})
    assert response.status_code in (413, 415, 422)
    assert response.json()["detail"].strip()
