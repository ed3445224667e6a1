"""A head as plain arrays."""

import numpy as np
import pytest

from silverprint.models.head import Head


def made(hidden: int | None, outputs: int = 3, inputs: int = 5, seed: int = 0) -> Head:
    random = np.random.default_rng(seed)

    def array(*shape: int) -> np.ndarray:
        return random.normal(0, 1, shape).astype(np.float32)

    if hidden is None:
        return Head(array(outputs, inputs), array(outputs))
    return Head(array(outputs, hidden), array(outputs), array(hidden, inputs), array(hidden))


def test_a_linear_head() -> None:
    head = Head(np.array([[1, 2], [0, -1]], np.float32), np.array([10, 20], np.float32))
    np.testing.assert_array_equal(head.logits(np.array([[1, 1], [2, 0]], np.float32)),
                                  [[13, 19], [12, 20]])  # fmt: skip


def test_the_hidden_layer_has_relus() -> None:
    one = np.ones((1, 1), np.float32)
    head = Head(one, np.zeros(1, np.float32), one, np.full(1, -2, np.float32))
    logits = head.logits(np.array([[5], [2], [-7]], np.float32))
    np.testing.assert_array_equal(logits, [[3], [0], [0]])


@pytest.mark.parametrize("hidden", [None, 7])
def test_a_head_for_raw_features_answers_the_same(hidden) -> None:
    head = made(hidden)
    random = np.random.default_rng(1)
    raw = random.normal(40, 3, (20, 5)).astype(np.float32)
    mean = raw.mean(0)
    standard = (raw - mean) / np.float32(2.5)
    moved = head.taking_raw(mean, 2.5)
    np.testing.assert_allclose(moved.logits(raw), head.logits(standard), rtol=1e-4, atol=1e-3)
    assert all(array.dtype == np.float32 for array in moved.tensors().values())


@pytest.mark.parametrize(("hidden", "count"), [(None, 2), (7, 4)])
def test_tensors_are_named_for_the_file(hidden, count) -> None:
    tensors = made(hidden).tensors()
    assert len(tensors) == count
    assert tensors["head.output.bias"].shape == (3,)
    assert all(name.startswith("head.") for name in tensors)
