"""The torch network of a bundle against the file that the bundle runs."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from silverprint.backbones.reading import PictureReader
from silverprint.data.read import read
from silverprint.data.table import Dataset
from silverprint.errors import BundleError
from silverprint.export.network import BundleNetwork, load_network, normalise, preprocessing_of
from silverprint.inspection.attribution import log_odds_of
from silverprint.runtime.bundle import MANIFEST, WEIGHTS, Bundle, file_digest, read_bundle
from silverprint.runtime.predictor import Predictor
from silverprint.training.progress import Progress
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.train import train_bundle

SMALL = {"from_scratch": True, "epochs": 1, "augment": "none"}
GIVEN = {
    "frozen": {"size": 64},
    "hidden": {"size": 64, "hidden_size": 8, "epochs": 2},
    "fine-tuned": {"size": 64, "finetune": True, "finetune_epochs": 1, "unfreeze": 1, "epochs": 2},
    "mlp": {**SMALL, "model": "mlp", "widths": (8,)},
    "cnn": {**SMALL, "model": "cnn", "widths": (4, 8), "dropout": 0.5},
    "signs": {**SMALL, "model": "cnn", "preset": "signs"},
    "resnet": {**SMALL, "model": "resnet", "widths": (8, 8)},
}


def arrays(channels: int, classes: int, many: bool = False) -> Dataset:
    """Return small noisy pictures of one brightness a class; of several labels if `many`."""
    random = np.random.default_rng(0)
    labels = np.arange(24) % classes
    shape = (24, 20, 20) if channels == 1 else (24, 20, 20, 3)
    level = 40 + 60 * labels.reshape(-1, *[1] * (len(shape) - 1))
    pixels = (level + random.normal(0, 9, shape)).clip(0, 255).astype(np.uint8)
    names = [f"a[{i}]" for i in range(24)]
    several = np.eye(classes, dtype=np.uint8)[labels] | np.eye(classes, dtype=np.uint8)[0]
    return Dataset(
        "arrays", tuple("abc"[:classes]), list(pixels), names, several if many else labels,
        np.zeros(24, dtype=np.int8), "multi-label" if many else "single-label",
    )  # fmt: skip


def trained(dataset: Dataset, folder, **given) -> Bundle:
    train_bundle(dataset, folder, TrainSettings.of(**given), Progress(quiet=True))
    return read_bundle(folder)


def both(bundle: Bundle, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities of the layers and of the file."""
    preprocessing, facts = preprocessing_of(bundle), bundle.manifest["architecture"]
    pixels = PictureReader(preprocessing, [image], ["a"]).pixels(image, "a")
    network = load_network(bundle)
    with torch.no_grad():
        logits = network(normalise(torch.from_numpy(pixels)[None], preprocessing))
    odds = log_odds_of(facts["link"], bundle.manifest["calibration"]["temperature"])(logits)
    return torch.sigmoid(odds)[0].numpy(), Predictor(bundle).probabilities(image[None])[0]


SLOW = ("hidden", "fine-tuned")


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=pytest.mark.slow) if k in SLOW else k for k in GIVEN]
)
def test_the_layers_answer_as_the_file_does(kind, tmp_path, make_photos) -> None:
    if "from_scratch" in GIVEN[kind]:
        dataset = arrays(3, 3)
    else:
        dataset = read(make_photos(tmp_path / "photos", {"cat": 6, "dog": 6, "emu": 6}))
    bundle = trained(dataset, tmp_path / "b", **GIVEN[kind])
    source = dataset.sources[0]
    image = source if isinstance(source, np.ndarray) else Predictor(bundle).decode(source)
    layers, file = both(bundle, image)
    np.testing.assert_allclose(layers, file, atol=2e-4)


@pytest.mark.parametrize(("channels", "classes", "many", "link"), [
    (1, 3, False, "softmax"),
    (3, 2, False, "binary"),
    (1, 3, True, "sigmoid"),
])  # fmt: skip
def test_grey_pictures_two_classes_and_several_labels(
    channels, classes, many, link, tmp_path
) -> None:
    bundle = trained(arrays(channels, classes, many), tmp_path / "b", **GIVEN["cnn"])
    assert bundle.manifest["architecture"]["link"] == link
    image = np.random.default_rng(1).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    layers, file = both(bundle, image)
    np.testing.assert_allclose(layers, file, atol=2e-4)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return trained(arrays(3, 3), tmp_path_factory.mktemp("small") / "b", **GIVEN["mlp"]).path


def changed(small, tmp_path, change) -> Bundle:
    """Return a copy of a bundle whose tensors were changed, with the right digest."""
    folder = shutil.copytree(small, tmp_path / "changed")
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][WEIGHTS] = file_digest(folder / WEIGHTS)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return read_bundle(folder)


def test_nothing_of_it_learns(small) -> None:
    network = load_network(read_bundle(small))
    assert isinstance(network, BundleNetwork)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_weight_that_is_missing_or_does_not_fit_is_named(small, tmp_path) -> None:
    def change(tensors) -> None:
        del tensors["backbone.trunk.1.bias"]

    with pytest.raises(BundleError, match=r"does not fit .*: 1\.bias is missing; get the bundle"):
        load_network(changed(small, tmp_path, change))

    def squeeze(tensors) -> None:
        tensors["backbone.trunk.1.bias"] = torch.zeros(5)

    shutil.rmtree(tmp_path / "changed")
    with pytest.raises(BundleError, match=r"1\.bias is \(5,\), expected \(8,\)"):
        load_network(changed(small, tmp_path, squeeze))


def test_a_bundle_that_does_not_say_what_it_is(small) -> None:
    bundle = read_bundle(small)
    bare = {k: v for k, v in bundle.manifest.items() if k != "architecture"}
    with pytest.raises(BundleError, match=r"cannot be built again \(KeyError: 'architecture'\)"):
        load_network(Bundle(bundle.path, bare))
