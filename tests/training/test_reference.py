"""What is usual for a model's pictures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from silverprint.training.reference import class_centres, left_out_distances, usual


def unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def test_a_centre_is_the_mean_direction_of_its_class(monkeypatch):
    monkeypatch.setattr("silverprint.training.reference.TOGETHER", 3)
    features = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    labels = np.array([0, 1] * 5)
    centres = class_centres(features, labels, 3)
    assert centres.dtype == np.float32
    for label in (0, 1):
        mean = unit(features)[labels == label].mean(0)
        np.testing.assert_allclose(centres[label], unit(mean), rtol=1e-5)
    assert not centres[2].any(), "an empty class has none"


def test_a_picture_with_two_labels_counts_for_both():
    features = np.eye(2, dtype=np.float32)
    several = np.array([[1, 1], [0, 1]])
    np.testing.assert_allclose(class_centres(features, several, 2), [[1, 0], [2**-0.5] * 2])


@given(st.integers(2, 12), st.integers(1, 3), st.booleans(), st.integers(0, 99))
def test_leaving_out_is_as_if_it_had_never_been_there(count, classes, several, seed):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 6)).astype(np.float32)  # 5: see test_selection.py
    shape = (count, classes) if several else count
    labels = rng.integers(0, 2 if several else classes, shape)
    found = left_out_distances(features, labels, classes)
    for i in range(count):
        others = np.arange(count) != i
        centres = class_centres(features[others], labels[others], classes)
        expected = 1 - (unit(features[i]) @ centres.T).max()
        assert found[i] == pytest.approx(expected, abs=2e-3)


def test_usual_values_are_quantiles():
    assert usual(np.arange(101) / 100)[::5] == [0, 0.25, 0.5, 0.75, 1]
    assert len(usual([0.5])) == 21
