"""Near copies in `train`: on one side of what is drawn, told where splits are given."""

import hashlib
import io
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from silverprint.data.read import read
from silverprint.data.table import SPLITS, Dataset
from silverprint.training.progress import Progress
from silverprint.workflows import copies as copies_module
from silverprint.workflows import settle as settle_module
from silverprint.workflows.copies import find_near_copies
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.settle import settle
from silverprint.workflows.train import look_at, train_bundle


def draw(seed: int) -> Image.Image:
    areas = np.random.default_rng(seed).integers(0, 256, (7, 6, 3), dtype=np.uint8)
    return Image.fromarray(areas).resize((120, 150), Image.Resampling.BICUBIC)


def again(picture: Image.Image, quality: int = 60) -> np.ndarray:
    """Return the picture, cropped a little and compressed once more."""
    stream = io.BytesIO()
    picture.crop((6, 4, 116, 148)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def table(pictures, labels, splits, classes=("a", "b")) -> Dataset:
    labels = np.array(labels)
    return Dataset(
        name="some", classes=classes, sources=[np.asarray(picture) for picture in pictures],
        names=[f"{split}/{i}.jpg" for i, split in enumerate(splits)], labels=labels,
        splits=np.array([SPLITS.index(split) for split in splits], dtype=np.int8),
        task="single-label" if labels.ndim == 1 else "multi-label",
    )  # fmt: skip


def look_of(dataset: Dataset, alike) -> SimpleNamespace:
    """Return what a network might have seen: pictures of one number are nearly alike to it."""
    features = np.eye(max(alike) + 1, len(alike) + 1, dtype=np.float32)[alike]
    features[:, -1] = np.arange(len(alike)) / (10 * len(alike))
    return SimpleNamespace(
        cache="some", digests=[hashlib.sha256(one.tobytes()).digest() for one in dataset.sources],
        features=lambda rows: features[rows], rows=np.arange(len(dataset)), refused=[],
    )  # fmt: skip


def test_copies_of_training_pictures_in_given_splits_are_told() -> None:
    pictures = [draw(0), draw(1), draw(2), draw(3), again(draw(0)), again(draw(1)), draw(4)]
    splits = ["train"] * 4 + ["validation", "test", "test"]
    dataset = table(pictures, [0, 1, 0, 1, 0, 1, 0], splits)
    found = find_near_copies(dataset, look_of(dataset, [0, 1, 2, 3, 0, 1, 2]), drawn=False)
    assert found.counts == {"validation": 1, "test": 1}
    assert found.notices == [
        "1 validation picture nearly copies a training picture (validation/4.jpg ~ train/0.jpg), "
        "so the validation figures are too good; `silverprint audit` shows them.",
        "1 test picture nearly copies a training picture (test/5.jpg ~ train/1.jpg), so the test "
        "figures are too good; `silverprint audit` shows them.",
    ]


def test_the_same_bytes_and_copies_within_a_given_split_are_not_told() -> None:
    pictures = [draw(0), again(draw(0)), draw(1), draw(1), draw(2), again(draw(2))]
    splits = ["train"] * 3 + ["validation", "test", "test"]
    dataset = table(pictures, [0, 0, 1, 1, 0, 0], splits)
    found = find_near_copies(dataset, look_of(dataset, [0, 0, 1, 1, 2, 2]), drawn=False)
    assert (found.counts, found.notices) == ({}, [])
    assert found.groups[2] == found.groups[3]


def test_copies_come_to_one_side_of_a_drawn_validation_split(monkeypatch) -> None:
    monkeypatch.setattr(settle_module, "FEW_PICTURES", 2)
    once = [draw(seed) for seed in range(20)]
    pictures = [*once, *(again(picture, 50) for picture in once[:10])]
    numbers = [*range(20), *range(10)]
    labels = [number % 2 for number in numbers]
    for seed in range(5):
        dataset = table(pictures, labels, ["train"] * 30)
        settings = TrainSettings.of(seed=seed, validation_fraction=0.3)
        settled = settle(dataset, settings, look_of(dataset, numbers))
        sides = settled.dataset.splits
        assert (sides[:10] == sides[20:]).all()
        assert 4 <= (sides == 1).sum() <= 12
        assert settled.copies.counts == {"kept on one side": 20}
        assert settled.copies.notices[0].startswith(
            "20 pictures that nearly copy others were kept on one side (train/"
        )
        assert settled.copies.notices[0].endswith(" and 7 more).")


def test_among_very_many_pictures_only_the_same_bytes_are_sought(monkeypatch) -> None:
    monkeypatch.setattr(copies_module, "MOST", 3)
    pictures = [draw(0), again(draw(0)), draw(1), draw(1)]
    dataset = table(pictures, [0, 0, 1, 1], ["train"] * 4)
    found = find_near_copies(dataset, look_of(dataset, [0, 0, 1, 1]), drawn=True)
    assert len(set(found.groups.tolist())) == 3
    assert found.groups[2] == found.groups[3]
    assert found.counts == {}
    (notice,) = found.notices
    assert notice.startswith("Near copies were not sought among 4 training pictures: ")


def test_a_class_whose_pictures_all_copy_one_another_is_dealt_out() -> None:
    pictures = [*(again(draw(0), quality) for quality in range(40, 80, 10)), draw(1), draw(2)]
    dataset = table(pictures, [0, 0, 0, 0, 1, 1], ["train"] * 6, classes=("burst", "other"))
    found = find_near_copies(dataset, look_of(dataset, [0, 0, 0, 0, 1, 2]), drawn=True)
    assert len(set(found.groups.tolist())) == 6
    assert found.counts == {}
    assert found.notices == [
        "All training pictures of 'burst' nearly copy one another, so they were dealt out as if "
        "they did not, and the figures of held-out ones are too good."
    ]


def test_with_several_labels_copies_stay_together_too() -> None:
    pictures = [draw(0), again(draw(0)), draw(1), draw(2)]
    labels = np.array([[1, 1], [1, 0], [1, 1], [0, 0]], dtype=np.uint8)
    dataset = table(pictures, labels, ["train"] * 4)
    found = find_near_copies(dataset, look_of(dataset, [0, 0, 1, 2]), drawn=True)
    assert found.groups[0] == found.groups[1]
    assert len(set(found.groups.tolist())) == 3


def test_small_pictures_and_networks_from_scratch_know_the_same_bytes_alone(monkeypatch) -> None:
    small = [draw(0).resize((28, 28)), draw(0).resize((28, 28), 0), draw(1).resize((28, 28))]
    dataset = table([*small, small[0]], [0, 1, 0, 1], ["train"] * 4)
    seen = look_of(dataset, [0, 0, 1, 0])
    monkeypatch.setattr(seen, "features", None)  # are not even asked for
    found = find_near_copies(dataset, seen, drawn=True)
    seen.cache = None
    assert find_near_copies(dataset, seen, drawn=True).groups.tolist() == found.groups.tolist()
    assert found.groups[0] == found.groups[3]
    assert len(set(found.groups.tolist())) == 3
    assert not found.notices


def test_small_files_are_not_compared_either(tmp_path, monkeypatch) -> None:
    for number in range(3):
        draw(number // 2).resize((28, 28 + number)).save(tmp_path / f"{number}.png")
    dataset = table([draw(0)] * 3, [0, 1, 0], ["train"] * 3)
    dataset = replace(dataset, sources=[tmp_path / f"{number}.png" for number in range(3)])
    seen = look_of(table([draw(0), draw(1), draw(2)], [0, 1, 0], ["train"] * 3), [0, 0, 1])
    monkeypatch.setattr(seen, "features", None)
    assert find_near_copies(dataset, seen, drawn=True).notices == []


def test_a_picture_that_is_gone_meanwhile_copies_nothing(tmp_path) -> None:
    draw(0).save(tmp_path / "one.png")
    dataset = table([draw(0), again(draw(0)), draw(1)], [0, 1, 0], ["train"] * 3)
    seen = look_of(dataset, [0, 0, 1])
    here = replace(dataset, sources=[tmp_path / "one.png", *dataset.sources[1:]])
    assert find_near_copies(here, seen, drawn=True).counts == {"kept on one side": 2}
    gone = replace(dataset, sources=[tmp_path / "gone.png", *dataset.sources[1:]])
    assert find_near_copies(gone, seen, drawn=True).counts == {}


@pytest.fixture
def with_a_copy(make_photos, tmp_path):
    """Class folders of train and test photos; one of test is a compressed one of train."""
    photos = make_photos(tmp_path / "p", {"cat": 8, "dog": 8}, (120, 100), splits=("train", "test"))
    picture = Image.open(photos / "train/cat/0003.jpg")
    picture.save(photos / "test/cat/copy.jpg", quality=60)
    return photos


def test_train_tells_and_writes_down_a_copy_in_test(with_a_copy, tmp_path) -> None:
    settings = TrainSettings.of(size=64, hidden_size=0)
    run = train_bundle(read(with_a_copy), tmp_path / "b", settings, Progress(quiet=True))
    (told,) = run.notices
    assert told.startswith("1 test picture nearly copies a training picture (test/cat/copy.jpg ~ ")
    assert "train/cat/0003.jpg" in told
    manifest = json.loads((tmp_path / "b/bundle.json").read_text("utf-8"))
    assert manifest["data"]["near_copies"] == {"test": 1}
    assert "test/cat/copy.jpg" in (tmp_path / "b/report.html").read_text("utf-8")
    assert run.metrics["test"]["n"] == 17, "it is told, not left out"


def test_folds_keep_copies_together(with_a_copy) -> None:
    from silverprint.workflows import train as module

    (with_a_copy / "test/cat/copy.jpg").rename(with_a_copy / "train/cat/copy.jpg")
    settings = TrainSettings.of(size=64, hidden_size=0)
    run = look_at(read(with_a_copy), settings, Progress(quiet=True))
    rows = run.dataset.rows("train")
    names = [run.dataset.names[row] for row in rows]
    fold_of = dict(zip(names, module._folds(run, rows), strict=True))
    assert fold_of["train/cat/copy.jpg"] == fold_of["train/cat/0003.jpg"]
    assert run.copies is not None
    assert run.copies.counts == {"kept on one side": 2}
