import numpy as np
import pytest
import scipy.linalg

from silverprint.training.frechet import Cloud, frechet_distance, precision_recall

Array = np.ndarray


def cloud(count: int = 400, shift: float = 0.0, scale: float = 1.0, seed: int = 0) -> Array:
    values = np.random.default_rng(seed).standard_normal((count, 5))
    mixed = values @ np.random.default_rng(99).standard_normal((5, 5))
    return (mixed * scale + shift).astype(np.float32)


def test_the_same_pictures_are_at_no_distance() -> None:
    one = Cloud.of(cloud())
    assert frechet_distance(one, one) < 1e-9


def test_a_shift_costs_its_square_and_a_stretch_the_squared_difference() -> None:
    plain, shifted = Cloud.of(cloud()), Cloud.of(cloud(shift=2.0))
    assert frechet_distance(plain, shifted) == pytest.approx(5 * 4, rel=1e-4)
    wide = Cloud.of(cloud(scale=3.0))  # every deviation three times as large
    expected = np.square(2 * plain.mean).sum() + 4 * np.trace(plain.covariance)
    assert frechet_distance(plain, wide) == pytest.approx(expected, rel=1e-4)


def test_it_is_what_the_formula_says_with_a_matrix_root() -> None:
    one, two = Cloud.of(cloud()), Cloud.of(cloud(seed=1)[:, ::-1] * 2 + 1)
    root = scipy.linalg.sqrtm(one.covariance @ two.covariance).real
    expected = np.square(one.mean - two.mean).sum()
    expected += np.trace(one.covariance + two.covariance - 2 * root)
    assert frechet_distance(one, two) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(two, one) == pytest.approx(expected, rel=1e-6)


def test_features_that_never_vary_and_fewer_pictures_than_features_do_no_harm() -> None:
    flat = np.random.default_rng(0).standard_normal((6, 40)).astype(np.float32)
    flat[:, 20:] = 0
    assert frechet_distance(Cloud.of(flat), Cloud.of(flat)) < 1e-6
    assert np.isfinite(frechet_distance(Cloud.of(flat), Cloud.of(flat + 1)))


def test_precision_falls_with_wrong_pictures_and_recall_with_missing_ones() -> None:
    random = np.random.default_rng(0)
    real = np.concatenate([random.normal(0, 1, (200, 2)), random.normal(20, 1, (200, 2))])
    real = real.astype(np.float32)
    alike = real + random.normal(0, 0.01, real.shape).astype(np.float32)
    assert min(precision_recall(real, alike)) > 0.99
    half_wrong = np.concatenate([alike[::2], alike[::2] + 500])
    precision, recall = precision_recall(real, half_wrong)
    assert precision == pytest.approx(0.5, abs=0.02)
    assert recall > 0.9
    one_kind = random.normal(0, 1, (400, 2)).astype(np.float32)
    precision, recall = precision_recall(real, one_kind)
    assert precision > 0.9
    assert recall == pytest.approx(0.5, abs=0.05)
