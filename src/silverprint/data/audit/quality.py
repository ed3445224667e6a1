"""Pictures that are tiny, dark, blank, blurred, odd-shaped or misnamed, and classes that are rare.

A picture stands out only if it breaks a limit and also differs from what is usual in its dataset:
of 60,000 digits of 28 pixels none is tiny.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from silverprint.data.audit.facts import FORMATS, Facts

TINY = 64  # pixels on the shorter side
DARK = 0.12  # mean luminance
WASHED_OUT = 0.04  # one minus it
BLANK = 0.10  # contrast
BLURRED = 0.14  # sharpness
ODD = 1 / 3  # shorter side as a share of the longer
UNUSUAL = 0.5  # of the dataset's median
GRAVEST = 10.0
FEWEST = 3  # outliers that may be named where 1 % would be fewer
ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "WebP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
}
IMBALANCE = 3.0  # largest class over smallest; above it `train` weights classes
FEW = 10  # pictures, under which little can be learned of a class, or said of it


def poor_pictures(facts: Facts, names: Sequence[str]) -> list[tuple[int, str, float]]:
    """Return (row, what is wrong, how grave) of each picture that stands out.

    The gravity is how many times the limit is broken, at most 10; of a wrong ending it is 1.
    """
    found: dict[int, list[tuple[float, str]]] = {}
    for row, gravity, words in (*_beyond_limits(facts), *_misnamed(facts, names)):
        found.setdefault(row, []).append((gravity, words))
    return [
        (row, "; ".join(words for _, words in sorted(faults, reverse=True)), max(faults)[0])
        for row, faults in sorted(found.items())
    ]


def _beyond_limits(facts: Facts) -> Iterator[tuple[int, float, str]]:
    width, height = facts["width"], facts["height"]
    short = np.minimum(width, height)
    rules = (
        (short, TINY, "tiny: {width:.0f} x {height:.0f} pixels"),
        (short / np.maximum(width, height), ODD, "odd-shaped: {width:.0f} x {height:.0f} pixels"),
        (facts.brightness, DARK, "dark: mean brightness {value:.0%}"),
        (1 - facts.brightness, WASHED_OUT, "washed out: mean brightness {value:.0%} below white"),
        (facts["contrast"], BLANK, "blank: hardly any contrast ({value:.0%})"),
        (facts["sharpness"], BLURRED, "blurred: its sharpest edge is {value:.0%} of its contrast"),
    )
    for values, limit, words in rules:
        usual = float(np.median(values)) if len(values) else 0.0
        for row in np.flatnonzero((values < limit) & (values < UNUSUAL * usual)):
            value = float(values[row])
            gravity = min(limit / max(value, 1e-9), GRAVEST)
            yield int(row), gravity, words.format(value=value, width=width[row], height=height[row])


def _misnamed(facts: Facts, names: Sequence[str]) -> Iterator[tuple[int, float, str]]:
    kinds = facts["format"].astype(int)
    for row, name in enumerate(names):
        ending = PurePath(name).suffix.lower()
        kind = FORMATS[kinds[row]]
        known = any(ending in endings for endings in ENDINGS.values())
        if known and kind in ENDINGS and ending not in ENDINGS[kind]:
            yield row, 1.0, f"misnamed: a {kind} that is called {ending}"


def imbalances(counts: Mapping[str, int]) -> list[tuple[str, float]]:
    """Return what is wrong with the classes' sizes, and how much: largest over smallest class."""
    if len(counts) < 2:
        return []
    largest, smallest = max(counts.values()), min(counts.values())
    ratio = largest / max(smallest, 1)
    found = []
    if ratio > IMBALANCE:
        ordered = sorted(counts, key=counts.__getitem__)
        found.append((
            f"{ordered[-1]} has {largest:,} pictures, {ordered[0]} {smallest:,}: {ratio:.1f} times "
            "as many. `train` weights such classes in its loss; judge by each class's recall, and "
            "add pictures of the rare ones.",
            ratio,
        ))  # fmt: skip
    for name, count in counts.items():
        if count < FEW:
            found.append((
                f"{name} has {count} {'picture' if count == 1 else 'pictures'}, fewer than {FEW}: "
                "too few to learn it or to judge its labels.",
                largest / max(count, 1),
            ))  # fmt: skip
    return found


def unlike_others(
    cosines: NDArray[np.float32], k: int, deviations: float
) -> list[tuple[int, float]]:
    """Return (row, robust z) of the pictures that lie far from all others, at most 1 %.

    How far is one minus the mean cosine to the k nearest others; log-distances are compared with
    their median by their median absolute deviation (Iglewicz and Hoaglin's modified z).

    Args:
        cosines: (n, at least k) to the nearest others, nearest first.
        k: how many of them.
        deviations: least z.
    """
    if cosines.shape[1] < k:
        return []
    distance = np.log(np.maximum(1 - cosines[:, :k].mean(axis=1), 1e-6))
    middle = np.median(distance)
    spread = float(np.median(np.abs(distance - middle)))
    z = 0.6745 * (distance - middle) / max(spread, 1e-6)
    farthest = np.argsort(-z, kind="stable")[: max(FEWEST, len(z) // 100)]
    return [(int(row), float(z[row])) for row in farthest if z[row] > deviations]
