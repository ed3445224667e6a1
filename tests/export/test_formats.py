"""ONNX, OpenVINO and Triton: what is written, and that it answers."""

import json

import numpy as np
import onnx
import openvino
import pytest

from silverprint.errors import ConfigError
from silverprint.export.formats import check_format, write_format
from silverprint.export.graph import with_one_opset
from silverprint.export.openvino import open_openvino, without_resize_operator, write_openvino
from silverprint.export.parity import compare, photos
from silverprint.export.triton import config, name_of
from silverprint.runtime.bundle import read_bundle
from silverprint.runtime.predictor import Predictor

UNKNOWN = {"accept": 0.95, "distances": [number / 100 for number in range(101)]}


def metadata(path) -> dict[str, str]:
    return {prop.key: prop.value for prop in onnx.load(path).metadata_props}


@pytest.mark.parametrize("to", ["onnx", "openvino", "triton"])
@pytest.mark.parametrize("distance", [False, True])
def test_the_file_answers_as_the_bundle_does(to, distance, make_bundle, tmp_path) -> None:
    bundle = read_bundle(make_bundle(distance=distance))
    answer = write_format(to, bundle, tmp_path / "out")
    found = compare(Predictor(bundle).probabilities, answer, photos(16), "photos")
    assert found.largest < 1e-3
    assert found.same_label == 1


def test_the_onnx_file_says_what_its_answers_mean(make_bundle, tmp_path) -> None:
    reference = {"pictures": 3, "distance": [0.1, 0.2]}
    bundle = read_bundle(make_bundle(
        classes=["röd", "grön"], name="colours", reference=reference,
        calibration={"temperature": 2},
    ))  # fmt: skip
    write_format("onnx", bundle, tmp_path / "a.onnx")
    said = metadata(tmp_path / "a.onnx")
    assert json.loads(said["classes"]) == ["röd", "grön"]
    assert said["task"] == "single-label"
    assert json.loads(said["thresholds"]) == {}
    assert json.loads(said["reference"]) == reference
    assert json.loads(said["calibration"]) == {"temperature": 2}
    write_format("onnx", read_bundle(make_bundle("b", task="multi-label")), tmp_path / "b.onnx")
    assert json.loads(metadata(tmp_path / "b.onnx")["thresholds"]) == {"label": 0.5}
    known = read_bundle(make_bundle("c", distance=True, unknown=UNKNOWN))
    write_format("onnx", known, tmp_path / "c.onnx")
    assert json.loads(metadata(tmp_path / "c.onnx")["thresholds"]) == pytest.approx(
        {"distance": 0.95}
    )


def test_operator_sets_are_named_once(make_bundle) -> None:
    model = onnx.load(read_bundle(make_bundle()).model)
    assert [entry.domain for entry in model.opset_import] == [""]
    model.opset_import.append(model.opset_import[0])
    assert [entry.domain for entry in with_one_opset(model).opset_import] == [""]


def test_openvino_resizes_large_pictures_as_the_bundle_does(make_bundle, tmp_path) -> None:
    bundle = read_bundle(make_bundle())
    write_openvino(bundle, tmp_path / "ir")
    assert not without_nodes(tmp_path / "ir")
    image = np.random.default_rng(0).integers(0, 256, (1, 1500, 1500, 3), dtype=np.uint8)
    image[:, :, :, 1] //= 2
    expected = Predictor(bundle).probabilities(image)
    np.testing.assert_allclose(open_openvino(tmp_path / "ir")(image), expected, atol=0.02)


def without_nodes(folder) -> set[str]:
    """Return the kinds of nodes that must not be in the IR."""
    model = openvino.Core().read_model(folder / "model.xml")
    return {node.get_type_name() for node in model.get_ops()} & {"If", "Interpolate"}


def test_openvino_says_what_it_is(make_bundle, tmp_path) -> None:
    bundle = read_bundle(make_bundle(classes=["a b", "c\nd"]))
    write_openvino(bundle, tmp_path / "ir")
    assert {file.name for file in (tmp_path / "ir").iterdir()} == {
        "model.xml", "model.bin", "labels.txt"
    }  # fmt: skip
    assert (tmp_path / "ir" / "labels.txt").read_text() == "a b\nc d\n"
    model = openvino.Core().read_model(tmp_path / "ir" / "model.xml")
    assert json.loads(model.get_rt_info(["silverprint", "classes"]).value) == ["a b", "c\nd"]


def test_a_model_without_the_choice_is_valid(make_bundle) -> None:
    model = without_resize_operator(onnx.load(read_bundle(make_bundle()).model))
    assert not {"If", "Resize"} & {node.op_type for node in model.graph.node}


def test_the_repository(make_bundle, tmp_path) -> None:
    bundle = read_bundle(make_bundle(distance=True, name="Kleider & Hüte"))
    write_format("triton", bundle, tmp_path / "models")
    folder = tmp_path / "models" / "Kleider_H_te"
    files = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
    assert files == {"config.pbtxt", "labels.txt", "1/model.onnx"}
    assert (folder / "labels.txt").read_text() == "red\ngreen\nblue\n"
    assert "distance" in config(bundle)
    assert "distance" not in config(read_bundle(make_bundle("plain")))


@pytest.mark.parametrize(("name", "expected"), [
    ("clothing", "clothing"), ("a/b c", "a_b_c"), ("../x", "x"), ("猫", "model"), ("", "b"),
])  # fmt: skip
def test_names_are_safe(name, expected, make_bundle) -> None:
    bundle = read_bundle(make_bundle("b"))
    bundle.manifest["name"] = name
    assert name_of(bundle) == expected


def test_the_configuration_is_what_triton_reads(make_bundle) -> None:
    model_config = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    from google.protobuf import text_format

    read = text_format.Parse(
        config(read_bundle(make_bundle(distance=True))), model_config.ModelConfig()
    )
    assert read.name == "bundle"
    assert [list(given.dims) for given in read.input] == [[-1, -1, 3]]
    assert [list(told.dims) for told in read.output] == [[3], [1]]
    assert read.output[0].label_filename == "labels.txt"
    assert read.HasField("dynamic_batching")


@pytest.mark.parametrize(("to", "out", "message"), [
    ("onxx", "a", r"--to must be one of onnx, .*; got 'onxx'\. Did you mean 'onnx'\?"),
    ("openvino", "a.xml", r"--to openvino writes a folder, but --out a\.xml is a file's name"),
    ("triton", "a.onnx", r"--to triton writes a folder"),
])  # fmt: skip
def test_what_cannot_be_written(to, out, message, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        check_format(to, tmp_path.__class__(out))


@pytest.mark.parametrize("to", ["torchscript", "openvino"])
def test_an_int8_bundle_is_refused_where_its_answers_would_change(to, make_bundle, tmp_path):
    bundle = read_bundle(make_bundle(architecture={"engine": "openvino-int8"}))
    with pytest.raises(ConfigError, match="holds an int8 network, and only ONNX Runtime computes"):
        write_format(to, bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    write_format("onnx", bundle, tmp_path / "out")
