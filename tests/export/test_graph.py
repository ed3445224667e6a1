"""The file that ships against its parts and against plain numpy."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from silverprint.backbones.graphs import preprocess_graph
from silverprint.backbones.prepare import PreparedBackbone, prepare_backbone
from silverprint.backbones.registry import choose_backbone
from silverprint.export.graph import head_graph, head_of, join, metadata_of
from silverprint.models.head import Head
from silverprint.runtime.preprocessing import Preprocessing
from silverprint.training.metrics import sigmoid, softmax
from silverprint.training.reference import Familiar, distances_of, energies_of

TEMPERATURE = 1.7
CLASSES = ("ant", "bee", "Löwe")


@pytest.fixture(scope="session")
def lite0(tmp_path_factory: pytest.TempPathFactory) -> PreparedBackbone:
    cache = tmp_path_factory.getbasetemp() / "prepared"
    return prepare_backbone(choose_backbone(), cache, 64, notify=lambda _: None)


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def made_head(outputs: int, hidden: int = 0, inputs: int = 1280) -> Head:
    random = np.random.default_rng(0)

    def array(*shape: int) -> np.ndarray:
        return (random.normal(0, 1, shape) / np.sqrt(shape[-1])).astype(np.float32)

    if hidden:
        return Head(array(outputs, hidden), array(outputs), array(hidden, inputs), array(hidden))
    return Head(array(outputs, inputs), array(outputs))


def by_numpy(head: Head, link: str, features: np.ndarray) -> np.ndarray:
    logits = head.logits(features) / TEMPERATURE
    if link == "softmax":
        return softmax(logits)
    each = sigmoid(logits)
    return np.concatenate([1 - each, each], axis=1) if link == "binary" else each


def photo(width: int, height: int, seed: int) -> np.ndarray:
    areas = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(areas).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("hidden", [0, 9])
@pytest.mark.parametrize(("link", "outputs", "classes"), [
    ("softmax", 3, 3), ("sigmoid", 3, 3), ("sigmoid", 1, 1), ("binary", 1, 2),
])  # fmt: skip
def test_the_head_is_numpys(hidden, link, outputs, classes) -> None:
    head = made_head(outputs, hidden, inputs=6)
    features = np.random.default_rng(1).normal(0, 3, (5, 6)).astype(np.float32)
    graph = head_graph(head, link, TEMPERATURE, classes)
    found = session(graph).run(["probabilities"], {"features": features})[0]
    assert found.shape == (5, classes)
    np.testing.assert_allclose(found, by_numpy(head, link, features), atol=1e-6)
    if link != "sigmoid":
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("energy_spread", [None, 2.0])
def test_the_distance_is_numpys(energy_spread) -> None:
    familiar = Familiar(np.array([[1, 0], [0, 1], [0, 0]], np.float32), 0.5, energy_spread)
    head = made_head(3, inputs=2)
    features = np.array([[3, 0], [-1, 1], [-1, -1], [0, 0]], np.float32)
    found = session(head_graph(head, "softmax", TEMPERATURE, 3, familiar)).run(
        ["distance"], {"features": features}
    )[0]
    far = np.array([0, 1 - 2**-0.5, 1, 1], np.float32)
    np.testing.assert_allclose(distances_of(features, familiar.centres), far, atol=1e-6)
    energies = energies_of(head.logits(features) / TEMPERATURE)
    np.testing.assert_allclose(found, familiar.total(far, energies), atol=1e-5)
    assert (energy_spread is None) == np.allclose(found, far / 0.5)


def test_of_two_classes_the_logit_is_the_seconds() -> None:
    head = Head(np.ones((1, 1), np.float32), np.zeros(1, np.float32))
    graph = head_graph(head, "binary", 1.0, 2)
    found = session(graph).run(None, {"features": np.array([[9], [-9], [80], [-120]], np.float32)})
    assert found[0].argmax(1).tolist() == [1, 0, 1, 0]
    assert np.isfinite(found[0]).all()


@pytest.mark.parametrize("fit", ["pad", "crop", "squash"])
@pytest.mark.parametrize(("link", "outputs"), [("softmax", 3), ("binary", 1)])
def test_the_whole_file_is_its_parts(lite0, fit, link, outputs) -> None:
    preprocessing = Preprocessing(size=64, fit=fit)
    classes = CLASSES if link == "softmax" else CLASSES[:2]
    head = made_head(outputs, 0 if fit == "pad" else 16)
    model = join(
        preprocessing, onnx.load(lite0.graph), head_graph(head, link, TEMPERATURE, len(classes)),
        metadata_of(classes, "single-label", "1.2.3"),
    )  # fmt: skip
    whole = session(model)
    images = np.stack([photo(75, 90, seed) for seed in range(3)])
    found = whole.run(["probabilities"], {"images": images})[0]

    pixels = session(preprocess_graph(preprocessing)).run(["pixels"], {"images": images})[0]
    backbone = onnxruntime.InferenceSession(str(lite0.graph), providers=["CPUExecutionProvider"])
    features = backbone.run(["features"], {"pixels": pixels})[0]
    np.testing.assert_allclose(found, by_numpy(head, link, features), atol=1e-5)

    alone = np.concatenate([whole.run(None, {"images": image[None]})[0] for image in images])
    np.testing.assert_allclose(found, alone, atol=1e-5)
    other = whole.run(None, {"images": photo(40, 200, 9)[None]})[0]  # a size not seen before
    assert other.shape == (1, len(classes))

    cut = session(head_of(model)).run(["probabilities"], {"features": features})[0]
    np.testing.assert_allclose(cut, found, atol=1e-5)


def test_the_whole_file_agrees_with_pillow_and_torch(lite0) -> None:
    """Nothing of ours computes the reference: Pillow resizes, torch runs the network."""
    import torch

    from silverprint.backbones.networks import reload_backbone

    head = made_head(3)
    model = join(
        Preprocessing(size=64, fit="squash"), onnx.load(lite0.graph),
        head_graph(head, "softmax", TEMPERATURE, 3), metadata_of(CLASSES, "single-label", "0"),
    )  # fmt: skip
    image = photo(130, 101, 4)
    found = session(model).run(None, {"images": image[None]})[0]
    resized = Image.fromarray(image).resize((64, 64), Image.Resampling.BICUBIC)
    normalised = (np.asarray(resized, np.float32) / 255 - 0.5) / 0.5
    network = reload_backbone(lite0.choice, 64, lite0.weights)
    assert network.mean == network.std == (0.5, 0.5, 0.5)
    with torch.inference_mode():
        features = network.trunk(torch.from_numpy(normalised.transpose(2, 0, 1)[None].copy()))
    np.testing.assert_allclose(found, by_numpy(head, "softmax", features.numpy()), atol=0.02)


def test_the_file_says_what_it_is(lite0) -> None:
    graph = head_graph(made_head(3), "softmax", 1.0, 3)
    metadata = metadata_of(CLASSES, "single-label", "1.2.3")
    model = join(Preprocessing(size=64), onnx.load(lite0.graph), graph, metadata)
    shown = session(model).get_modelmeta()
    assert shown.producer_name == "silverprint"
    assert json.loads(shown.custom_metadata_map["classes"]) == list(CLASSES)
    assert shown.custom_metadata_map["task"] == "single-label"
    assert shown.custom_metadata_map["silverprint"] == "1.2.3"
    ((given,), (told,)) = session(model).get_inputs(), session(model).get_outputs()
    assert (given.name, given.type, given.shape[3]) == ("images", "tensor(uint8)", 3)
    assert (told.name, told.type, told.shape[1]) == ("probabilities", "tensor(float)", 3)
