"""Groups: pictures that belong together stay on one side of splits that are drawn."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import silverprint as sp
from silverprint.backbones.look import Look
from silverprint.backbones.reading import bytes_of_array
from silverprint.data.table import Dataset
from silverprint.training.progress import Progress
from silverprint.workflows import train as module
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.settle import leaks, settle
from silverprint.workflows.train import train_bundle

SCRATCH = TrainSettings.of(from_scratch=True)


@pytest.fixture(autouse=True)
def ready() -> None:
    """Only the one test that trains needs a prepared network, and makes it."""


def dots(count: int = 24, copied: bool = False) -> Dataset:
    """Return pictures of two classes in turn; where copied, each comes twice, far apart."""
    contents = np.arange(count) % (count // 2) if copied else np.arange(count)
    return Dataset(
        "dots", ("a", "b"), [np.full((8, 8), content, np.uint8) for content in contents],
        [f"{row}.png" for row in range(count)], np.arange(count) % 2, np.zeros(count, np.int8),
    )  # fmt: skip


def looked(dataset: Dataset) -> Look:
    digests = [hashlib.sha256(bytes_of_array(source)).digest() for source in dataset.sources]
    return Look("torch", np.arange(len(dataset)), digests, [])


def torn(dataset: Dataset, groups: np.ndarray) -> set[int]:
    of_split = [set(groups[dataset.rows(split)].tolist()) for split in ("train", "validation")]
    return of_split[0] & of_split[1]


@given(st.lists(st.integers(0, 11), min_size=24, max_size=24).filter(lambda own: len({*own}) > 5))
def test_a_drawn_split_tears_neither_a_group_nor_copies(own: list[int]) -> None:
    dataset, contents = dots(copied=True).with_groups(own), np.arange(24) % 12
    try:
        found = settle(dataset, SCRATCH, looked(dataset)).dataset
    except sp.DataError as error:  # groups and copies hold nearly all together
        assume("none can be " not in str(error))
        raise
    assert len(found.rows("validation"))
    assert torn(found, np.array(own)) == set()
    assert torn(found, contents) == set()
    assert leaks(found, looked(dataset)) == []


def test_without_groups_the_same_split_does_tear() -> None:
    dataset, own = dots(), np.arange(24) // 4
    assert torn(settle(dataset, SCRATCH, looked(dataset)).dataset, own)
    assert not torn(settle(dataset.with_groups(own), SCRATCH, looked(dataset)).dataset, own)


def test_folds_keep_groups_whole(make_photos, tmp_path, monkeypatch) -> None:
    photos = sp.read(make_photos(tmp_path / "photos", {"cat": 9, "dog": 9}))
    own = np.arange(18) // 3
    folds, plain = [], module.cross_validate_heads

    def recorded(heads, data, fold_of, *rest):
        folds.append(fold_of)
        return plain(heads, data, fold_of, *rest)

    monkeypatch.setattr(module, "cross_validate_heads", recorded)
    settings = TrainSettings.of(size=64, hidden_size=0)
    run = train_bundle(photos.with_groups(own), tmp_path / "b", settings, Progress(quiet=True))
    assert run.cross_validated == 5
    assert [len(np.unique(folds[0][own == group])) for group in range(6)] == [1] * 6


def test_given_splits_that_tear_groups_are_told() -> None:
    dataset = dots().with_groups(np.arange(24) // 6)
    dataset = dataset.with_splits(["train", "train", "test", "test", "dev", "dev"] * 4)
    assert leaks(dataset, looked(dataset)) == [
        "4 groups with validation pictures have training pictures too, so the validation figures "
        "may be too good.",
        "4 groups with test pictures have training pictures too, so the test figures may be too "
        "good.",
    ]


def test_groups_that_leave_nothing_to_hold_out_are_refused() -> None:
    one = dots().with_groups(["film"] * 24)
    with pytest.raises(
        sp.DataError, match=r"all training pictures are in one group, or .* none can be"
    ):
        settle(one, SCRATCH, looked(one))
    by_class = dots().with_groups(["a", "b"] * 12)
    message = (
        "dots: all training pictures of a, b are in one group, or in groups that share a copy; "
        "with fewer than 500 training pictures each class needs at least 2 to be cross-validated"
    )
    with pytest.raises(sp.DataError, match=message):
        settle(by_class, TrainSettings.of(), looked(by_class))
    # Groups 0 and 2, and 1 and 3, share copies.
    copied = dots(count=8, copied=True).with_groups([0, 1, 2, 3, 2, 3, 0, 1])
    with pytest.raises(sp.DataError, match="of a, b are in one group, or in groups that share a"):
        settle(copied, TrainSettings.of(), looked(copied))
    with pytest.raises(sp.DataError, match="none can be set aside for validation"):
        settle(by_class, SCRATCH, looked(by_class))


def test_groups_of_several_labels_a_picture() -> None:
    labels = np.eye(2, dtype=np.uint8)[np.arange(24) % 2]
    several = replace(dots(), labels=labels, task="multi-label").with_groups(np.arange(24) // 4)
    found = settle(several, TrainSettings.of(), looked(several))
    assert found.folds == 5
