import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from silverprint.data.splits import folds, split_test, split_validation
from silverprint.data.table import Dataset
from silverprint.errors import ConfigError, DataError

labels_of_three = st.lists(st.integers(0, 2), min_size=4, max_size=60)
seeds = st.integers(0, 5)
fractions = st.floats(0.05, 0.9)


def single(labels: list[int], names: list[str] | None = None) -> Dataset:
    count = len(labels)
    return Dataset(
        name="photos",
        classes=("a", "b", "c"),
        sources=[np.zeros((1, 1), np.uint8)] * count,
        names=names or [f"{i}.jpg" for i in range(count)],
        labels=np.array(labels, np.int64),
        splits=np.zeros(count, np.int8),
    )


def multi(labels: NDArray[np.uint8]) -> Dataset:
    dataset = single([0] * len(labels))
    return Dataset(
        name="tags",
        classes=tuple("abcdef"[: labels.shape[1]]),
        sources=dataset.sources,
        names=dataset.names,
        labels=labels,
        splits=dataset.splits,
        task="multi-label",
    )


def moved_names(dataset: Dataset) -> set[str]:
    return {dataset.names[row] for row in dataset.rows("validation")}


@settings(deadline=None)
@given(labels_of_three, fractions, seeds)
def test_each_class_gives_its_share(labels: list[int], fraction: float, seed: int) -> None:
    dataset = single(labels)
    if max(dataset.class_counts().values()) < 2:
        return
    split = split_validation(dataset, fraction=fraction, seed=seed)
    total, train = dataset.class_counts(), split.class_counts("train")
    validation = split.class_counts("validation")
    for name, count in total.items():
        assert train[name] + validation[name] == count
        assert train[name] >= min(count, 1)
        if count > 1:
            assert validation[name] >= 1
            assert abs(validation[name] - count * fraction) <= 1
        else:
            assert validation[name] == 0
    np.testing.assert_array_equal(split.labels, dataset.labels)


@settings(deadline=None)
@given(labels_of_three, seeds, st.randoms())
def test_order_of_files_does_not_matter(
    labels: list[int], seed: int, shuffler: random.Random
) -> None:
    labels = [*labels, 0, 0]
    named = [(f"{i}.jpg", label) for i, label in enumerate(labels)]
    shuffled = named.copy()
    shuffler.shuffle(shuffled)
    first = split_validation(single(labels), seed=seed)
    second = split_validation(
        single([label for _, label in shuffled], [name for name, _ in shuffled]), seed=seed
    )
    assert moved_names(first) == moved_names(second)


@settings(deadline=None)
@given(labels_of_three, st.data(), fractions, seeds)
def test_groups_stay_together(
    labels: list[int], data: st.DataObject, fraction: float, seed: int
) -> None:
    groups = np.array(
        data.draw(st.lists(st.integers(0, 12), min_size=len(labels), max_size=len(labels)))
    )
    dataset = single(labels)
    try:
        split = split_validation(dataset, fraction=fraction, seed=seed, groups=groups)
    except DataError as error:
        assert "without leaving a class without any" in str(error)  # noqa: PT017
        return
    for group in set(groups.tolist()):
        assert len(set(split.splits[groups == group].tolist())) == 1
    train = split.class_counts("train")
    assert all(train[name] >= 1 for name, count in dataset.class_counts().items() if count)


def test_seeds_differ_and_repeat() -> None:
    dataset = single([0, 1, 2] * 40)
    chosen = [moved_names(split_validation(dataset, seed=seed)) for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_a_grown_folder_keeps_most_where_they_were() -> None:
    before = moved_names(split_validation(single([0, 1] * 100), fraction=0.2))
    after = moved_names(split_validation(single([0, 1] * 105), fraction=0.2))
    assert len(before & after) >= 34  # of 40


def test_it_says_what_it_did() -> None:
    split = split_validation(single([0] * 20 + [1] * 20 + [2]), fraction=0.25, seed=3)
    assert split.notices == (
        "No validation split was given: 10 of 41 train pictures (24%) were set aside for it, "
        "stratified by class, seed 3.",
        "No validation picture of 'c': there is only one, or all are in one group, and what there "
        "is stays in train.",
    )


def test_pictures_without_classes_are_not_said_to_be_stratified() -> None:
    loose = replace(single([0] * 20), classes=("none",))
    (told,) = split_validation(loose, fraction=0.25).notices
    assert told.endswith("5 of 20 train pictures (25%) were set aside for it, seed 0.")


def test_a_given_validation_split_stays() -> None:
    split = split_validation(single([0, 1] * 10))
    assert split_validation(split, seed=9) is split


def test_test_pictures_are_never_moved() -> None:
    tested = split_test(single([0, 1] * 50), fraction=0.2, seed=0)
    split = split_validation(tested, fraction=0.25, seed=0)
    assert [len(split.rows(s)) for s in ("train", "validation", "test")] == [60, 20, 20]
    np.testing.assert_array_equal(split.rows("test"), tested.rows("test"))


def test_a_class_in_two_large_groups_still_gives_one() -> None:
    groups = np.array([0] * 6 + [1] * 4 + list(range(2, 22)))
    split = split_validation(single([0] * 10 + [1] * 20), fraction=0.1, groups=groups)
    assert split.class_counts("validation") == {"a": 4, "b": 2, "c": 0}


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 1), min_size=4, max_size=4), min_size=10, max_size=60), seeds
)
def test_multi_label(rows: list[list[int]], seed: int) -> None:
    labels = np.array(rows, np.uint8)
    dataset = multi(labels)
    split = split_validation(dataset, fraction=0.2, seed=seed)
    total, train = dataset.class_counts(), split.class_counts("train")
    validation = split.class_counts("validation")
    for name, count in total.items():
        assert train[name] >= min(count, 1)
        assert train[name] + validation[name] == count
    assert split.has("validation")


def test_multi_label_shares_are_near() -> None:
    labels = (np.random.default_rng(0).random((2000, 4)) < [0.5, 0.3, 0.1, 0.02]).astype(np.uint8)
    split = split_validation(multi(labels), fraction=0.2)
    for name, count in split.class_counts("validation").items():
        assert 0.7 < count / (0.2 * split.class_counts()[name]) < 1.1
    assert 0.15 < len(split.rows("validation")) / 2000 < 0.21


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_fractions_out_of_range(fraction: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        split_validation(single([0, 1] * 4), fraction=fraction)


def test_what_cannot_be_split() -> None:
    with pytest.raises(DataError, match="of 3 train pictures none can be set aside"):
        split_validation(single([0, 1, 2]))
    with pytest.raises(
        DataError, match=r"Every picture needs one group: 4 pictures, groups \(3,\)"
    ):
        split_validation(single([0, 1, 0, 1]), groups=np.arange(3))
    dataset = single([0, 1])
    dataset.splits[:] = 2
    with pytest.raises(DataError, match="no train split to take validation pictures from"):
        split_validation(dataset)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=6, max_size=80), st.integers(2, 6), seeds)
def test_folds_are_stratified(labels: list[int], k: int, seed: int) -> None:
    values = np.array(labels, np.int64)
    fold = folds(values, k, seed=seed)
    assert fold.shape == values.shape
    assert fold.dtype == np.int64
    for label in set(labels):
        counts = np.bincount(fold[values == label], minlength=k)
        assert counts.max() - counts.min() <= 1
    assert len(np.bincount(fold, minlength=k)) == k
    np.testing.assert_array_equal(fold, folds(values, k, seed=seed))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), min_size=2, max_size=60), seeds)
def test_folds_keep_groups_together(rows: list[tuple[int, int]], seed: int) -> None:
    labels, groups = np.array(rows).T
    if len(set(groups.tolist())) < 2:
        with pytest.raises(DataError, match="2 folds need as many pictures or groups"):
            folds(labels, 2, groups=groups)
        return
    fold = folds(labels, 2, seed=seed, groups=groups)
    assert set(fold.tolist()) == {0, 1}
    for group in set(groups.tolist()):
        assert len(set(fold[groups == group].tolist())) == 1


@settings(deadline=None)
@given(seeds)
def test_folds_of_pairs_are_nearly_even(seed: int) -> None:
    labels = np.repeat([0, 1, 0, 1, 1], 40)
    fold = folds(labels, 5, seed=seed, groups=np.arange(200) // 2)
    for label, count in ((0, 80), (1, 120)):
        counts = np.bincount(fold[labels == label], minlength=5)
        assert abs(counts - count / 5).max() <= 2


def test_folds_of_multi_label() -> None:
    labels = (np.random.default_rng(0).random((300, 3)) < [0.5, 0.2, 0.05]).astype(np.uint8)
    fold = folds(labels, 3, seed=0)
    counts = np.stack([labels[fold == number].sum(axis=0) for number in range(3)])
    assert (np.ptp(counts, axis=0) <= [6, 4, 2]).all()
    assert np.ptp(np.bincount(fold)) <= 6


def test_folds_out_of_range() -> None:
    with pytest.raises(ConfigError, match="at least 2 folds, not 1"):
        folds(np.array([0, 1]), 1)
    with pytest.raises(DataError, match="3 folds need as many pictures or groups, but there are 2"):
        folds(np.array([0, 1]), 3)
