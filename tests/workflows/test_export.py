"""export: each format from a trained bundle, int8 judged, and nothing left where it is refused."""

import importlib
import json

import numpy as np
import onnx
import pytest

from silverprint.data.read import read
from silverprint.errors import ConfigError, DataError, ExportError, MissingExtraError
from silverprint.export import int8
from silverprint.export.web import RUNTIME
from silverprint.runtime.bundle import read_bundle
from silverprint.runtime.images import decode
from silverprint.training.progress import Progress
from silverprint.workflows import export as story
from silverprint.workflows.export import ExportSettings, export_bundle

QUIET = Progress(quiet=True)


def exported(trained, out, dataset=None, **settings):
    return export_bundle(
        read_bundle(trained.bundle), out, ExportSettings(**settings), dataset, QUIET
    )


@pytest.mark.parametrize("to", ["onnx", "torchscript", "openvino", "triton"])
def test_each_format_answers_as_the_bundle_does(to, trained, tmp_path) -> None:
    found = exported(trained, tmp_path / "out", read(trained.photos), to=to)
    assert found.parity.largest < 1e-3
    assert found.parity.same_label == 1
    assert (found.parity.pictures, found.parity.source) == (24, "photos")
    files = [file for file in [found.out, *found.out.rglob("*")] if file.is_file()]
    assert found.size == sum(file.stat().st_size for file in files) > 1_000_000
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]
    told = json.loads(json.dumps(found.to_json()))
    assert told["parity"]["largest_difference"] < 1e-3
    assert told["accuracy"] is None


def test_int8_is_judged_by_pictures_that_did_not_calibrate_it(
    trained, make_photos, tmp_path
) -> None:
    photos = read(
        make_photos(tmp_path / "p", {"cat": 6, "dog": 6, "emu": 6}, splits=("train", "test"))
    )
    found = exported(trained, tmp_path / "a.onnx", photos, to="onnx", int8=True)
    assert found.cost is not None
    assert (found.cost.split, found.cost.pictures) == ("test", 18)
    assert found.cost.before == 1
    assert found.cost.drop <= 0.01
    nodes = onnx.load(tmp_path / "a.onnx").graph.node
    kept = {node.output[0] for node in nodes if node.op_type == "DequantizeLinear"}
    convolutions = [node.input[1] in kept for node in nodes if node.op_type == "Conv"]
    assert convolutions == [False] * 7 + [True] * 42  # the first seventh stays f32
    assert "If" in {node.op_type for node in nodes}  # preprocessing is inside
    assert found.size < 0.5 * (trained.bundle / "model.onnx").stat().st_size
    assert 0 < found.parity.largest < 0.5


def test_int8_sets_pictures_aside_where_none_are(trained, tmp_path) -> None:
    found = exported(trained, tmp_path / "a", read(trained.photos), to="onnx", int8=True)
    assert found.cost is not None
    assert (found.cost.split, found.cost.pictures) == ("validation", 6)


def test_int8_of_int8_is_refused(trained, tmp_path) -> None:
    bundle = read_bundle(trained.bundle)
    bundle.manifest["architecture"]["engine"] = "openvino-int8"
    settings = ExportSettings("onnx", int8=True)
    with pytest.raises(ConfigError, match="holds an int8 network already; leave out --int8"):
        export_bundle(bundle, tmp_path / "a", settings, read(trained.photos), QUIET)


def test_int8_without_a_picture_to_calibrate_on(trained, make_photos, tmp_path) -> None:
    classes = {"cat": 2, "dog": 2, "emu": 2}
    photos = make_photos(tmp_path / "p", classes, splits=("train", "test"))
    for file in (photos / "train").rglob("*.jpg"):
        file.write_bytes(b"")
    with pytest.raises(DataError, match="no training picture can be read to calibrate int8 on"):
        exported(trained, tmp_path / "a", read(photos), to="onnx", int8=True)


@pytest.fixture
def spoiled(monkeypatch):
    """Let what is written answer otherwise on one picture: a probability is off by a half."""

    def spoil(module: str, opener: str, photo) -> None:
        place = importlib.import_module(f"silverprint.export.{module}")
        real, target = getattr(place, opener), decode(photo)

        def other(path):
            answer = real(path)
            return lambda images: answer(images) - np.float32(0.5) * (images[0] == target).all()

        monkeypatch.setattr(place, opener, other)

    return spoil


@pytest.mark.parametrize(("to", "module"), [("onnx", "onnx_file"), ("openvino", "openvino")])
def test_what_disagrees_is_refused_and_leaves_nothing(to, module, trained, tmp_path, spoiled):
    spoiled(module, f"open_{to}", trained.photos / "cat" / "0000.jpg")
    with pytest.raises(
        ExportError, match=r"disagrees with the bundle on cat/0000\.jpg: a probability .* by 0\.50"
    ):
        exported(trained, tmp_path / "out", read(trained.photos), to=to)
    assert list(tmp_path.iterdir()) == []


def test_int8_that_costs_too_much_is_refused_and_leaves_nothing(
    trained, make_photos, tmp_path, monkeypatch
) -> None:
    def ruin(graph, made, *_) -> None:
        model = onnx.load(graph)
        for tensor in model.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            if values.dtype == np.float32 and values.ndim == 4:
                tensor.CopyFrom(onnx.numpy_helper.from_array(values * 0, tensor.name))
        onnx.save(model, made)

    monkeypatch.setattr(int8, "quantise_graph", ruin)
    photos = make_photos(tmp_path / "p", {"cat": 3, "dog": 3, "emu": 3}, splits=("train", "test"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        ExportError,
        match=r"from 1\.0000 to 0\.3333 on 9 test pictures, by more than --max-drop 0\.5",
    ):
        exported(
            trained, tmp_path / "empty" / "a", read(photos), to="onnx", int8=True, max_drop=0.5
        )
    assert list((tmp_path / "empty").iterdir()) == []
    exported(trained, tmp_path / "empty" / "a", read(photos), to="onnx", int8=True, max_drop=0.7)


def test_pictures_of_other_classes_cannot_judge(trained, make_photos, tmp_path) -> None:
    photos = read(make_photos(tmp_path / "p", {"cat": 3, "yak": 3}))
    with pytest.raises(DataError, match="classes that the bundle does not know: yak"):
        exported(trained, tmp_path / "a.onnx", photos, to="onnx", int8=True)
    assert not (tmp_path / "a.onnx").exists()
    exported(trained, tmp_path / "a.onnx", photos, to="onnx")  # comparing needs no labels


def test_a_package_that_is_missing(trained, tmp_path, monkeypatch) -> None:
    def lacking(*_args, **_settings):
        raise ModuleNotFoundError("No module named 'openvino'", name="openvino")

    monkeypatch.setattr(story, "write_format", lacking)
    with pytest.raises(MissingExtraError, match=r"--to openvino needs more .*silverprint\[train\]"):
        exported(trained, tmp_path / "out", to="openvino")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("settings", "message"), [
    ({"to": "openvno"}, r"got 'openvno'\. Did you mean 'openvino'\?"),
    ({"to": "openvino", "int8": True}, "--int8 is for --to onnx; --to openvino keeps the bundle's"),
    ({"to": "onnx", "int8": True}, "calibrated and judged on pictures; give --pictures DATA"),
    ({"to": "onnx", "max_drop": -0.1}, r"--max-drop is a share from 0 to 1; got -0\.1"),
    ({"to": "onnx", "max_drop": float("nan")}, "got nan"),
    ({"to": "onnx", "mode": "spell"}, "--runtime and --mode are for --to web, not --to onnx"),
    ({"to": "triton", "runtime": "x"}, "--runtime and --mode are for --to web"),
])  # fmt: skip
def test_settings_that_do_not_fit(settings, message, trained, tmp_path) -> None:
    with pytest.raises(ConfigError, match=message):
        exported(trained, tmp_path / "out", **settings)
    assert list(tmp_path.iterdir()) == []


def test_the_web_page_is_compared_too(trained, tmp_path) -> None:
    dist = tmp_path / "dist"
    dist.mkdir()
    for name in RUNTIME:
        (dist / name).write_bytes(b"x")
    found = exported(trained, tmp_path / "site", to="web", runtime=str(dist))
    assert found.parity.largest == 0
    assert (tmp_path / "site" / "index.html").is_file()
