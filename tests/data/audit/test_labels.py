"""Confident learning on probabilities of which the truth is known."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from silverprint.data.audit.labels import suspect_labels, suspect_tags


def predictions(truth, classes, sure=0.8, seed=0):
    noise = 0.1 + 0.005 * np.random.default_rng(seed).random((len(truth), classes))
    scores = noise + sure * np.eye(classes)[truth]
    return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def test_swapped_labels_are_found_with_their_class() -> None:
    truth = np.arange(300) % 3
    given_ = truth.copy()
    wrong = np.array([5, 50, 150, 299])
    given_[wrong] = (truth[wrong] + 1) % 3
    found = suspect_labels(predictions(truth, 3), given_)
    assert {one.row for one in found} == set(wrong.tolist())
    for one in found:
        assert one.likely == truth[one.row]
        assert one.given == given_[one.row]
        assert one.believed < one.rival
    assert [one.believed for one in found] == sorted(one.believed for one in found)


def test_right_labels_are_left_alone() -> None:
    truth = np.arange(90) % 3
    assert suspect_labels(predictions(truth, 3), truth) == []


def test_as_many_as_are_confidently_off_and_those_least_sure_of_their_label() -> None:
    # Class 1 has 0.5 of itself, so that is its threshold: rows 20 to 22 are off, and no other's
    # own class has as little.
    rows = [[0.9, 0.1]] * 10 + [[0.5, 0.5]] * 10 + [[0.35, 0.65], [0.45, 0.55], [0.05, 0.95]]
    labels = np.array([0] * 10 + [1] * 10 + [0, 0, 0])
    probabilities = np.array(rows, np.float32)
    assert [one.row for one in suspect_labels(probabilities, labels)] == [22, 20, 21]
    probabilities[21] = [0.53, 0.47]  # no longer off, nor disputed
    found = suspect_labels(probabilities, labels)
    assert [one.row for one in found] == [22, 20]
    assert (found[0].believed, found[0].rival) == (np.float32(0.05), np.float32(0.95))


def test_a_class_without_pictures_attracts_none() -> None:
    probabilities = np.array([[0.2, 0.1, 0.7], [0.2, 0.7, 0.1]], np.float32)
    found = suspect_labels(probabilities, np.array([0, 1]))
    assert all(one.likely != 2 for one in found)


def test_tags_are_judged_one_by_one() -> None:
    tags = np.array([[1, 0], [1, 1], [0, 1], [0, 0]] * 10, np.uint8)
    sure = np.where(tags > 0, 0.9, 0.1).astype(np.float32)
    tags[3, 0] = 1  # wrong
    tags[1, 1] = 0  # missing
    found = suspect_tags(sure, tags)
    assert {(one.row, one.given) for one in found} == {(3, 0), (1, 1)}


@given(st.integers(0, 10**6), st.integers(2, 5))
def test_a_suspect_is_always_likelier_elsewhere(seed, classes) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(classes), 40).astype(np.float32)
    labels = random.integers(0, classes, 40)
    for one in suspect_labels(probabilities, labels):
        assert one.given == labels[one.row] != one.likely
        assert probabilities[one.row, one.likely] > probabilities[one.row, one.given]
