"""Which pictures are picked: the unsure ones, and different ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from silverprint.training.selection import choose, uncertainties


def test_uncertainty_is_one_less_the_margin() -> None:
    probabilities = np.array([[1, 0, 0], [0.5, 0.5, 0], [0.3, 0.6, 0.1]], np.float32)
    assert uncertainties(probabilities) == pytest.approx([0, 1, 0.7])


def crowd(seed: int, count: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return probabilities of two classes, features in six directions, and the directions."""
    random = np.random.default_rng(seed)
    group = random.integers(0, 6, count)
    features = np.eye(8, dtype=np.float32)[group] + random.normal(0, 0.02, (count, 8))
    first = np.where(random.random(count) < 0.5, 0.5, 0.999).astype(np.float32)
    probabilities = np.stack([first, 1 - first], axis=1)
    return probabilities, features.astype(np.float32), group


@pytest.mark.parametrize("seed", range(5))
def test_the_unsure_come_first_and_from_everywhere(seed) -> None:
    probabilities, features, group = crowd(seed)
    chosen = choose(probabilities, features, 6, seed=seed)
    assert uncertainties(probabilities)[chosen].min() > 0.9
    assert sorted(group[chosen]) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("seed", range(5))
def test_what_is_like_a_labelled_picture_comes_last(seed) -> None:
    probabilities, features, group = crowd(seed)
    chosen = choose(probabilities, features, 3, labelled=features[group < 3][:40], seed=seed)
    assert sorted(group[chosen]) == [3, 4, 5]


def test_of_very_many_the_least_certain_are_drawn_from(monkeypatch) -> None:
    monkeypatch.setattr("silverprint.training.selection.MOST", 50)
    random = np.random.default_rng(0)
    features = random.normal(size=(300, 8)).astype(np.float32)
    first = random.uniform(0.4, 0.6, 300).astype(np.float32)
    probabilities = np.stack([first, 1 - first], axis=1)
    least_certain = np.argsort(-uncertainties(probabilities))[:50]
    assert set(choose(probabilities, features, 40)) <= set(least_certain)
    assert len(choose(probabilities, features, 60)) == 60


def test_lengths_of_features_do_not_count() -> None:
    probabilities, features, _ = crowd(0)
    lengths = np.random.default_rng(1).uniform(0.5, 2, (len(features), 1)).astype(np.float32)
    assert (
        choose(probabilities, features, 9) == choose(probabilities, features * lengths, 9)
    ).all()


@given(
    st.integers(1, 12), st.integers(0, 15), st.integers(2, 4), st.integers(0, 3), st.booleans(),
    st.integers(0, 9),
)  # fmt: skip
def test_any_input_gives_each_picture_at_most_once(count, wanted, classes, known, same, seed):
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(classes), count).astype(np.float32)
    # Not five features: OpenBLAS 0.3.31 (AVX-512) then reads what lies on the stack beside them,
    # and may say "invalid value" of products that are right.
    features = random.normal(size=(count, 6)).astype(np.float32)
    if same:  # all alike, and nothing seen in them, and sure of all
        features[:] = 0
        probabilities = np.eye(classes, dtype=np.float32)[np.zeros(count, int)]
    labelled = features[:known] if known else None
    chosen = choose(probabilities, features, wanted, labelled, seed)
    assert len(chosen) == len(set(chosen.tolist())) == min(count, wanted)
    assert (chosen == choose(probabilities, features, wanted, labelled, seed)).all()
