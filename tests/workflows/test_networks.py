"""Networks trained here, from the data to the bundle."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from silverprint.data.read import read
from silverprint.data.table import Dataset
from silverprint.errors import ConfigError
from silverprint.runtime.bundle import read_bundle
from silverprint.runtime.predictor import Predictor
from silverprint.training.progress import Progress
from silverprint.workflows import train
from silverprint.workflows.networks import natural_size
from silverprint.workflows.settings import TrainSettings, read_config

QUIET = Progress(quiet=True)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    """Every fifth of the packaged digits."""
    whole = read("digits")
    return whole.take(np.arange(0, len(whole), 5))


def scratch(**given) -> TrainSettings:
    return TrainSettings.of(
        **{"from_scratch": True, "model": "mlp", "epochs": 6, "widths": (32,), **given}
    )


def runs() -> list[Path]:
    return list((Path(os.environ["SILVERPRINT_CACHE"]) / "runs").glob("*"))


@pytest.mark.parametrize("model", ["mlp", "cnn", "resnet"])
def test_a_network_from_scratch_ships_like_any_other(digits, tmp_path, model) -> None:
    widths = {"mlp": (32,), "cnn": (8, 16), "resnet": ()}[model]
    settings = scratch(model=model, widths=widths, epochs=3)
    run = train.train_bundle(digits, tmp_path / "b", settings, Progress(quiet=True))
    bundle = read_bundle(tmp_path / "b")
    rows = digits.rows("test") if digits.has("test") else run.dataset.rows("validation")
    split = "test" if digits.has("test") else "validation"
    answers = list(Predictor(bundle, accept=1).predict([run.dataset.sources[row] for row in rows]))
    right = np.mean([
        answer.label == digits.classes[label]
        for answer, label in zip(answers, run.dataset.labels[rows], strict=True)
    ])  # fmt: skip
    assert right == pytest.approx(bundle.manifest["metrics"][split]["accuracy"])
    assert bundle.manifest["architecture"]["backbone"] == model
    lines = (tmp_path / "b" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    assert "validation" in (tmp_path / "b" / "report.html").read_text()
    assert not runs()  # what a stop would have needed is gone


def test_a_stopped_run_is_taken_up_and_ends_the_same(digits, tmp_path, monkeypatch) -> None:
    whole = train.train_bundle(digits, tmp_path / "whole", scratch(), Progress(quiet=True))

    def stop(*_) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "write_artifact", stop)
        with pytest.raises(KeyboardInterrupt):
            train.train_bundle(digits, tmp_path / "b", scratch(), Progress(quiet=True))
    assert len(runs()) == 1
    again = train.train_bundle(digits, tmp_path / "b", scratch(), Progress(quiet=True))
    assert again.network is not None
    assert again.network.resumed == 6
    assert again.metrics == whole.metrics
    assert not runs()


def test_other_settings_are_another_run_and_fresh_forgets(digits, tmp_path, monkeypatch) -> None:
    def stop(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "write_artifact", stop)
    resumed = []
    for settings in (scratch(), scratch(seed=1), scratch(fresh=True)):
        with pytest.raises(KeyboardInterrupt):
            train.train_bundle(digits, tmp_path / "b", settings, Progress(quiet=True))
        resumed.append(len(runs()))
    assert resumed == [1, 2, 2]


def test_another_process_at_the_same_run_is_refused(digits, tmp_path) -> None:
    told = []

    class Meanwhile(Progress):
        """Gives the same command again, in another process, while the first one trains."""

        def stage(self, name, *arguments, **options):
            if name == "train":
                files = {"data": tmp_path / "x.npy", "out": tmp_path / "second"}
                told.append(same_command(files))
            return super().stage(name, *arguments, **options)

    def same_command(files) -> str:
        code = (
            "import sys, numpy as np\n"
            "from silverprint.data.read import read\n"
            "from silverprint.workflows import train\n"
            "from silverprint.workflows.settings import TrainSettings\n"
            "from silverprint.training.progress import Progress\n"
            "whole = read('digits')\n"
            "settings = TrainSettings.of(from_scratch=True, model='mlp', epochs=6, widths=(32,))\n"
            "train.train_bundle(whole.take(np.arange(0, len(whole), 5)), __import__('pathlib')."
            f"Path({str(files['out'])!r}), settings, Progress(quiet=True))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], check=False, capture_output=True, text=True
        )
        return done.stderr

    train.train_bundle(digits, tmp_path / "first", scratch(), Meanwhile(quiet=True))
    assert "another process is at this very run, with the same data and settings" in told[0]
    assert (tmp_path / "first" / "model.onnx").exists()
    assert not (tmp_path / "second").exists()


def test_it_learns(digits, tmp_path) -> None:
    run = train.train_bundle(
        digits, tmp_path / "b", scratch(epochs=15, batch_size=16), Progress(quiet=True)
    )
    assert run.metrics["validation"]["accuracy"] > 0.8
    assert run.network is not None
    assert len(run.network.curves["validation loss"]) == 15


def test_large_pictures_get_64_pixels_and_small_ones_their_own(
    digits, make_photos, tmp_path
) -> None:
    assert natural_size(digits) == 16
    make_photos(tmp_path / "photos", {"cat": 2, "dog": 2}, size=(100, 80))
    assert natural_size(read(tmp_path / "photos")) == 64


def test_small_files_keep_their_side_made_even(tmp_path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "broken.png").write_bytes(b"no picture")
    assert natural_size(read(tmp_path)) == 64
    for name in "ab":
        Image.new("L", (27, 20)).save(tmp_path / name / "small.png")
    assert natural_size(read(tmp_path)) == 28


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "cnn"}, r"setting 'model' needs from_scratch; give that too"),
        ({"unfreeze": 2}, r"setting 'unfreeze' needs finetune; give that too"),
        ({"from_scratch": True, "finetune": True}, "exclude each other"),
        ({"from_scratch": True, "model": "cnm"}, r"Did you mean 'cnn'\?"),
        ({"from_scratch": True, "modle": "cnn"}, r"'modle' is unknown. Did you mean 'model'\?"),
        ({"track": "paper"}, "track must be one of tensorboard, mlflow; got 'paper'"),
    ],
)
def test_wrong_settings(given, message) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainSettings.of(**given)


def test_shared_names_go_where_they_are_meant() -> None:
    settings = TrainSettings.of(from_scratch=True, epochs=3, seed=7, learning_rate=0.01)
    assert settings.scratch is not None
    assert (settings.scratch.epochs, settings.scratch.seed, settings.seed) == (3, 7, 7)
    assert settings.scratch.learning_rate == 0.01
    settings = TrainSettings.of(finetune=True, epochs=9, finetune_epochs=2, seed=7)
    assert settings.finetuning is not None
    assert (settings.epochs, settings.finetuning.epochs, settings.finetuning.seed) == (9, 2, 7)
    json.dumps(settings.to_json())


def test_a_config_file(tmp_path) -> None:
    path = tmp_path / "best.json"
    path.write_text('{"dropout": 0.3, "hidden_size": 8}')
    assert TrainSettings.of(**read_config(path)).dropout == (0.3,)
    path.write_text("[1]")
    with pytest.raises(ConfigError, match="must hold one JSON object of settings"):
        read_config(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "none.json")


# ---- Fine-tuning ----


def test_fine_tuning_ships_what_it_measured(trained, tmp_path) -> None:
    settings = TrainSettings.of(
        finetune=True, size=64, finetune_epochs=2, batch_size=8, validation_fraction=0.34
    )
    run = train.train_bundle(read(trained.photos), tmp_path / "b", settings, Progress(quiet=True))
    bundle = read_bundle(tmp_path / "b")
    rows = run.dataset.rows("validation")
    assert len(rows) == 12
    assert run.cross_validated == 0
    probabilities = np.stack([
        answer for _, answer in Predictor(bundle).stream(
            [run.dataset.sources[row] for row in rows], [run.dataset.names[row] for row in rows]
        )
    ])  # fmt: skip
    np.testing.assert_allclose(probabilities, run.probabilities["validation"], atol=1e-4)
    assert bundle.manifest["training"]["network"]["epochs"] == 2
    assert (tmp_path / "b" / "metrics.jsonl").read_text().count("\n") == 2
    assert not runs()


def test_a_stopped_fine_tuning_is_taken_up(trained, tmp_path, monkeypatch) -> None:
    def settings() -> TrainSettings:
        return TrainSettings.of(
            finetune=True, size=64, finetune_epochs=2, batch_size=8, unfreeze=1, views=2
        )

    data = read(trained.photos)
    whole = train.train_bundle(data, tmp_path / "whole", settings(), Progress(quiet=True))

    def stop(*_) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "write_artifact", stop)
        with pytest.raises(KeyboardInterrupt):
            train.train_bundle(data, tmp_path / "b", settings(), Progress(quiet=True))
    again = train.train_bundle(data, tmp_path / "b", settings(), Progress(quiet=True))
    assert again.network is not None
    assert again.network.resumed == 2
    assert again.metrics == whole.metrics
