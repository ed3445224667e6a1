"""Can a class be told without looking at what a picture shows? Then a network may learn just that.

For each sort of metadata a small decision tree is cross-validated; where it tells a class from all
others far better than chance, that is a finding.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from silverprint.data.audit.facts import FORMATS, Facts
from silverprint.data.conventions import first_few
from silverprint.data.table import Dataset

# Balanced accuracy of one class against all others: 0.5 is chance; of three classes of which one is
# told, the other two have up to 0.75 by elimination.
TOLD = 0.8
DEVIATIONS = 3.0  # by which it must exceed chance at least
FEW = 10  # pictures of a class, under which nothing is said of it


def find_shortcuts(
    dataset: Dataset, facts: Facts, fold_of: NDArray[np.int64], seed: int = 0
) -> Iterator[tuple[str, float]]:
    """Yield what tells classes apart, in words, and the best told class's balanced accuracy.

    Args:
        dataset: n pictures of one class each.
        facts: theirs.
        fold_of: (n,) each picture's fold; copies of a picture share theirs.
        seed: of the trees.
    """
    for name, columns in _sorts(facts).items():
        if (columns == columns[0]).all():
            continue
        guessed = _held_out(columns, dataset.labels, fold_of, seed)
        told = {
            label: score
            for index, label in enumerate(dataset.classes)
            if (score := _told(guessed == index, dataset.labels == index)) is not None
        }
        if told:
            ranked = sorted(told, key=lambda label: -told[label])
            words = first_few([f"{label} ({told[label]:.0%})" for label in ranked])
            yield (
                f"{name} alone tells {words} from all others: balanced accuracy of a small tree, "
                "cross-validated, where 50% is chance. A network may learn this instead of what "
                "the pictures show; make it the same in all classes, or mix it.",
                told[ranked[0]],
            )


def _sorts(facts: Facts) -> dict[str, NDArray[np.float64]]:
    """Return the sorts of metadata, each (n, some)."""
    width, height = (facts[side].astype(np.float64) for side in ("width", "height"))
    kinds = facts["format"][:, None] == np.arange(len(FORMATS))
    colours = [facts[name] for name in ("red", "green", "blue", "saturation")]
    return {
        "Size in pixels": np.stack([width, height], axis=1),
        "Shape (width over height)": (width / height)[:, None],
        "File format": kinds.astype(np.float64),
        "Bytes a pixel": (facts["bytes"] / (width * height))[:, None],
        "Mean colour": np.stack(colours, axis=1),
    }


def _held_out(
    columns: NDArray[np.float64], labels: NDArray[np.generic], fold_of: NDArray[np.int64], seed: int
) -> NDArray[np.generic]:
    """Return the class that a tree guesses for each picture, not having seen its fold."""
    from sklearn.tree import DecisionTreeClassifier

    guessed = np.empty_like(labels)
    for fold in np.unique(fold_of):
        held = fold_of == fold
        tree = DecisionTreeClassifier(
            max_leaf_nodes=64, min_samples_leaf=5, class_weight="balanced", random_state=seed
        )
        guessed[held] = tree.fit(columns[~held], labels[~held]).predict(columns[held])
    return guessed


def _told(guessed: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float | None:
    """Return the balanced accuracy of one class against the rest, or None where it says little."""
    there, absent = int(truth.sum()), int((~truth).sum())
    if there < FEW or absent < FEW:
        return None
    found, wrong = float(guessed[truth].mean()), float(guessed[~truth].mean())
    score = (found + 1 - wrong) / 2
    chance_deviation = np.sqrt(0.25 / there + 0.25 / absent) / 2
    enough = score >= TOLD and score - 0.5 > DEVIATIONS * chance_deviation
    return score if enough else None
