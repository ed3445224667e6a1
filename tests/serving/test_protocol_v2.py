"""The open inference protocol: metadata, JSON tensors, and the binary extension."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from silverprint.runtime.bundle import read_bundle
from silverprint.runtime.predictor import Predictor

INFER = "/v2/models/colours/infer"
LENGTH = "inference-header-content-length"


def images(*colours, side=20) -> np.ndarray:
    return np.stack([np.full((side, side, 3), colour, np.uint8) for colour in colours])


GREEN_AND_BLUE = images((5, 250, 5), (5, 5, 250))


def described(array: np.ndarray, **more):
    return {"name": "images", "datatype": "UINT8", "shape": list(array.shape), **more}


def binary(array: np.ndarray, **more) -> tuple[bytes, dict[str, str]]:
    tensor = described(array, parameters={"binary_data_size": array.size})
    header = json.dumps({"inputs": [tensor], **more}).encode()
    return header + array.tobytes(), {LENGTH: str(len(header))}


def test_metadata(client) -> None:
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/colours/ready").json()["ready"] is True
    told = client.get("/v2/models/colours").json()
    assert told == client.get("/v2/models/colours/versions/1").json()
    assert told["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}]
    assert told["outputs"] == [
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]},
        {"name": "distance", "datatype": "FP32", "shape": [-1]},
    ]


@pytest.mark.parametrize("flat", [True, False])
def test_json_tensors(client_of, make_bundle, flat) -> None:
    bundle = make_bundle(distance=True)
    data = (GREEN_AND_BLUE.ravel() if flat else GREEN_AND_BLUE).tolist()
    body = {"id": "7", "inputs": [described(GREEN_AND_BLUE, data=data)]}
    told = client_of({"colours": bundle}).post(INFER, json=body).json()
    assert (told["id"], told["model_name"], told["model_version"]) == ("7", "colours", "1")
    expected, distances = Predictor(read_bundle(bundle)).look(GREEN_AND_BLUE)
    probabilities, distance = told["outputs"]
    assert probabilities["shape"] == [2, 3]
    np.testing.assert_array_equal(np.float32(probabilities["data"]), expected.ravel())
    np.testing.assert_array_equal(np.float32(distance["data"]), distances)


def test_binary_tensors(client) -> None:
    body, headers = binary(GREEN_AND_BLUE, parameters={"binary_data_output": True})
    response = client.post(INFER, content=body, headers=headers)
    assert response.status_code == 200
    cut = int(response.headers[LENGTH])
    outputs = json.loads(response.content[:cut])["outputs"]
    assert [output["parameters"]["binary_data_size"] for output in outputs] == [24, 8]
    probabilities = np.frombuffer(response.content[cut : cut + 24], "<f4").reshape(2, 3)
    assert probabilities.argmax(1).tolist() == [1, 2]


def test_outputs_are_chosen(client) -> None:
    asked = [{"name": "distance"}, {"name": "probabilities", "parameters": {"binary_data": True}}]
    body, headers = binary(GREEN_AND_BLUE, outputs=asked)
    response = client.post(INFER, content=body, headers=headers)
    outputs = json.loads(response.content[: int(response.headers[LENGTH])])["outputs"]
    assert [output["name"] for output in outputs] == ["distance", "probabilities"]
    assert "data" in outputs[0]
    assert "data" not in outputs[1]


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        (
            {"name": "image"},
            422,
            "The input must be named 'images' with datatype UINT8; got 'image'",
        ),
        ({"datatype": "FP32"}, 422, "got 'images' with 'FP32'"),
        ({"shape": [2, 20, 20]}, 422, "The shape must be [n, height, width, 3]; got [2, 20, 20]."),
        ({"shape": [0, 20, 20, 3]}, 422, "The shape must be"),
        ({"shape": [2, 20, 20, True]}, 422, "The shape must be"),
        ({"shape": [1, 20, 20, 3]}, 422, "Shape [1, 20, 20, 3] needs 1,200 values; got 2,400."),
        ({"shape": [10**30, 20, 20, 3]}, 422, "values; got 2,400."),
        ({"shape": [1, 30_000, 30_000, 3]}, 413, "30000 x 30000 pixels is above the limit"),
        ({"data": [256] * 2400}, 422, "data must be whole numbers from 0 to 255"),
        ({"data": [0.5] * 2400}, 422, "data must be whole numbers"),
        ({"data": [[1], [1, 2]]}, 422, "data must be whole numbers"),
        ({"data": [10**40] * 2400}, 422, "data must be whole numbers"),
        ({"data": None}, 422, "data must be whole numbers"),
        ({"parameters": {"binary_data_size": 7}}, 422, "is not the 0 bytes that follow the JSON"),
    ],
)
def test_wrong_tensors_say_so(client, change, status, says) -> None:
    tensor = {**described(GREEN_AND_BLUE, data=GREEN_AND_BLUE.ravel().tolist()), **change}
    response = client.post(INFER, json={"inputs": [tensor]})
    assert response.status_code == status
    assert says in response.json()["error"]


@pytest.mark.parametrize(
    ("path", "content", "headers", "status", "says"),
    [
        (INFER, b"{", {}, 422, "The body is not JSON"),
        (INFER, b"[" * 100_000, {}, 422, "The body is not JSON"),
        (INFER, b"[]", {}, 422, "inputs must be a list of one tensor, 'images'."),
        (INFER, b'{"inputs": [1]}', {}, 422, "inputs must be a list of one tensor"),
        (INFER, b"{}", {LENGTH: "1"}, 422, "The first 1 bytes are not JSON"),
        (INFER, b"{}", {LENGTH: "3"}, 422, "must be the number of bytes of JSON"),
        (INFER, b"{}", {LENGTH: "x"}, 422, "must be the number of bytes of JSON"),
        (INFER, b"{}", {"content-encoding": "gzip"}, 415, "Content-Encoding 'gzip' is not taken"),
        ("/v2/models/color/infer", b"{}", {}, 404, "No model is called 'color'. Did you mean"),
        ("/v2/models/colours/versions/2/infer", b"{}", {}, 404, "has version 1 alone; got '2'."),
    ],
)
def test_wrong_requests_say_so(client, path, content, headers, status, says) -> None:
    response = client.post(path, content=content, headers=headers)
    assert response.status_code == status
    assert says in response.json()["error"]


def test_unknown_outputs_say_so(client) -> None:
    for asked in ([{"name": "logits"}], [{"name": ["distance"]}], "all", [7]):
        body, headers = binary(GREEN_AND_BLUE, outputs=asked)
        response = client.post(INFER, content=body, headers=headers)
        assert response.status_code == 422
        assert "outputs must name some of probabilities, distance." in response.json()["error"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "shape", "data", "datatype", "parameters"]), inner
        )
    ),
    max_leaves=12,
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(VALUES, VALUES, VALUES)
def test_junk_is_refused_with_a_sentence(client, inputs, data, outputs) -> None:
    tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": data}
    for body in (
        {"inputs": inputs},
        {"inputs": [tensor], "outputs": outputs},
        {"inputs": [inputs]},
    ):
        response = client.post(INFER, json=body)
        assert response.status_code == 422
        assert response.json()["error"].strip()
