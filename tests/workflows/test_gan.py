import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from silverprint.data.table import Dataset
from silverprint.errors import BundleError, ConfigError
from silverprint.recipes.gan_settings import GanSettings
from silverprint.recipes.scratch_settings import ScratchSettings
from silverprint.runtime.generative import read_generative
from silverprint.runtime.predictor import Predictor
from silverprint.training.progress import Progress
from silverprint.workflows.gan import Trained, generate_gan, nearest
from silverprint.workflows.generative import read_material
from silverprint.workflows.judge import Judge, Reference, compare
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.train import train_bundle

SMALL = {"epochs": 2, "batch_size": 16, "code_size": 6, "width": 4, "device": "cpu"}


def stripes(count: int = 120, classes: tuple[str, ...] = ("lying", "upright")) -> Dataset:
    random = np.random.default_rng(0)
    sources, labels = [], np.arange(count) % 2
    for label in labels:
        wave = np.sin(np.arange(16) * 6.28 / random.uniform(4, 8) + random.uniform(0, 6.28))
        picture = np.repeat(((wave + 1) * 127).astype(np.uint8)[:, None], 16, axis=1)
        sources.append(picture if label == 0 else picture.T.copy())
    splits = np.array([0, 0, 0, 0, 0, 0, 2, 2] * (count // 8), np.int8)
    names = [f"{i}" for i in range(count)]
    return Dataset("stripes", classes, sources, names, labels, splits)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("judge") / "bundle"
    settings = TrainSettings(
        scratch=ScratchSettings(model="mlp", widths=(16,), epochs=10, batch_size=16, device="cpu")
    )
    train_bundle(stripes(), out, settings, Progress(quiet=True), "")
    return out


def made(tmp_path: Path, name: str = "gan", **options: Any) -> Trained:
    settings = GanSettings(**{**SMALL, **options.pop("settings", {})})
    dataset = options.pop("dataset", None) or stripes()
    return generate_gan(dataset, tmp_path / name, settings, Progress(quiet=True), **options)


def test_a_gan_ships_judged_and_makes_pictures_without_torch(tmp_path: Path, judge: Path) -> None:
    found = made(tmp_path, judge=str(judge), command="the command")
    bundle = read_generative(tmp_path / "gan", ["gan"])
    assert bundle.conditional
    assert bundle.classes == ("lying", "upright")
    codes = np.random.default_rng(0).standard_normal((80, 6), np.float32)
    pictures = bundle.decode(codes, np.arange(80) % 2)
    assert pictures.shape == (80, 1, 16, 16)
    np.testing.assert_array_equal(pictures, found.sheet)
    with torch.no_grad():
        same = found.gan.generator(torch.as_tensor(codes), torch.arange(80) % 2)
    np.testing.assert_allclose(pictures, same.numpy(), atol=1e-5)
    told = bundle.manifest["metrics"]["judge"]
    assert told["n"] == 30
    assert told["frechet"] > told["floor"] >= 0
    assert sum(told["classes"].values()) == pytest.approx(1, abs=1e-3)
    json.dumps(bundle.manifest, allow_nan=False)
    page = (tmp_path / "gan" / "report.html").read_text("utf-8")
    for words in ("Made pictures", "How they grew", "Are they copies?", "How both got along",
                  "Frechet distance", "the command", found.words[:30]):  # fmt: skip
        assert words in page, words


def test_without_labels_and_judge(tmp_path: Path) -> None:
    found = made(tmp_path, dataset=stripes(classes=("any",)), settings={"r1": 0.5})
    assert not read_generative(tmp_path / "gan").conditional
    assert "--judge with a classifier's bundle" in found.summary()
    assert "judge" not in found.measures()


def test_the_judge_is_near_real_pictures_and_far_from_noise(judge: Path) -> None:
    material = read_material(stripes(400), Progress(quiet=True))
    judging = Judge(str(judge))
    reference = Reference.of(judging, material)
    assert len(reference) == 100
    seen = material.train.pixels[:100] / np.float32(255)
    labels = material.train.targets[:100]
    good = compare(reference, seen, labels)
    assert good.frechet < 3 * good.floor
    assert good.agree is not None
    assert good.agree > 0.9
    assert good.missing == []
    bad = compare(reference, np.random.default_rng(1).random(seen.shape, np.float32), labels)
    assert bad.frechet > 5 * good.frechet
    assert bad.precision < good.precision
    partial = compare(reference, seen[labels == 0].repeat(2, axis=0)[:100])
    assert partial.missing == ["upright"]
    assert "Hardly any are made of: upright." in partial.words()
    assert partial.recall < good.recall
    assert "They vary less" not in good.words()
    assert "They vary less: of real ones 4 %" in replace(good, recall=0.04).words()
    few = (seen[:8] * 255).round().astype(np.uint8).repeat(3, axis=1).transpose(0, 2, 3, 1)
    expected = Predictor(judging.bundle).probabilities(few)
    np.testing.assert_allclose(judging.look(seen[:8])[1], expected, atol=1e-4)
    larger = torch.nn.functional.interpolate(torch.from_numpy(seen), scale_factor=2).numpy()
    assert judging.look(larger)[0].shape == judging.look(seen)[0].shape


def test_a_judge_needs_pictures_that_were_not_learned_from(tmp_path: Path, judge: Path) -> None:
    few = read_material(stripes(24), Progress(quiet=True))
    with pytest.raises(ConfigError, match=r"--judge needs at least 10 pictures.*there are"):
        Reference.of(Judge(str(judge)), few)
    made(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("silverprint.workflows.gan.train_gan", None)  # told before it is called
        with pytest.raises(ConfigError, match="--judge needs at least 10"):
            made(tmp_path, "never", dataset=stripes(24), judge=str(judge))
    with pytest.raises(BundleError, match="holds no classifier"):
        Judge(str(tmp_path / "gan"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 128}, "a gan makes pictures of 16 to 64 pixels; got 128"),
        ({"settings": {"conditional": True}, "dataset": stripes(classes=("any",))},
         "stripes has no classes to tell the networks; leave --conditional out"),
        ({"settings": {"batch_size": 512}}, "its batch_size of 512; got 76"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_before_anything_is_written(
    tmp_path: Path, options: Any, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        made(tmp_path, **options)
    assert not (tmp_path / "gan").exists()


def test_the_nearest_training_picture_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("silverprint.workflows.gan.AT_ONCE", 300)  # several parts
    train = np.random.default_rng(0).integers(0, 256, (50, 1, 8, 8), np.uint8)
    wanted = np.array([3, 49, 0, 20])
    rows, distances = nearest(train[wanted].astype(np.float32) / 255 + 0.001, train)
    assert rows.tolist() == wanted.tolist()
    np.testing.assert_allclose(distances, 0.008, atol=1e-3)


def test_a_collapse_is_said_once_while_it_trains(tmp_path: Path, monkeypatch: Any) -> None:
    said: list[str] = []
    monkeypatch.setattr(Progress, "say", lambda _, line: said.append(line))
    monkeypatch.setattr("silverprint.recipes.gan.spread", lambda _: float(len(said) < 0))
    found = made(tmp_path, settings={"epochs": 5})
    collapsed = [line for line in said if "collapsed" in line]
    assert len(collapsed) == 1
    assert collapsed[0].startswith("epoch 3: The generator has collapsed")
    assert "collapsed" in found.words
