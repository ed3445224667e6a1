"""Steps of a training run that the command line does not show."""

from dataclasses import replace

import numpy as np
import pytest

from silverprint.backbones import cache as cache_module
from silverprint.data.read import read
from silverprint.errors import BackboneError, ConfigError
from silverprint.recipes.head_data import StreamedHeadData
from silverprint.runtime.bundle import read_bundle
from silverprint.runtime.images import decode as read_image
from silverprint.runtime.predictor import Predictor
from silverprint.training.metrics import calibration_of, softmax
from silverprint.training.progress import Progress
from silverprint.workflows import settle
from silverprint.workflows import train as module
from silverprint.workflows.evaluate import evaluate_bundle
from silverprint.workflows.pretrained import is_pretrained_name, pretrained_bundle
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.train import train_bundle

SETTINGS = TrainSettings.of(size=64, hidden_size=0)


def test_from_500_pictures_on_a_validation_split_is_made(trained, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(settle, "FEW_PICTURES", 30)
    run = train_bundle(read(trained.photos), tmp_path / "b", SETTINGS, Progress(quiet=True))
    assert run.cross_validated == 0
    assert set(run.metrics) == {"validation"}
    assert run.dataset.class_counts("validation") == {"cat": 2, "dog": 2, "emu": 2}
    assert run.metrics["validation"]["n"] == 6
    # The file, asked picture by picture, says the same.
    predictor = Predictor(read_bundle(tmp_path / "b"))
    rows = run.dataset.rows("validation")
    found = np.stack([
        predictor.probabilities(predictor.decode(run.dataset.sources[row])[None])[0]
        for row in rows
    ])  # fmt: skip
    np.testing.assert_allclose(found, run.probabilities["validation"], atol=1e-4)
    found = evaluate_bundle(read_bundle(tmp_path / "b"), run.dataset, Progress(quiet=True))
    assert found.split == "validation"
    assert found.metrics["log_loss"] == pytest.approx(
        run.metrics["validation"]["log_loss"], abs=1e-4
    )


def test_features_beyond_memory_are_streamed_to_the_same_end(
    trained, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(settle, "FEW_PICTURES", 30)
    settings = TrainSettings.of(size=64, hidden_size=0, weight_decay=0.1)
    photos, quiet = read(trained.photos), Progress(quiet=True)
    held = train_bundle(photos, tmp_path / "held", settings, quiet)
    monkeypatch.setattr(cache_module, "MEMORY_LIMIT", 0)
    made = []
    monkeypatch.setattr(
        module.StreamedHeadData,
        "of",
        lambda *data, of=StreamedHeadData.of: made.append(of(*data)) or made[-1],
    )
    streamed = train_bundle(photos, tmp_path / "streamed", settings, quiet)
    assert [len(data) for data in made] == [30, 6]
    assert streamed.fitted[0].loss == pytest.approx(held.fitted[0].loss, abs=1e-3)
    np.testing.assert_allclose(
        streamed.probabilities["validation"], held.probabilities["validation"], atol=0.02
    )
    np.testing.assert_allclose(streamed.familiar.centres, held.familiar.centres, atol=1e-5)


def test_a_class_of_two_pictures_does_not_cost_the_others_their_folds(
    make_photos, tmp_path, monkeypatch
) -> None:
    photos = read(make_photos(tmp_path / "photos", {"cat": 12, "dog": 12, "emu": 2}))
    dealt, real = [], module.folds
    monkeypatch.setattr(module, "folds", lambda *a, **k: dealt.append(real(*a, **k)) or dealt[-1])
    run = train_bundle(photos, tmp_path / "b", SETTINGS, Progress(quiet=True))
    assert run.metrics["validation"]["cross_validated"] == 5
    rare = dealt[0][photos.labels == 2]
    assert len(set(rare)) == 2, "while one of the two judges, the other teaches"
    assert "Each was held out once, in one of 5 folds." in (tmp_path / "b/report.html").read_text()


def test_what_is_usual_is_written_down(trained, tmp_path, monkeypatch) -> None:
    bundle = read_bundle(trained.bundle)
    folds = bundle.manifest["reference"]
    assert folds["pictures"] == 36, "cross-validated: each was held out once"
    monkeypatch.setattr(settle, "FEW_PICTURES", 30)
    run = train_bundle(read(trained.photos), tmp_path / "b", SETTINGS, Progress(quiet=True))
    split = read_bundle(tmp_path / "b").manifest["reference"]
    assert split["pictures"] == 6
    top = run.probabilities["validation"].max(1)
    assert split["confidence"][0] == pytest.approx(top.min(), abs=1e-5)
    assert split["confidence"][-1] == pytest.approx(top.max(), abs=1e-5)
    # The file's own distances of known pictures lie where it says that they do; noise does not.
    session = Predictor(read_bundle(tmp_path / "b"))._session
    rows = run.dataset.rows("train")
    images = [read_image(run.dataset.sources[row]) for row in rows]
    known = [session.run(["distance"], {"images": image[None]})[0][0] for image in images]
    noise = np.random.default_rng(0).integers(0, 256, (1, 80, 80, 3), dtype=np.uint8)
    strange = session.run(["distance"], {"images": noise})[0][0]
    assert max(known) < strange
    assert max(split["distance"]) < strange


def test_calibration_is_measured_before_and_after(trained, tmp_path, monkeypatch) -> None:
    folds = read_bundle(trained.bundle).manifest
    assert folds["sets"]["pictures"] == 36, "cross-validated: each was held out once"
    assert folds["metrics"]["validation"]["calibration"]["before"]["bins"]
    monkeypatch.setattr(settle, "FEW_PICTURES", 30)
    run = train_bundle(read(trained.photos), tmp_path / "b", SETTINGS, Progress(quiet=True))
    bundle = read_bundle(tmp_path / "b")
    found = bundle.manifest["metrics"]["validation"]["calibration"]
    # A probability tells its logit up to a constant, so undoing the temperature needs no logits.
    told, labels = (
        run.probabilities["validation"],
        run.dataset.labels[run.dataset.rows("validation")],
    )
    plain = softmax(np.log(told) * bundle.manifest["calibration"]["temperature"])
    expected = calibration_of("single-label", plain, labels)
    assert found["before"]["error"] == pytest.approx(expected["error"], abs=1e-4)
    assert found["before"]["error"] != pytest.approx(found["error"], abs=1e-3)
    truth = np.sort(told[np.arange(6), labels])[::-1]
    assert bundle.manifest["sets"]["probabilities"] == pytest.approx(truth.tolist(), abs=1e-4)


@pytest.mark.parametrize("several", [False, True])
def test_sigmoids_are_measured_before_too(trained, tmp_path, several) -> None:
    two = read(trained.photos).take(np.arange(24))
    two = replace(two, classes=two.classes[:2])
    if several:
        two = replace(two, task="multi-label", labels=np.eye(2, dtype=np.uint8)[two.labels])
    run = train_bundle(two, tmp_path / "b", SETTINGS, Progress(quiet=True))
    found = run.metrics["validation"]["calibration"]["before"]
    assert sum(row["count"] for row in found["bins"]) == (48 if several else 24)
    assert run.sets.get("pictures") == (None if several else 24)
    if several:
        with pytest.raises(ConfigError, match="is multi-label"):
            Predictor(read_bundle(tmp_path / "b"), coverage=0.9)


def test_duplicates_stay_on_one_side(trained, tmp_path, monkeypatch) -> None:
    dataset = read(trained.photos)
    twice = dataset.take(np.repeat(np.arange(len(dataset)), 2))
    for few in (30, 500):
        monkeypatch.setattr(settle, "FEW_PICTURES", few)
        asked: list[np.ndarray] = []
        folds, split = module.folds, settle.split_validation

        def noted_folds(*arguments, real=folds, told=asked, **options):
            told.append(real(*arguments, **options))
            return told[-1]

        def noted_split(*arguments, real=split, told=asked, **options):
            found = real(*arguments, **options)
            told.append(found.splits)
            return found

        with monkeypatch.context() as patch:
            patch.setattr(module, "folds", noted_folds)
            patch.setattr(settle, "split_validation", noted_split)
            run = train_bundle(twice, tmp_path / "b", SETTINGS, Progress(quiet=True))
        assert run.seen.looked in (0, 36)
        (sides,) = asked
        np.testing.assert_array_equal(sides[::2], sides[1::2])
        assert len(set(sides.tolist())) > 1


def test_copies_across_splits_are_told(trained) -> None:
    dataset = read(trained.photos)
    whole = dataset.take(np.r_[np.arange(len(dataset)), 0, 1, 1])
    splits = np.r_[np.zeros(len(dataset), whole.splits.dtype), 2, 1, 1]
    run = module.look_at(replace(whole, splits=splits), SETTINGS, Progress(quiet=True))
    told = [notice for notice in run.notices if "byte for byte" in notice]
    assert told[0].startswith("1 of the validation files are training files too, byte for byte")
    assert told[1].startswith("1 of the test files")
    assert "silverprint audit" in told[0]
    assert not module.look_at(dataset, SETTINGS, Progress(quiet=True)).notices


def test_arrays_train_like_files(tmp_path) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(40) % 2
    sources = [
        random.integers(0, 100, (20, 20), dtype=np.uint8) + np.uint8(100 * label)
        for label in labels
    ]
    from silverprint.data.table import Dataset

    dataset = Dataset(
        "grey", ("dark", "light"), sources, [f"a[{i}]" for i in range(40)], labels,
        np.where(np.arange(40) < 28, 0, 2).astype(np.int8),
    )  # fmt: skip
    run = train_bundle(dataset, tmp_path / "b", SETTINGS, Progress(quiet=True))
    assert run.metrics["test"]["accuracy"] == 1.0
    assert run.metrics["test"]["n"] == 12


def test_an_engine_of_low_precision_is_examined_as_it_ships(trained, tmp_path) -> None:
    settings = replace(SETTINGS, engine="openvino-int8")
    dataset = read(trained.photos)
    dataset = replace(dataset, splits=np.where(np.arange(36) % 4 == 0, 2, 0).astype(np.int8))
    try:
        run = train_bundle(dataset, tmp_path / "b", settings, Progress(quiet=True))
    except BackboneError as error:
        pytest.fail(str(error))
    assert run.seen.engine == "openvino-int8"
    assert run.metrics["test"]["accuracy"] > 0.8
    found = evaluate_bundle(read_bundle(tmp_path / "b"), dataset, Progress(quiet=True))
    assert found.metrics["confusion"] == run.metrics["test"]["confusion"]
    size = (tmp_path / "b" / "model.onnx").stat().st_size
    assert size < 0.5 * (trained.bundle / "model.onnx").stat().st_size


def test_no_head_that_learned_is_an_error(trained, tmp_path) -> None:
    settings = replace(SETTINGS, hidden_size=(4,), learning_rate=(10.0,), weight_decay=(10.0,))
    dataset = read(trained.photos)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            module, "cross_validate_heads",
            lambda *arguments: [
                replace(fitted, loss=float("nan"))
                for fitted in cross_validate(*arguments)
            ],
        )  # fmt: skip
        with pytest.raises(ConfigError, match="no head learned anything: every loss is infinite"):
            train_bundle(dataset, tmp_path / "b", settings, Progress(quiet=True))
    assert not (tmp_path / "b").exists()


cross_validate = module.cross_validate_heads


def test_pretrained_names(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_pretrained_name("imagenet")
    assert is_pretrained_name("imagenet:vgg16")
    assert not is_pretrained_name("imagenet2")
    assert not is_pretrained_name("./imagenet")
    (tmp_path / "imagenet").mkdir()
    assert not is_pretrained_name("imagenet")


def test_a_pretrained_bundle_is_made_once_and_complete() -> None:
    said: list[str] = []
    bundle = pretrained_bundle("imagenet", said.append)
    assert any("with its ImageNet classes (once)" in line for line in said)
    assert len(set(bundle.classes)) == 1000
    assert bundle.manifest["preprocessing"]["fit"] == "crop"
    said.clear()
    assert pretrained_bundle("imagenet", said.append) == bundle
    assert said == []
