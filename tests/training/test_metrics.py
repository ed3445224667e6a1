import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer

from silverprint.training.metrics import (
    evaluate,
    evaluate_multi_label,
    evaluate_single_label,
    fit_temperature,
    sigmoid,
    softmax,
    wilson_interval,
)

quick = settings(max_examples=40, deadline=None)


def names(count):
    return tuple(f"class {k}" for k in range(count))


def random_single(seed, n, count):
    generator = np.random.default_rng(seed)
    probabilities = softmax(generator.normal(size=(n, count)) * 2).astype(np.float32)
    return probabilities, generator.integers(count, size=n)


@quick
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(2, 8))
def test_single_label_agrees_with_scikit_learn(seed, n, count):
    probabilities, labels = random_single(seed, n, count)
    found = evaluate_single_label(probabilities, labels, names(count))
    predicted, every = probabilities.argmax(1), range(count)
    matrix = peer.confusion_matrix(labels, predicted, labels=every)
    assert found["confusion"] == matrix.tolist()
    assert found["accuracy"] == pytest.approx(peer.accuracy_score(labels, predicted))
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(1, keepdims=True)
    # A probability in float32 is known to 6e-8, which counts where one picture's is nearly 1.
    expected = peer.log_loss(labels, exact, labels=every)
    assert found["log_loss"] == pytest.approx(expected, rel=1e-5, abs=1e-7)
    for k in (3, 5):
        assert (f"top_{k}" in found) == (count > k)
        if count > k:
            expected = peer.top_k_accuracy_score(labels, probabilities, k=k, labels=every)
            assert found[f"top_{k}"] == pytest.approx(expected)
    columns = peer.precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    for name, *expected in zip(names(count), *columns, strict=True):
        row = found["per_class"][name]
        got = [row["precision"] or 0, row["recall"] or 0, row["f1"] or 0, row["support"]]
        assert got == pytest.approx(expected)
    seen = np.unique(labels)
    macro = peer.precision_recall_fscore_support(
        labels, predicted, labels=seen, average="macro", zero_division=0
    )
    got = [found["macro_precision"], found["macro_recall"], found["macro_f1"]]
    assert got == pytest.approx(list(macro[:3]))


@quick
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 6))
def test_multi_label_agrees_with_scikit_learn(seed, n, count):
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=(n, count)).astype(np.uint8)
    # one decimal: plenty of equal scores
    probabilities = generator.random((n, count)).round(1).astype(np.float32)
    found = evaluate_multi_label(probabilities, labels, names(count))
    predicted = (probabilities >= 0.5).astype(int)
    assert found["accuracy"] == pytest.approx((predicted == labels).all(1).mean())
    assert found["hamming_loss"] == pytest.approx((predicted != labels).mean())
    columns = (
        peer.precision_recall_fscore_support(
            labels.reshape(-1, count), predicted, average=None, zero_division=0
        )
        if count > 1
        else None
    )
    averages = []
    for k, name in enumerate(names(count)):
        row = found["per_class"][name]
        if columns is not None:
            got = [row["precision"] or 0, row["recall"] or 0, row["f1"] or 0, row["support"]]
            assert got == pytest.approx([column[k] for column in columns])
        if labels[:, k].any():
            averages.append(peer.average_precision_score(labels[:, k], probabilities[:, k]))
            assert row["average_precision"] == pytest.approx(averages[-1])
        else:
            assert row["average_precision"] is row["recall"] is row["f1"] is None
    mean = found["mean_average_precision"]
    assert mean == (pytest.approx(np.mean(averages)) if averages else None)
    if count > 1:
        expected = peer.f1_score(labels, predicted, average="micro", zero_division=0)
        assert (found["micro_f1"] or 0) == pytest.approx(expected)


def test_a_class_without_predictions_and_one_without_pictures():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.7, 0.2, 0.1]], np.float32)
    found = evaluate_single_label(probabilities, np.array([0, 1]), ("a", "b", "c"))
    never = {"precision": None, "recall": 0.0, "f1": 0.0, "support": 1}
    assert found["per_class"]["b"] == never
    nothing = {"precision": None, "recall": None, "f1": None, "support": 0}
    assert found["per_class"]["c"] == nothing
    assert found["macro_precision"] == pytest.approx(0.25)  # (1/2 + 0) / 2: b counts, c does not
    assert found["confusion"] == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_one_picture():
    found = evaluate_single_label(np.array([[0.25, 0.75]], np.float32), np.array([1]), ("a", "b"))
    assert (found["n"], found["accuracy"]) == (1, 1.0)
    assert found["accuracy_interval"] == pytest.approx([0.2065, 1.0], abs=1e-4)
    assert found["log_loss"] == pytest.approx(-np.log(0.75))
    assert found["calibration"]["error"] == pytest.approx(0.25)
    filled = [row for row in found["calibration"]["bins"] if row["count"]]
    assert filled == [
        {"low": pytest.approx(11 / 15), "high": 0.8, "count": 1, "confidence": 0.75, "observed": 1}
    ]


def test_perfect_and_certain_mistakes_stay_finite():
    labels = np.arange(4)
    perfect = evaluate_single_label(np.eye(4, dtype=np.float32), labels, names(4))
    assert perfect["accuracy"] == perfect["macro_f1"] == perfect["top_3"] == 1
    assert perfect["calibration"]["error"] == 0
    wrong = evaluate_single_label(np.eye(4, dtype=np.float32), (labels + 1) % 4, names(4))
    assert wrong["accuracy"] == 0
    assert 15 < wrong["log_loss"] < 16.2


def test_of_equal_probabilities_the_first_wins_everywhere():
    flat = np.full((4, 4), 0.25, np.float32)
    found = evaluate_single_label(flat, np.arange(4), names(4))
    assert (found["accuracy"], found["top_3"]) == (0.25, 0.75)


@quick
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(2, 7))
def test_metrics_survive_json_without_nan(seed, n, count):
    probabilities, labels = random_single(seed, n, count)
    hot = (np.arange(count) == labels[:, None]).astype(np.uint8)
    for task, truth in (("single-label", labels), ("multi-label", hot)):
        found = evaluate(task, probabilities, truth, names(count))
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        assert found["task"] == task
        assert sum(row["count"] for row in found["calibration"]["bins"]) == truth.size


def test_multi_label_without_any_label():
    found = evaluate_multi_label(np.full((3, 2), 0.2), np.zeros((3, 2), np.uint8), ("a", "b"))
    assert found["accuracy"] == 1
    undefined = ("micro_f1", "macro_f1", "mean_average_precision")
    assert [found[key] for key in undefined] == [None] * 3


def test_the_threshold_is_inclusive():
    probabilities = np.array([[0.3]], np.float32)
    found = evaluate_multi_label(probabilities, np.array([[1]]), ("a",), np.float32(0.3))
    assert found["accuracy"] == 1


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.ones((2, 3)) / 3, np.array([0, 1]), r"\(n, 2\).*\(2, 3\)"),
        (np.ones((0, 2)), np.zeros(0, int), r"n > 0, not \(0, 2\)"),
        (np.ones((2, 2)) / 2, np.array([0]), r"\(2,\) integers, not \(1,\)"),
        (np.ones((2, 2)) / 2, np.array([0.0, 1.0]), "float64"),
        (np.ones((2, 2)) / 2, np.array([0, 2]), "0 to 1, not 0 to 2"),
        (np.ones((2, 2)) / 2, np.array([-1, 0]), "not -1 to 0"),
        (np.array([[np.nan, 1]]), np.array([0]), "1 of 2 probabilities are not finite"),
        (np.array([[-1.0, 2.0]]), np.array([0]), "not -1 to 2"),
        (np.array([[0.9, 0.9]]), np.array([0]), "sums to 1.8"),
    ],
)
def test_misuse_is_named(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        evaluate_single_label(probabilities, labels, ("a", "b"))


def test_misuse_of_multi_label_is_named():
    with pytest.raises(ValueError, match=r"\(2,\) do not match"):
        evaluate_multi_label(np.ones((2, 2)), np.array([0, 1]), ("a", "b"))
    with pytest.raises(ValueError, match="0 or 1, not 0 to 3"):
        evaluate_multi_label(np.ones((1, 2)), np.array([[0, 3]]), ("a", "b"))


def test_wilson_interval_of_a_textbook_case():
    assert wilson_interval(0.5, 10) == pytest.approx([0.2366, 0.7634], abs=1e-4)
    assert wilson_interval(0.0, 10)[0] == 0


def test_softmax_and_sigmoid_do_not_overflow():
    wild = np.array([[1e30, -1e30, 0]], np.float32)
    assert softmax(wild).tolist() == [[1, 0, 0]]
    assert sigmoid(wild).tolist() == [[1, 0, 0.5]]
    assert softmax(wild).dtype == sigmoid(wild).dtype == np.float32
    assert sigmoid(np.array([-30.0])) == pytest.approx([np.exp(-30)], rel=1e-9)


def sampled(logits, generator):
    """Labels drawn from the softmax of the logits: these logits are calibrated."""
    return (logits + generator.gumbel(size=logits.shape)).argmax(1)


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5])
def test_the_temperature_of_a_softmax_is_recovered(true):
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(8000, 6)) * 2
    labels = sampled(logits, generator)
    found = fit_temperature((logits * true).astype(np.float32), labels, "single-label")
    assert found == pytest.approx(true, rel=0.06)
    before = evaluate_single_label(softmax(logits * true), labels, names(6))
    after = evaluate_single_label(softmax(logits * true / found), labels, names(6))
    assert after["calibration"]["error"] < 0.02
    assert after["log_loss"] <= before["log_loss"] + 1e-6


@pytest.mark.parametrize("true", [0.3, 2.5])
def test_the_temperature_of_sigmoids_is_recovered(true):
    generator = np.random.default_rng(2)
    logits = generator.normal(size=(4000, 3)) * 2
    labels = (generator.random(logits.shape) < sigmoid(logits)).astype(np.int64)
    assert fit_temperature(logits * true, labels, "multi-label") == pytest.approx(true, rel=0.06)
    one, truth = logits[:, 0] * true, labels[:, 0]
    found = fit_temperature(one, truth, "single-label")
    assert found == pytest.approx(true, rel=0.1)
    assert fit_temperature(one[:, None], truth, "single-label") == found


@pytest.mark.parametrize("scale", [0.01, 1, 100])
def test_no_mistake_in_validation_gives_laplace_confidence(scale):
    n, labels = 30, np.arange(30) % 3
    logits = (np.arange(3) == labels[:, None]) * float(scale)
    temperature = fit_temperature(logits, labels, "single-label")
    confidence = softmax(logits / temperature).max(1)
    assert 0.05 <= temperature <= 20
    if scale == 1:
        assert confidence == pytest.approx((n + 1) / (n + 2), abs=1e-4)


def test_hopeless_and_empty_logits_give_a_sane_temperature():
    labels = np.array([0, 1, 0, 1])
    against = (np.arange(2) != labels[:, None]) * 9.0
    assert fit_temperature(against, labels, "single-label") == pytest.approx(20)
    assert fit_temperature(np.full((4, 2), 3.0), labels, "single-label") == 1
    single = fit_temperature(np.array([[4.0, 1.0]]), np.array([0]), "single-label")
    assert 0.05 <= single <= 20


@pytest.mark.parametrize(
    ("logits", "labels", "task"),
    [
        (np.array([[np.inf, 0]]), np.array([0]), "single-label"),
        (np.zeros((0, 2)), np.zeros(0, int), "single-label"),
        (np.zeros((2, 2)), np.array([0, 2]), "single-label"),
        (np.zeros((2, 1)), np.array([0, 2]), "single-label"),
        (np.zeros((2, 2)), np.array([0, 1]), "multi-label"),
    ],
)
def test_misuse_of_fit_temperature(logits, labels, task):
    with pytest.raises(ValueError, match=r"logits|labels"):
        fit_temperature(logits, labels, task)
