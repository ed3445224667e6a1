"""explain: causes, neighbours and what layers hold, for every kind of bundle."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from silverprint.data.read import read
from silverprint.data.table import Dataset
from silverprint.errors import BackboneError, ConfigError, DataError
from silverprint.export.network import load_network, normalise, preprocessing_of
from silverprint.inspection.view import view
from silverprint.runtime.bundle import read_bundle
from silverprint.training.progress import Progress
from silverprint.workflows import neighbours
from silverprint.workflows.explain import ExplainSettings, explain_picture
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.summary import describe_bundle
from silverprint.workflows.train import train_bundle

QUIET = Progress(quiet=True)
QUICK = ExplainSettings(patch=32, neighbours=4)


def squares(many: bool = False, classes: int = 3) -> Dataset:
    """Return noise with a bright square: on the left, on the right, or (class 2) none."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % classes
    pixels = random.integers(0, 60, (60, 20, 20), dtype=np.uint8)
    for i, label in enumerate(labels):
        if label < 2:
            left = 2 + 10 * label
            pixels[i, 7:14, left : left + 6] = 230
    several = np.eye(classes, dtype=np.uint8)[labels]
    return Dataset(
        "squares", ("left", "right", "none")[:classes], list(pixels),
        [f"s[{i}]" for i in range(60)], several if many else labels, np.zeros(60, dtype=np.int8),
        "multi-label" if many else "single-label",
    )  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Three bundles from scratch: single-label, two classes, several labels."""
    root = tmp_path_factory.mktemp("small")
    made = {}
    for name, dataset in {
        "single": squares(), "binary": squares(classes=2), "several": squares(many=True),
    }.items():  # fmt: skip
        settings = TrainSettings.of(
            from_scratch=True, model="cnn", widths=(8, 16), epochs=6, augment="none", dropout=0.3,
            batch_size=8,
        )  # fmt: skip
        train_bundle(dataset, root / name, settings, QUIET)
        made[name] = read_bundle(root / name), dataset
    Image.fromarray(squares().sources[0]).save(root / "left.png")
    return made, root / "left.png"


def test_a_frozen_bundle(trained, tmp_path) -> None:
    bundle = read_bundle(trained.bundle)
    photo = trained.photos / "dog" / "0003.jpg"
    found = explain_picture(bundle, photo, tmp_path / "e", QUICK, QUIET, read(trained.photos))
    assert found.answer.label == "dog"
    (target,) = found.targets
    assert target.label == "dog"
    assert target.probability == pytest.approx(found.answer.probability)
    assert target.cam.shape == (2, 2)
    assert target.cam.max() > 0
    assert found.layer == "trunk.act"
    assert [one.label for one in found.neighbours] == ["dog"] * 4
    assert all("dog/0003.jpg" not in one.file for one in found.neighbours)
    assert found.notices == ["The picture itself is among the training pictures, and was left out."]
    for name in ("explanation.svg", "picture.png", "grad-cam-dog.png", "occlusion-dog.png"):
        assert (tmp_path / "e" / name).is_file()
    with Image.open(tmp_path / "e" / "nearest-4.png") as near:
        assert near.size == (40, 32)
    assert not (tmp_path / "e" / "inside.svg").exists()
    told = json.dumps(found.to_json(), allow_nan=False)
    assert '"grad_cam": [[' in told
    assert max(map(len, re.findall(r"[\d.]+", told.split("least_probability")[0]))) <= 8


def test_its_training_pictures_are_not_looked_at_again(trained, tmp_path, monkeypatch) -> None:
    bundle, dataset = read_bundle(trained.bundle), read(trained.photos)
    photo = trained.photos / "cat" / "0000.jpg"
    monkeypatch.setenv("SILVERPRINT_CACHE", str(trained.cache))
    looks = []
    plain = neighbours.look
    monkeypatch.setattr(
        neighbours, "look", lambda *a, **k: looks.append(plain(*a, **k)) or looks[-1]
    )
    explain_picture(bundle, photo, tmp_path / "e", replace(QUICK, occlusion=False), QUIET, dataset)
    assert [look.looked for look in looks] == [0]
    assert looks[0].engine == bundle.manifest["architecture"]["engine"]


def test_without_the_training_pictures_it_says_what_is_missing(trained, tmp_path) -> None:
    photo = trained.photos / "cat" / "0000.jpg"
    settings = replace(QUICK, classes=("emu", "dog"))
    found = explain_picture(read_bundle(trained.bundle), photo, tmp_path, settings, QUIET)
    assert not found.neighbours
    assert "give the training data with --pictures" in found.beside
    assert [target.label for target in found.targets] == ["emu", "dog"]
    assert "--pictures" in (tmp_path / "explanation.svg").read_text("utf-8")


def test_other_weights_than_those_in_the_cache_are_never_taken(
    trained, tmp_path, monkeypatch
) -> None:
    bundle, dataset = read_bundle(trained.bundle), read(trained.photos)
    network = load_network(bundle)
    assert neighbours._prepared_as_trained(bundle, network, QUIET) is not None
    with torch.no_grad():
        network.trunk.conv_head.weight.mul_(2)
    assert neighbours._prepared_as_trained(bundle, network, QUIET) is None

    def gone(*_) -> None:
        raise BackboneError("its package is not installed")

    monkeypatch.setattr(neighbours, "choose_backbone", gone)
    photo = trained.photos / "emu" / "0001.jpg"
    settings = replace(QUICK, occlusion=False)
    found = explain_picture(bundle, photo, tmp_path / "e", settings, QUIET, dataset)
    assert [one.label for one in found.neighbours] == ["emu"] * 4


def test_a_layer_of_a_frozen_network_comes_alone_unless_more_is_asked_for(
    trained, tmp_path
) -> None:
    bundle, photo = read_bundle(trained.bundle), trained.photos / "cat" / "0000.jpg"
    settings = replace(QUICK, occlusion=False, layers=("trunk.blocks.0.0",))
    explain_picture(bundle, photo, tmp_path / "a", settings, QUIET)
    drawn = (tmp_path / "a" / "inside.svg").read_text("utf-8")
    assert "Activations of trunk.blocks.0.0" in drawn
    assert "Batch norm" not in drawn
    explain_picture(bundle, photo, tmp_path / "b", replace(settings, inside=True), QUIET)
    drawn = (tmp_path / "b" / "inside.svg").read_text("utf-8")
    assert "What the first layer looks for" in drawn
    assert "on this picture alone" in drawn


@pytest.mark.slow
def test_a_fine_tuned_bundle(trained, tmp_path) -> None:
    dataset = read(trained.photos)
    settings = TrainSettings.of(size=64, finetune=True, finetune_epochs=1, unfreeze=1, epochs=2)
    train_bundle(dataset, tmp_path / "b", settings, QUIET)
    photo = trained.photos / "dog" / "0001.jpg"
    bundle = read_bundle(tmp_path / "b")
    found = explain_picture(bundle, photo, tmp_path / "e", QUICK, QUIET, dataset)
    network = describe_bundle(bundle)
    learned = {layer.name for layer in network.layers if layer.learning and layer.leaf}
    assert "trunk.conv_head" in learned
    assert "trunk.conv_stem" not in learned
    assert 1281 * 3 < network.learning < network.parameters
    assert found.targets[0].cam.max() > 0
    assert found.neighbours[0].label == "dog"


@pytest.mark.parametrize("kind", ["single", "binary", "several"])
def test_networks_from_scratch_say_where_the_square_is(small, tmp_path, kind) -> None:
    made, image = small
    bundle, dataset = made[kind]
    settings = replace(QUICK, patch=8, inside=False)
    found = explain_picture(bundle, image, tmp_path / "e", settings, QUIET, dataset)
    assert found.answer.label == "left"
    (target,) = found.targets
    middle = target.falls.shape[1] // 2
    left, right = target.falls[:, :middle].mean(), target.falls[:, middle:].mean()
    assert left > right
    assert target.least < target.probability
    # The array of the same pixels is in the training data, as no file of the same bytes.
    assert found.neighbours[0].file == "s[0]"
    assert found.neighbours[0].similarity == pytest.approx(1, abs=1e-4)


def test_the_network_is_left_as_it_was(small) -> None:
    made, image = small
    bundle, dataset = made["single"]
    network, preprocessing = load_network(bundle), preprocessing_of(bundle)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    pixels = normalise(
        torch.from_numpy(view(image, "a", preprocessing).pixels[None].copy()), preprocessing
    )
    neighbours.nearest(bundle, network, b"", pixels, dataset, 3, QUIET)
    assert not any(module.training for module in network.modules())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_inside_a_network_from_scratch(small, tmp_path) -> None:
    made, image = small
    bundle, dataset = made["single"]
    settings = replace(QUICK, occlusion=False, layers=("trunk.0.0", "head"))
    found = explain_picture(bundle, image, tmp_path, settings, QUIET, dataset)
    drawn = (tmp_path / "inside.svg").read_text("utf-8")
    for chapter in (
        "What the first layer looks for", "Activations of trunk.0.0", "Activations of head",
        "Max pooling, before and after", "Batch norm, before and after",
        "Dropout, before and after", "What dropout does to the answer",
    ):  # fmt: skip
        assert chapter in drawn
    assert "on 51 training pictures" in drawn or "on 60 training pictures" in drawn
    for name in ("filters", "layer-trunk-0-0", "pool-trunk-0-4-before", "dropout-after"):
        assert (tmp_path / f"{name}.png").is_file(), name
    assert found.files["filters"] == str(tmp_path / "filters.png")


def test_a_perceptron_has_no_map_and_is_explained_all_the_same(tmp_path) -> None:
    settings = TrainSettings.of(
        from_scratch=True, model="mlp", widths=(16,), epochs=4, augment="none"
    )
    train_bundle(squares(), tmp_path / "b", settings, QUIET)
    image = tmp_path / "right.png"
    Image.fromarray(squares().sources[1]).save(image)
    settings = replace(QUICK, patch=8)
    found = explain_picture(read_bundle(tmp_path / "b"), image, tmp_path / "e", settings, QUIET)
    assert found.layer is None
    assert found.targets[0].cam is None
    assert found.notices == ["The network has no feature map, so there is no Grad-CAM."]
    assert "16 filters of 20 × 20" in (tmp_path / "e" / "inside.svg").read_text("utf-8")


@pytest.mark.parametrize(("given", "message"), [
    ({"layers": ("trunk.0.9",)}, r"layer 'trunk\.0\.9' is not in this network\. Did you mean"),
    ({"cam_layer": "nothing"}, r"'nothing' is not in this network\. It has .*--layers lists"),
    ({"cam_layer": "head"}, r"layer 'head' gives no feature map .*--layers"),
    ({"classes": ("lefft",)}, r"class 'lefft' is not one of the bundle's\. Did you mean 'left'"),
    ({"patch": 0}, r"patch must lie within 1\.\.20 pixels; got 0\."),
    ({"patch": 21}, r"patch must lie within 1\.\.20 pixels; got 21\."),
])  # fmt: skip
def test_what_is_refused(small, tmp_path, given, message) -> None:
    made, image = small
    with pytest.raises(ConfigError, match=message):
        explain_picture(made["single"][0], image, tmp_path / "e", replace(QUICK, **given), QUIET)


def test_more_that_is_refused(small, tmp_path) -> None:
    made, image = small
    bundle, dataset = made["single"]
    for name, value in (("top", 0), ("neighbours", 101)):
        with pytest.raises(ConfigError, match=f"{name} must lie within"):
            ExplainSettings(**{name: value})
    test_only = replace(dataset, splits=np.full(60, 2, dtype=np.int8))
    with pytest.raises(DataError, match="squares has no training pictures; --pictures takes what"):
        explain_picture(bundle, image, tmp_path, replace(QUICK, patch=8), QUIET, test_only)


def test_a_picture_that_is_unknown_is_called_so(trained, tmp_path) -> None:
    bundle, photo = read_bundle(trained.bundle), trained.photos / "dog" / "0003.jpg"
    bundle.manifest["unknown"] = {"accept": 0.95, "distances": [-1e6, -1e6]}
    found = explain_picture(bundle, photo, tmp_path / "e", QUICK, QUIET)
    assert (found.answer.label, found.guess) == ("unknown", "dog")
    assert [one.label for one in found.targets] == ["dog"]
    assert found.to_json()["unknown"] is True
    assert ": unknown; likeliest dog, " in repr(found)
    assert "unknown; likeliest dog, " in (tmp_path / "e" / "explanation.svg").read_text()
