"""TorchScript: its preprocessing against the bundle's, and the whole file by itself."""

import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from silverprint.backbones.graphs import preprocess_graph
from silverprint.data.table import Dataset
from silverprint.export.parity import compare, photos
from silverprint.export.torchscript import (
    Preprocess,
    Probabilities,
    open_torchscript,
    write_torchscript,
)
from silverprint.runtime.bundle import Bundle, read_bundle
from silverprint.runtime.predictor import Predictor
from silverprint.runtime.preprocessing import Preprocessing
from silverprint.training.progress import Progress
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.train import train_bundle

KINDS = [Preprocessing(size=32, fit="pad"), Preprocessing(size=20, fit="squash"),
         Preprocessing(size=24, fit="crop", crop=0.875)]  # fmt: skip
SESSIONS = [
    onnxruntime.InferenceSession(preprocess_graph(kind).SerializeToString()) for kind in KINDS
]


@pytest.mark.parametrize("kind", range(3))
@given(
    height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 9), n=st.integers(1, 2)
)
@example(height=3, width=30, seed=3, n=1)
@settings(max_examples=40, deadline=None)
def test_it_prepares_pictures_as_the_bundle_does(kind, height, width, seed, n) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    expected = SESSIONS[kind].run(["pixels"], {"images": images})[0].astype(int)
    found = Preprocess(KINDS[kind])(torch.from_numpy(images))
    pixels = ((found * 0.5 + 0.5) * 255).numpy()
    assert pixels.shape == expected.shape
    difference = np.abs(pixels - expected)
    # Both round between the passes: a half that went the other way may send one more after it.
    assert difference.max() < 2.01
    assert (difference > 1.01).mean() < 2e-3
    assert difference.mean() < 0.02


@pytest.mark.parametrize(("link", "expected"), [
    ("softmax", [[0.5, 0.5]]), ("sigmoid", [[0.7310586, 0.7310586]]),
])  # fmt: skip
def test_links(link, expected) -> None:
    found = Probabilities(link, 2.0)(torch.tensor([[2.0, 2.0]]))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_one_logit_is_the_second_class() -> None:
    found = Probabilities("binary", 1.0)(torch.tensor([[2.0]]))
    np.testing.assert_allclose(found, [[0.1192029, 0.8807971]], atol=1e-6)


def pictures(channels: int, classes: int, many: bool) -> Dataset:
    random = np.random.default_rng(0)
    labels = np.arange(24) % classes
    shape = (24, 20, 20) if channels == 1 else (24, 20, 20, 3)
    level = 40 + 60 * labels.reshape(-1, *[1] * (len(shape) - 1))
    pixels = (level + random.normal(0, 9, shape)).clip(0, 255).astype(np.uint8)
    several = np.eye(classes, dtype=np.uint8)[labels] | np.eye(classes, dtype=np.uint8)[0]
    return Dataset(
        "made", tuple("abc"[:classes]), list(pixels), [f"a[{i}]" for i in range(24)],
        several if many else labels, np.zeros(24, dtype=np.int8),
        "multi-label" if many else "single-label",
    )  # fmt: skip


def trained(folder, channels=3, classes=3, many=False, model="cnn", **given) -> Bundle:
    chosen = TrainSettings.of(
        from_scratch=True, epochs=1, augment="none", model=model, widths=(4, 8), **given
    )
    train_bundle(pictures(channels, classes, many), folder, chosen, Progress(quiet=True))
    return read_bundle(folder)


@pytest.mark.parametrize(("channels", "classes", "many", "model"), [
    (1, 3, False, "cnn"), (3, 2, False, "resnet"), (3, 3, True, "mlp"),
])  # fmt: skip
def test_the_file_answers_as_the_bundle_does(channels, classes, many, model, tmp_path) -> None:
    bundle = trained(tmp_path / "b", channels, classes, many, model)
    write_torchscript(bundle, tmp_path / "m.pt")
    answers = Predictor(bundle).probabilities
    found = compare(answers, open_torchscript(tmp_path / "m.pt"), photos(20), "photos")
    assert found.largest < 2e-3
    assert found.same_label == 1


def test_torch_alone_opens_it_and_says_what_it_is(tmp_path) -> None:
    bundle = trained(tmp_path / "b", classes=2)
    write_torchscript(bundle, tmp_path / "m.pt")
    image = np.random.default_rng(0).integers(0, 256, (1, 40, 30, 3), dtype=np.uint8)
    np.save(tmp_path / "image.npy", image)
    program = """
import json, sys, numpy, torch
facts = {"classes": "", "task": "", "calibration": ""}
model = torch.jit.load("m.pt", _extra_files=facts)
answer = model(torch.from_numpy(numpy.load("image.npy")))
loaded = {name.split(".")[0] for name in sys.modules} & {"silverprint", "timm", "torchvision"}
print(json.dumps([answer.tolist(), sorted(loaded), {k: v.decode() for k, v in facts.items()}]))
"""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=tmp_path, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    answer, loaded, facts = json.loads(ran.stdout)
    np.testing.assert_allclose(answer, Predictor(bundle).probabilities(image), atol=2e-3)
    assert loaded == []
    assert json.loads(facts["classes"]) == ["a", "b"]
    assert facts["task"] == "single-label"
    assert json.loads(facts["calibration"]) == bundle.manifest["calibration"]
