"""`import silverprint as sp`: what a trained model tells of itself, why it answers, its exports."""

import json
import math

import numpy as np
import pytest
from PIL import Image

import silverprint as sp
from silverprint.backbones.look import Look
from silverprint.models.stacked_heads import HeadConfig
from silverprint.recipes.heads import FittedHead
from silverprint.runtime.preprocessing import Preprocessing
from silverprint.workflows.run import Training
from silverprint.workflows.settings import TrainSettings

QUICK = {"occlusion": False, "quiet": True}


def test_curves_of_a_head_and_of_a_network(trained, tmp_path) -> None:
    head = sp.train(trained.photos, tmp_path / "head", size=64, quiet=True, hidden_size=4, epochs=3)
    assert set(head.curves) == {"training loss", "validation loss", "validation accuracy"}
    assert {len(values) for values in head.curves.values()} == {3}
    network = sp.train(
        sp.read("digits").take(np.arange(0, 1797, 8)), tmp_path / "network", quiet=True,
        from_scratch=True, model="mlp", widths=8, epochs=2,
    )  # fmt: skip
    assert len(network.curves["training accuracy"]) == 2
    assert sp.load(tmp_path / "network").curves == network.curves


def test_an_exact_head_has_no_curves(trained, tmp_path) -> None:
    model = sp.train(trained.photos, tmp_path / "exact", size=64, quiet=True, hidden_size=0)
    assert model.curves == {}


def test_curves_of_a_head_that_diverged_after_its_best_epoch(trained) -> None:
    curves = {"validation loss": [0.5, math.inf, math.nan]}
    photos, seen = sp.read(trained.photos), Look("torch", np.arange(0), [], [])
    run = Training(photos, TrainSettings(), Preprocessing(64), seen)
    run.fitted = [FittedHead(HeadConfig(), None, 0.5, 0.9, 1, curves)]
    model = sp.load(trained.bundle)
    model.bundle.manifest["training"] = json.loads(json.dumps(run.learned(), allow_nan=False))
    first, *rest = model.curves["validation loss"]
    assert first == 0.5
    assert all(map(math.isnan, rest))


def test_an_explanation_from_python(trained, tmp_path) -> None:
    model = sp.load(trained.bundle)
    photo = trained.photos / "cat" / "0001.jpg"
    found = model.explain(photo, tmp_path / "why", pictures=trained.photos, neighbours=3, **QUICK)
    assert found.answer.label == model.predict(photo).label == "cat"
    assert [one.label for one in found.neighbours] == ["cat"] * 3
    assert found.targets[0].overlay.ndim == 2
    assert "array" not in repr(found.targets)
    told = f"<Explanation of '{photo}': cat, {100 * found.answer.probability:.1f} %; figure '"
    assert repr(found) == f"{told}{tmp_path / 'why' / 'explanation.svg'}'>"
    assert found._repr_svg_() == (tmp_path / "why" / "explanation.svg").read_text("utf-8")
    found = model.explain(str(photo), tmp_path / "why", classes="dog", top=np.int64(1), **QUICK)
    assert [one.label for one in found.targets] == ["dog"]
    assert len(found.answer.top) == 1


def test_a_picture_in_memory_is_explained_too(trained, tmp_path) -> None:
    model, photos = sp.load(trained.bundle), sp.read(trained.photos)
    photo = trained.photos / "dog" / "0001.jpg"
    from_bytes = model.explain(photo.read_bytes(), tmp_path, pictures=photos, **QUICK)
    assert "The picture itself is among the training pictures, and was left out." in (
        from_bytes.notices
    )
    from_array = model.explain(np.asarray(Image.open(photo)), tmp_path, pictures=photos, **QUICK)
    assert from_array.answer.file == "picture"
    assert from_array.neighbours[0].similarity > 0.99


@pytest.mark.parametrize(("given", "message"), [
    ({"tops": 3}, "setting 'tops' is unknown. Did you mean 'top'"),
    ({"top": "3"}, r"top must lie within 1\.\.1000; got '3'"),
    ({"neighbours": -1}, r"neighbours must lie within 0\.\.100; got -1"),
    ({"classes": ["cta"]}, "class 'cta' is not one of the bundle's. Did you mean 'cat'"),
    ({"layers": "nothing"}, "layer 'nothing' is not in this network"),
    ({"inside": "yes"}, "inside must be one of none, true, false; got 'yes'"),
    ({"occlusion": True, "patch": "a"}, r"patch must lie within 1\.\.64 pixels; got 'a'"),
])  # fmt: skip
def test_what_explain_refuses(trained, tmp_path, given, message) -> None:
    model = sp.load(trained.bundle)
    with pytest.raises(sp.ConfigError, match=message):
        model.explain(trained.photos / "cat/0001.jpg", tmp_path, **{**QUICK, **given})


def test_explain_refuses_what_is_no_picture(trained, tmp_path) -> None:
    with pytest.raises(sp.ImageError, match=r"gone\.jpg: does not exist; check the path"):
        sp.load(trained.bundle).explain(tmp_path / "gone.jpg", tmp_path / "why")
    assert not (tmp_path / "why").exists()


def test_an_export_from_python(trained, tmp_path) -> None:
    model = sp.load(trained.bundle)
    made = model.export("onnx", tmp_path / "m.onnx", pictures=trained.photos, quiet=True)
    assert made.out.stat().st_size == made.size
    assert made.parity.largest < 0.01
    with pytest.raises(sp.ConfigError, match="onnxx"):
        model.export("onnxx", tmp_path / "n.onnx")
    with pytest.raises(sp.ConfigError, match=r"setting 'int9' is unknown\. Did you mean 'int8'"):
        model.export("onnx", tmp_path / "n.onnx", int9=True)
    assert not (tmp_path / "n.onnx").exists()
