"""Sets of labels: the promise is kept, for any numbers and any share."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint.errors import ConfigError
from silverprint.runtime.bundle import Bundle
from silverprint.training import sets
from silverprint.training.metrics import softmax
from silverprint.training.sets import evaluate_sets, lines_of

NAMES = ("hat", "shoes", "skirt")


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(3, size=n)
    logits = random.normal(size=(n, 3)) + 1.5 * np.eye(3)[labels]
    return softmax(logits).astype(np.float32), labels


def bundle_of(probabilities: np.ndarray, labels: np.ndarray) -> Bundle:
    known = {"task": "single-label", "classes": list(NAMES)}
    return Bundle(Path("b"), {**known, "sets": lines_of(probabilities, labels)})


def test_lines_are_the_truth_highest_first() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25], [0.1, 0.0, 0.9]], np.float32)
    found = lines_of(probabilities, np.array([0, 0, 2]))
    assert found["pictures"] == 3
    assert found["probabilities"] == pytest.approx([0.9, 0.7, 0.25], abs=2e-6)
    bundle = bundle_of(probabilities, np.array([0, 0, 2]))
    asked = [bundle.least_likely(share) for share in (0.01, 0.25, 0.26, 0.5, 0.75)]
    assert asked == pytest.approx([0.9, 0.9, 0.7, 0.7, 0.25], abs=2e-6)
    with pytest.raises(ConfigError) as told:
        bundle.least_likely(0.76)
    assert str(told.value) == (
        "coverage 0.76 is more than the 3 held-out pictures of b can promise; ask for 0.75 or "
        "less, or train it with more."
    )


@given(st.integers(1, 300), st.floats(0.001, 0.999), st.integers(0, 1000), st.integers(1, 50))
def test_held_out_pictures_themselves_are_covered(n, share, seed, stored) -> None:
    """Of the n pictures at least share * (n + 1) hold their truth: that is the promise's proof."""
    probabilities, labels = drawn(n, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sets, "STORED", stored)
        bundle = bundle_of(probabilities, labels)
    kept = bundle.manifest["sets"]["probabilities"]
    assert len(kept) == min(n, stored)
    assert kept == sorted(kept, reverse=True)
    try:
        least = bundle.least_likely(share)
    except ConfigError:
        assert share > len(kept) / (len(kept) + 1) - 1e-6
        return
    held = (probabilities[np.arange(n), labels] >= np.float32(least)).sum()
    assert held >= share * (n + 1) - 1e-6
    if stored >= n:
        assert held < share * (n + 1) + 1, "and no more than it must"


@settings(max_examples=10)
@given(st.floats(0.5, 0.98))
def test_the_promise_is_kept_for_new_pictures(share) -> None:
    held = []
    for seed in range(60):
        probabilities, labels = drawn(300, seed)
        least = bundle_of(probabilities[:100], labels[:100]).least_likely(share)
        held.append(evaluate_sets(probabilities[100:], labels[100:], NAMES, least)["coverage"])
    # The mean of 60 has a standard error below 0.008; the promise exceeds the share by under 0.01.
    assert share - 0.03 < np.mean(held) < share + 0.04


def test_sets_are_measured() -> None:
    probabilities = np.array(
        [[0.7, 0.2, 0.1], [0.45, 0.45, 0.1], [0.3, 0.3, 0.4], [0.6, 0.4, 0.0]], np.float32
    )
    labels = np.array([0, 1, 0, 1])
    answered = np.array([True, True, False, True])
    found = evaluate_sets(probabilities, labels, NAMES, 0.45, answered)
    assert found["coverage"] == 0.5
    assert found["sizes"] == {"0": 1, "1": 2, "2": 1}
    assert found["mean_size"] == 1.0
    assert found["per_class"] == {"hat": 0.5, "shoes": 0.5, "skirt": None}
    assert found["answered"] == {
        "n": 3, "coverage": pytest.approx(2 / 3), "mean_size": pytest.approx(4 / 3),
    }  # fmt: skip
    nobody = evaluate_sets(probabilities, labels, NAMES, 0.45, np.zeros(4, np.bool_))
    assert nobody["answered"] == {"n": 0, "coverage": None, "mean_size": None}
    assert evaluate_sets(probabilities, labels, NAMES, 0.0)["mean_size"] == 3
