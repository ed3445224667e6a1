"""Which pictures to label next: those that the model is unsure of, and that differ.

Pictures are drawn one after another as k-means++ draws its first centres (Arthur and Vassilvitskii
2007), with odds in proportion to uncertainty times the squared distance from all that were drawn or
labelled before. Uncertainty is one less the margin between the two likeliest classes. It is a draw,
because the highest products belong to the oddest pictures. benchmarks/next.py compares this with
random picks, with either half alone and with other ways. numpy only.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
CHUNK = 256  # labelled pictures compared with all others at once
MOST = 20_000  # pictures that are drawn from; of more, the least certain
KNOWN = 5_000  # labelled pictures that are kept away from; of more, an even sample


def uncertainties(probabilities: Array) -> Array:
    """Return 0 for a sure answer to 1 where two classes are equally likely, (n,).

    Args:
        probabilities: (n, classes), calibrated; at least two classes.
    """
    likeliest = np.partition(probabilities, -2, axis=1)[:, -2:]
    result: Array = 1 - (likeliest[:, 1] - likeliest[:, 0])
    return result


def choose(
    probabilities: Array, features: Array, count: int, labelled: Array | None = None, seed: int = 0
) -> NDArray[np.int64]:
    """Return positions of `count` pictures to label, in the order drawn; all if there are fewer.

    Args:
        probabilities: (n, classes) of the pictures to choose from.
        features: (n, d) of them.
        count: how many.
        labelled: (m, d) features of pictures that have labels.
        seed: of the draw.
    """
    random = np.random.default_rng(seed)
    unsure = uncertainties(probabilities)
    rows = np.sort(np.argsort(-unsure, kind="stable")[: max(MOST, count)])
    directions = _unit(features[rows])
    odds = np.maximum(unsure[rows].astype(np.float64), 1e-9)
    distances = np.full(len(rows), 4.0)  # squared; the most that unit vectors can have
    if labelled is not None and len(labelled):
        even = np.linspace(0, len(labelled) - 1, min(KNOWN, len(labelled))).astype(np.int64)
        distances = _nearest(directions, _unit(labelled[even]))
    chosen: list[int] = []
    left = np.ones(len(rows))
    while len(chosen) < min(count, len(rows)):
        weight = left * odds * np.maximum(distances, 1e-9)
        one = int(random.choice(len(weight), p=weight / weight.sum()))
        chosen.append(one)
        left[one] = 0
        distances = np.minimum(distances, _squared(directions, directions[one : one + 1])[:, 0])
    picked: NDArray[np.int64] = rows[np.array(chosen, np.int64)]
    return picked


def _unit(features: Array) -> Array:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    result: Array = features / np.maximum(lengths, np.float32(1e-12))
    return result


def _nearest(directions: Array, labelled: Array) -> NDArray[np.float64]:
    found = np.full(len(directions), 4.0)
    for start in range(0, len(labelled), CHUNK):
        found = np.minimum(found, _squared(directions, labelled[start : start + CHUNK]).min(axis=1))
    return found


def _squared(one: Array, other: Array) -> NDArray[np.float64]:
    """Return squared distances (n, m) of unit vectors."""
    result: NDArray[np.float64] = np.maximum(2 - 2 * (one @ other.T).astype(np.float64), 0)
    return result
