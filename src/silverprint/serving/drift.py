"""Are the pictures that come in like those the model was tested on?

The bundle tells 21 quantiles of two measures on held-out pictures: the confidence, and the distance
from the training pictures. They cut each measure's range into 20 bins of equal mass, and the
population stability index of the last pictures over these bins is

    PSI = sum over bins of (share now - share then) * ln(share now / share then).

Its usual reading: below 0.1 the same, above 0.25 another population. With few pictures chance alone
makes it large: with n now and m then it is about a chi-squared of 19 degrees of freedom times
(1/n + 1/m) with a heavier tail: in simulations with n from 200 and m from 60 on, 52 times that
was exceeded at most once in a thousand times. The limit is the larger of the two.
"""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.serving.metrics import Metrics

WINDOW = 1_000  # pictures
LEAST = 200  # before anything is said
ANOTHER_POPULATION = 0.25
BY_CHANCE = 52
QUANTILES = 21
DIGITS = 6  # of the quantiles in a bundle
EMPTY = 0.5  # pictures that an empty bin counts as, so that it has a logarithm
MEASURES = ("confidence", "distance")


class Usual:
    """What is usual of one measure.

    Attributes:
        median: half of the held-out pictures lie below.
    """

    def __init__(self, quantiles: list[float], pictures: int) -> None:
        self._quantiles = edges = np.asarray(quantiles, np.float64)
        self.median = float(edges[QUANTILES // 2])
        self._pictures = pictures
        # Where quantiles are equal, many pictures share a value, and how many is known to 5 % only:
        # there is no edge there, and the bins around are one. What lies outside is in the end bins.
        rises = np.diff(edges) > 0
        starts = [0, *(np.flatnonzero(rises[:-1] & rises[1:]) + 1)]
        self._edges = edges[starts]
        self._shares = np.diff([*starts, QUANTILES - 1]) / (QUANTILES - 1)

    def rank(self, value: float) -> float:
        """Return the share of held-out pictures below a value."""
        return float(np.interp(value, self._quantiles, np.linspace(0, 1, QUANTILES)))

    def index(self, values: NDArray[np.float64]) -> float:
        """Return the population stability index of (n,) values."""
        bins = np.searchsorted(self._edges, np.round(values, DIGITS), side="right") - 1
        counts = np.bincount(np.maximum(bins, 0), minlength=len(self._edges))
        now = np.maximum(counts, EMPTY) / len(values)
        return float(((now - self._shares) * np.log(now / self._shares)).sum())

    def limit(self, pictures: int) -> float:
        """Return the index above which this many pictures are another population."""
        return max(ANOTHER_POPULATION, BY_CHANCE * (1 / pictures + 1 / self._pictures))


@dataclass(frozen=True)
class Finding:
    """How one measure of the last pictures compares."""

    measure: str
    index: float
    limit: float
    median: float
    usual: float

    @property
    def left(self) -> bool:
        """Whether the measure has left its range."""
        return self.index > self.limit


class Drift:
    """The last pictures of one model against what is usual for it."""

    def __init__(self, name: str, reference: Any, metrics: Metrics) -> None:
        self._usual = _usual(reference)
        self._lock = threading.Lock()
        self._recent: deque[tuple[float, float]] = deque(maxlen=WINDOW)
        self._confidence = metrics.confidence.labels(name)
        self._distance = metrics.distance.labels(name)

    def record(self, confidence: float, distance: float | None) -> None:
        """Take note of one picture's answer."""
        self._confidence.observe(confidence)
        if distance is not None and "distance" in self._usual:
            self._distance.observe(self._usual["distance"].rank(distance))
        with self._lock:
            self._recent.append((confidence, np.nan if distance is None else distance))

    def findings(self) -> list[Finding]:
        """Return what is known of each measure; nothing while the pictures are too few."""
        with self._lock:
            recent = np.array(self._recent, np.float64)
        if len(recent) < LEAST:
            return []
        found = []
        for column, measure in enumerate(MEASURES):
            usual, values = self._usual.get(measure), recent[:, column]
            if usual is not None and not np.isnan(values).any():
                index, limit = usual.index(values), usual.limit(len(values))
                median = float(np.median(values))
                found.append(Finding(measure, index, limit, median, usual.median))
        return found

    def sentence(self) -> str:
        """Say in words how the last pictures compare."""
        if not self._usual:
            return "This bundle does not say what is usual for it; train it again to watch drift."
        with self._lock:
            seen = len(self._recent)
        if seen < LEAST:
            return f"Drift is watched from {LEAST} pictures on; {seen} came since the start."
        left = [finding for finding in self.findings() if finding.left]
        if not left:
            return f"The last {seen:,} pictures are like those it was tested on."
        told = "; ".join(
            f"{finding.measure} has a median of {finding.median:.2f}, usually {finding.usual:.2f} "
            f"(population stability index {finding.index:.2f}, limit {finding.limit:.2f})"
            for finding in left
        )
        return f"The last {seen:,} pictures are unlike those it was tested on: {told}."


def _usual(reference: Any) -> dict[str, Usual]:
    """Read a bundle's `reference`; measures that are missing or malformed are left out."""
    if not isinstance(reference, dict):
        return {}
    pictures = reference.get("pictures")
    if not isinstance(pictures, int) or pictures < 1:
        return {}
    return {
        measure: Usual(reference[measure], pictures)
        for measure in MEASURES
        if _are_quantiles(reference.get(measure))
    }


def _are_quantiles(values: Any) -> bool:
    if not isinstance(values, list) or len(values) != QUANTILES:
        return False
    numbers = all(type(value) in (int, float) for value in values)
    return numbers and bool(np.all(np.diff(values) >= 0))
