"""How good are the predictions: numbers for the bundle, the report and the terminal. numpy only.

Everything returned is plain Python, ready for JSON. A value that does not exist is None, never NaN:
a class's precision if it was never predicted; its recall, F1 and average precision if no picture
has it (no support). Macro averages run over the classes with support; one of those that was never
predicted counts with precision 0, so ignoring a hard class never looks like an improvement.

Input that does not fit is a fault of the caller, not of the user: it raises ValueError.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.data.table import Task

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]

CALIBRATION_BINS = 15
TEMPERATURE_RANGE = (0.05, 20.0)
_SMALLEST = float(np.finfo(np.float32).eps)  # as scikit-learn: a certain mistake costs 15.9 nats
_NORMAL_95 = 1.959963984540054


def evaluate(
    task: Task, probabilities: Floats, labels: Labels, classes: Sequence[str]
) -> dict[str, Any]:
    """Return the metrics of either task; see evaluate_single_label and evaluate_multi_label."""
    if task == "multi-label":
        return evaluate_multi_label(probabilities, labels, classes)
    return evaluate_single_label(probabilities, labels, classes)


def evaluate_single_label(
    probabilities: Floats, labels: Labels, classes: Sequence[str]
) -> dict[str, Any]:
    """Return how well one class a picture is told.

    Args:
        probabilities: (n, classes), each row summing to 1.
        labels: (n,) indices into classes.
        classes: the names, in the order of the columns.

    Returns:
        task, n, accuracy, accuracy_interval (Wilson, 95 %), top_3 and top_5 where there are more
        classes than that, log_loss (nats a picture), macro_precision, macro_recall, macro_f1,
        per_class {name: precision, recall, f1, support}, confusion (rows are the truth, columns the
        prediction) and calibration (see `calibration`). Of equal probabilities the first wins.
    """
    _check_probabilities(probabilities, classes)
    _check_class_labels(labels, probabilities)
    scores = probabilities.astype(np.float64)
    n, count = scores.shape
    if np.abs(scores.sum(axis=1) - 1).max() > 0.01:
        worst = scores.sum(axis=1)[np.abs(scores.sum(axis=1) - 1).argmax()]
        raise ValueError(f"each row of probabilities must sum to 1, but one sums to {worst:.4g}")
    truth = labels.astype(np.int64)
    predicted = scores.argmax(axis=1)
    confusion = np.bincount(truth * count + predicted, minlength=count**2).reshape(count, count)
    of_truth = scores[np.arange(n), truth]
    ahead = scores > of_truth[:, None]
    ahead |= (scores == of_truth[:, None]) & (np.arange(count) < truth[:, None])
    rank = ahead.sum(axis=1)
    accuracy = float((rank == 0).mean())
    per_class = _per_class(classes, confusion.diagonal(), confusion.sum(0), confusion.sum(1))
    return {
        "task": "single-label",
        "n": n,
        "accuracy": accuracy,
        "accuracy_interval": wilson_interval(accuracy, n),
        **{f"top_{k}": float((rank < k).mean()) for k in (3, 5) if count > k},
        "log_loss": float(-np.log(of_truth.clip(_SMALLEST, 1 - _SMALLEST)).mean()),
        **_macro(per_class),
        "per_class": per_class,
        "confusion": confusion.tolist(),
        "calibration": calibration_of("single-label", scores, truth),
    }


def evaluate_multi_label(
    probabilities: Floats, labels: Labels, classes: Sequence[str], threshold: float = 0.5
) -> dict[str, Any]:
    """Return how well any number of classes a picture is told.

    Args:
        probabilities: (n, classes), each entry by itself between 0 and 1.
        labels: (n, classes) of 0 and 1.
        classes: the names, in the order of the columns.
        threshold: a class is predicted from this probability on.

    Returns:
        task, n, threshold, accuracy (pictures with every class right), accuracy_interval (Wilson,
        95 %), hamming_loss (entries that are wrong), log_loss (nats an entry), macro_precision,
        macro_recall, macro_f1, micro_f1, mean_average_precision, per_class {name: precision,
        recall, f1, support, average_precision} and calibration over all entries.
    """
    _check_probabilities(probabilities, classes)
    if labels.shape != probabilities.shape:
        raise ValueError(f"labels {labels.shape} do not match probabilities {probabilities.shape}")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"multi-label labels must be 0 or 1, not {labels.min()} to {labels.max()}")
    scores, truth = probabilities.astype(np.float64), labels.astype(bool)
    predicted = probabilities >= threshold
    right, guesses, support = (truth & predicted).sum(0), predicted.sum(0), truth.sum(0)
    accuracy = float((predicted == truth).all(axis=1).mean())
    precisions = [average_precision(scores[:, k], truth[:, k]) for k in range(len(classes))]
    per_class = _per_class(classes, right, guesses, support)
    for values, precision in zip(per_class.values(), precisions, strict=True):
        values["average_precision"] = precision
    losses = np.log(np.where(truth, scores, 1 - scores).clip(_SMALLEST, 1 - _SMALLEST))
    return {
        "task": "multi-label",
        "n": len(scores),
        "threshold": float(threshold),
        "accuracy": accuracy,
        "accuracy_interval": wilson_interval(accuracy, len(scores)),
        "hamming_loss": float((predicted != truth).mean()),
        "log_loss": float(-losses.mean()),
        **_macro(per_class),
        "micro_f1": _ratio(2 * right.sum(), guesses.sum() + support.sum()),
        "mean_average_precision": _mean([value for value in precisions if value is not None]),
        "per_class": per_class,
        "calibration": calibration_of("multi-label", scores, truth),
    }


def calibration_of(task: Task, probabilities: Floats, labels: Labels) -> dict[str, Any]:
    """Return the calibration of the likeliest class, or for multi-label of every entry."""
    if task == "multi-label":
        return calibration(probabilities.ravel(), labels.ravel().astype(np.bool_))
    return calibration(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)


def calibration(confidences: Floats, outcomes: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the expected calibration error, and the bins of a reliability diagram.

    The error is the mean gap between stated confidence and observed frequency over 15 equal-width
    bins (low, high], weighted by count (Naeini et al. 2015; Guo et al. 2017).

    Returns:
        error, and bins: low, high, count, confidence and observed (None where count is 0).
    """
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    which = np.digitize(confidences, edges[1:-1], right=True)
    counts = np.bincount(which, minlength=CALIBRATION_BINS)
    stated = np.bincount(which, weights=confidences, minlength=CALIBRATION_BINS)
    observed = np.bincount(which, weights=outcomes, minlength=CALIBRATION_BINS)
    bins = [
        {
            "low": float(edges[row]),
            "high": float(edges[row + 1]),
            "count": int(counts[row]),
            "confidence": _ratio(stated[row], counts[row]),
            "observed": _ratio(observed[row], counts[row]),
        }
        for row in range(CALIBRATION_BINS)
    ]
    return {"error": float(np.abs(stated - observed).sum() / len(confidences)), "bins": bins}


def average_precision(scores: Floats, truth: NDArray[np.bool_]) -> float | None:
    """Return the area under the precision-recall steps of one class; None if no picture has it.

    Equal scores form one step, so the order of the pictures does not matter.
    """
    if not truth.any():
        return None
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(truth[order])
    steps = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    gained = np.diff(found[steps], prepend=0)
    return float((gained * found[steps] / (steps + 1)).sum() / found[-1])


def wilson_interval(share: float, n: int) -> list[float]:
    """Return [low, high], the 95 % interval of a share seen in n trials (Wilson 1927).

    Unlike the textbook's p ± 1.96 s it stays inside 0 to 1, and is right for small n.
    """
    square = _NORMAL_95**2 / n
    middle = (share + square / 2) / (1 + square)
    half = _NORMAL_95 / (1 + square) * np.sqrt(share * (1 - share) / n + square / (4 * n))
    return [float(max(0.0, middle - half)), float(min(1.0, middle + half))]


def softmax(logits: Floats, axis: int = -1) -> Floats:
    """Return probabilities that sum to 1 along an axis; no logit is too large."""
    powers = np.exp(logits - logits.max(axis=axis, keepdims=True))
    result: Floats = powers / powers.sum(axis=axis, keepdims=True)
    return result


def sigmoid(logits: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) for each entry; no logit is too large or too small."""
    result: Floats = np.exp(-np.logaddexp(0, -logits))
    return result


def fit_temperature(logits: Floats, labels: Labels, task: Task) -> float:
    """Return the temperature T for which logits / T give calibrated probabilities.

    T minimises the log-loss on validation pictures (Guo et al. 2017). In 1 / T the loss is convex,
    so its slope has one zero, which bisection finds.

    A validation set without a mistake has no finite minimum: the loss falls for ever as T goes to
    0, and the model would claim certainty because thirty pictures went well. So, as Platt (1999)
    did for support vector machines, each target keeps 1 / (n + 2) for "otherwise": with n pictures
    and no mistake the model's confidence settles near Laplace's (n + 1) / (n + 2). For some hundred
    pictures with mistakes among them this moves T by little. T is kept within 0.05 to 20, and is 1
    where the logits say nothing (all equal).

    Args:
        logits: (n, classes); (n,) or (n, 1) for two classes told by one logit.
        labels: (n,) indices, for one logit 0 or 1; (n, classes) of 0 and 1 for multi-label.
        task: "single-label" is softmax (one logit: sigmoid); "multi-label" is sigmoid.
    """
    if logits.ndim == 1:
        logits = logits[:, None]
    if logits.ndim != 2 or not logits.size or not np.isfinite(logits).all():
        raise ValueError(f"logits must be finite, (n, classes), n > 0; found shape {logits.shape}")
    z = logits.astype(np.float64)
    sigmoidal = task == "multi-label" or z.shape[1] == 1
    if sigmoidal:
        truth = labels.reshape(len(labels), -1)
        if truth.shape != z.shape or not np.isin(truth, (0, 1)).all():
            raise ValueError(f"labels {labels.shape} must be 0 or 1, a value a logit {z.shape}")
    else:
        _check_class_labels(labels, z)
        z -= z.max(axis=1, keepdims=True)
        truth = np.arange(z.shape[1]) == labels[:, None]
    if not z.any():
        return 1.0
    other = 1 / (len(z) + 2)
    elsewhere = other if sigmoidal else other / (z.shape[1] - 1)
    targets = np.where(truth, 1 - other, elsewhere)
    squash = sigmoid if sigmoidal else softmax

    def slope(inverse: float) -> float:
        """Return the derivative of the log-loss by 1 / T; it rises with 1 / T."""
        return float(((squash(inverse * z) - targets) * z).sum())

    low, high = np.log(TEMPERATURE_RANGE)
    for _ in range(30):
        middle = (low + high) / 2
        if slope(float(np.exp(-middle))) > 0:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2).clip(*TEMPERATURE_RANGE))


def _check_probabilities(probabilities: Floats, classes: Sequence[str]) -> None:
    if probabilities.ndim != 2 or probabilities.shape[1] != len(classes) or not len(probabilities):
        raise ValueError(
            f"probabilities must be (n, {len(classes)}) with n > 0, not {probabilities.shape}"
        )
    if not np.isfinite(probabilities).all():
        bad = int((~np.isfinite(probabilities)).sum())
        raise ValueError(f"{bad} of {probabilities.size} probabilities are not finite")
    if probabilities.min() < 0 or probabilities.max() > 1 + 1e-5:
        low, high = probabilities.min(), probabilities.max()
        raise ValueError(f"probabilities must lie in 0 to 1, not {low:.4g} to {high:.4g}")


def _check_class_labels(labels: Labels, scores: Floats) -> None:
    n, count = scores.shape
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be ({n},) integers, not {labels.shape} {labels.dtype}")
    if labels.min() < 0 or labels.max() >= count:
        low, high = labels.min(), labels.max()
        raise ValueError(f"labels must lie in 0 to {count - 1}, not {low} to {high}")


def _per_class(
    classes: Sequence[str], right: Labels, guesses: Labels, support: Labels
) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "precision": _ratio(right[k], guesses[k]),
            "recall": _ratio(right[k], support[k]),
            "f1": _ratio(2 * right[k], guesses[k] + support[k]) if support[k] else None,
            "support": int(support[k]),
        }
        for k, name in enumerate(classes)
    }


def _macro(per_class: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    seen = [values for values in per_class.values() if values["support"]]
    fields = ("precision", "recall", "f1")
    return {f"macro_{field}": _mean([values[field] or 0.0 for values in seen]) for field in fields}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _ratio(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None
