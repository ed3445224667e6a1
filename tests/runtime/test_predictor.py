"""Predicting with a bundle, in this process and without torch."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from silverprint.errors import BundleError, ConfigError, ImageError
from silverprint.runtime.bundle import Bundle, read_bundle
from silverprint.runtime.predictor import Prediction, Predictor

RED, GREEN, BLUE = ((250, 5, 5), (5, 250, 5), (5, 5, 250))


def colour(*rgb: int, side: int = 20) -> np.ndarray:
    return np.full((side, side, 3), rgb, dtype=np.uint8)


@pytest.fixture
def predictor(make_bundle) -> Predictor:
    return Predictor(read_bundle(make_bundle()))


def test_paths_bytes_and_arrays(predictor, tmp_path) -> None:
    Image.fromarray(colour(*GREEN)).save(tmp_path / "green.png")
    buffer = io.BytesIO()
    Image.fromarray(colour(*BLUE)).save(buffer, "PNG")
    pictures = [
        colour(*RED),
        tmp_path / "green.png",
        str(tmp_path / "green.png"),
        buffer.getvalue(),
    ]
    answers = list(predictor.predict(pictures))
    assert [answer.label for answer in answers] == ["red", "green", "green", "blue"]
    green = str(tmp_path / "green.png")
    assert [answer.file for answer in answers] == ["picture 0", green, green, "picture 3"]
    for answer in answers:
        assert answer.error is None
        assert answer.probability == answer.top[0][1] > 0.99
        assert len(answer.top) == 3
        assert sum(value for _, value in answer.top) == pytest.approx(1, abs=1e-5)


def test_order_is_kept_and_names_are_taken(predictor) -> None:
    colours = [(RED, GREEN, BLUE)[i % 3] for i in range(70)]
    names = [f"n{i}" for i in range(len(colours))]
    answers = list(predictor.predict([colour(*rgb) for rgb in colours], names=names, top=1))
    assert [answer.file for answer in answers] == names
    assert [answer.label for answer in answers] == [
        ("red", "green", "blue")[i % 3] for i in range(len(colours))
    ]
    assert {len(answer.top) for answer in answers} == {1}


def test_an_unreadable_picture_answers_so_and_the_rest_goes_on(predictor, tmp_path) -> None:
    (tmp_path / "list.jpg").write_text("milk, eggs")
    answers = list(predictor.predict([colour(*RED), tmp_path / "list.jpg", tmp_path / "gone.jpg"]))
    assert answers[0].label == "red"
    assert "text" in answers[1].error
    assert answers[2].error == "does not exist; check the path"
    assert set(answers[1].to_json()) == {"file", "error"}


def test_a_batch_gives_what_its_pictures_give_alone(predictor) -> None:
    images = np.stack([colour(*rgb) for rgb in (RED, GREEN, (90, 100, 95))])
    together = predictor.probabilities(images)
    alone = np.concatenate([predictor.probabilities(image[None]) for image in images])
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_equal_probabilities_go_to_the_first_class(predictor) -> None:
    row = np.array([0.2, 0.4, 0.4], np.float32)
    answer = predictor.answer("a", row, top=2)
    assert answer.top == (("green", pytest.approx(0.4)), ("blue", pytest.approx(0.4)))


def test_multi_label_names_every_class_from_one_half_on(make_bundle) -> None:
    predictor = Predictor(read_bundle(make_bundle(task="multi-label")))
    yellow, black = predictor.predict([colour(250, 250, 5), colour(0, 0, 0)])
    assert yellow.label == "red|green"
    assert black.label == ""
    assert black.probability < 0.01
    assert predictor.answer("a", np.array([0.5, 0.1, 0.49], np.float32)).label == "red"


def told(accept: float) -> dict[str, object]:
    """Distances of known pictures: 0, 0.01, ..., 1."""
    return {"accept": accept, "distances": [step / 100 for step in range(101)]}


def test_too_far_is_unknown(make_bundle) -> None:
    bundle = read_bundle(make_bundle(distance=True, unknown=told(0.3)))
    red, olive = colour(*RED), colour(91, 90, 0)
    known, strange = Predictor(bundle).predict([red, olive])  # about 45 degrees from red and green
    assert (known.label, known.unknown) == ("red", False)
    assert "unknown" not in known.to_json()
    assert (strange.label, strange.unknown) == ("red", False)  # 0.289 is just near enough
    (strange,) = Predictor(bundle, accept=0.28).predict([olive])
    assert (strange.label, strange.unknown) == ("unknown", True)
    assert strange.to_json()["unknown"] is True
    assert [label for label, _ in strange.top] == ["red", "green", "blue"]
    (answered,) = Predictor(bundle, accept=1).predict([olive])
    assert not answered.unknown


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_larger_share_reaches_farther(one, other) -> None:
    bundle = Bundle(Path("b"), {"unknown": told(0.95)})
    assert bundle.farthest() == pytest.approx(0.95)
    assert bundle.farthest(one) == pytest.approx(one)
    assert (one < other) == (bundle.farthest(one) < bundle.farthest(other))
    assert bundle.farthest(1) == float("inf")


def test_a_share_that_cannot_be(make_bundle) -> None:
    older = read_bundle(make_bundle())
    assert older.farthest() == older.farthest(1) == float("inf")
    with pytest.raises(ConfigError, match="does not know which pictures are unknown to it; train"):
        Predictor(older, accept=0.9)
    for share in (0, -1, 1.01):
        with pytest.raises(ConfigError, match=rf"accept must lie within 0\.\.1, .*; got {share}"):
            Predictor(older, accept=share)


SETS = {"pictures": 4, "probabilities": [0.9, 0.6, 0.2, 0.1]}  # for 20, 40, 60 and 80 %


def test_a_set_holds_every_class_that_is_likely_enough(make_bundle) -> None:
    bundle = read_bundle(make_bundle(sets=SETS))
    row = np.array([0.2, 0.65, 0.15], np.float32)
    found = {
        share: Predictor(bundle, coverage=share).answer("a", row) for share in (0.2, 0.4, 0.6, 0.8)
    }
    assert [answer.labels for answer in found.values()] == [
        (), ("green",), ("green", "red"), ("green", "red", "blue"),
    ]  # fmt: skip
    assert {answer.label for answer in found.values()} == {"green"}
    assert found[0.6].to_json()["labels"] == ["green", "red"]
    assert found[0.2].to_json()["labels"] == []
    plain = Predictor(bundle).answer("a", row)
    assert plain.labels is None
    assert "labels" not in plain.to_json()


def test_an_unknown_picture_has_no_set(make_bundle) -> None:
    bundle = read_bundle(make_bundle(distance=True, unknown=told(0.1), sets=SETS))
    known, strange = Predictor(bundle, coverage=0.8).predict([colour(*RED), colour(91, 90, 0)])
    assert known.labels
    assert known.labels[0] == "red"
    assert (strange.label, strange.labels) == ("unknown", ())
    assert strange.to_json()["labels"] == []


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5, float("nan")])
def test_a_coverage_that_cannot_be(make_bundle, share) -> None:
    bundle = read_bundle(make_bundle(sets=SETS))
    with pytest.raises(ConfigError, match=r"coverage must lie within 0\.\.1, both excluded; got "):
        Predictor(bundle, coverage=share)


def test_a_coverage_that_is_not_known(make_bundle) -> None:
    few = read_bundle(make_bundle(sets=SETS))
    with pytest.raises(ConfigError, match=r"0\.81 is more than the 4 held-out .* ask for 0\.8 or"):
        Predictor(few, coverage=0.81)
    older = read_bundle(make_bundle(training={}))
    with pytest.raises(ConfigError, match=r"does not know which sets .*; train it again with"):
        Predictor(older, coverage=0.5)
    pretrained = read_bundle(make_bundle("pretrained"))
    with pytest.raises(ConfigError, match=r"does not know which sets .*; train one on pictures of"):
        Predictor(pretrained, coverage=0.5)
    several = read_bundle(make_bundle(task="multi-label", sets={}))
    with pytest.raises(
        ConfigError, match=r"is multi-label and names every class at 0\.5 and above"
    ):
        Predictor(several, coverage=0.5)


def test_json_is_plain_and_rounded() -> None:
    answer = Prediction("a.jpg", "red", 0.98765432109, (("red", 0.98765432109), ("blue", 0.01)))
    assert json.loads(json.dumps(answer.to_json())) == {
        "file": "a.jpg",
        "label": "red",
        "probability": 0.987654,
        "top": [["red", 0.987654], ["blue", 0.01]],
    }


def test_an_edited_list_of_classes_is_noticed(make_bundle) -> None:
    bundle = read_bundle(make_bundle())
    fewer = replace(bundle, manifest={**bundle.manifest, "classes": ["red", "green"]})
    with pytest.raises(BundleError, match=r"model.onnx tells 3 classes, but bundle.json names 2"):
        Predictor(fewer)


def test_decode_raises_what_predict_reports(predictor) -> None:
    with pytest.raises(ImageError, match=r"^upload: "):
        predictor.decode(b"nothing", name="upload")


def test_a_fresh_process_needs_no_training_library(make_bundle, tmp_path) -> None:
    folder = make_bundle(classes=("blue", "green"))  # its model tells red from green
    for name, rgb in {"blue": RED, "green": GREEN}.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(colour(*rgb, side=18 + i)).save(tmp_path / f"photos/{name}/{i}.png")
    code = """
import sys
from silverprint.cli.app import run
assert run(["predict", sys.argv[1], sys.argv[2] + "/blue/0.png", "--json"]) == 0
assert run(["evaluate", sys.argv[1], sys.argv[2], "--json", "-q"]) == 0
import silverprint as sp
assert sp.load(sys.argv[1]).predict(sys.argv[2] + "/green/0.png").label == "green"
heavy = {"torch", "torchvision", "timm", "onnx", "openvino", "sklearn"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(tmp_path / "photos")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    predicted, evaluated = (json.loads(line) for line in done.stdout.splitlines())
    assert predicted[0]["label"] == "blue"
    assert evaluated["metrics"]["accuracy"] == 1.0
    assert evaluated["metrics"]["n"] == 4
