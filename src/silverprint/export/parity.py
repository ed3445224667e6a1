"""Proof that an exported file answers as its bundle does.

Both are given the same decoded pictures. Each goes in together with its mirror image, so that more
than one picture at once is tried too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.data.table import Dataset
from silverprint.errors import DataError, ExportError, ImageError
from silverprint.runtime.predictor import Predictor

ALLOWED = 0.01  # of a probability
PICTURES = 24
HELD_OUT = (2, 1, 0)  # test, else validation, else train: indices into SPLITS

Pixels = NDArray[np.uint8]
Answer = Callable[[Pixels], NDArray[np.float32]]  # (n, h, w, 3) -> (n, classes)


@dataclass(frozen=True)
class Sample:
    """A decoded picture, (h, w, 3), and what to call it."""

    name: str
    image: Pixels


@dataclass(frozen=True)
class Parity:
    """What a comparison found.

    Attributes:
        pictures: how many there were, without their mirror images.
        source: where they came from.
        largest: the largest difference of a probability.
        where: the picture where it was found.
        same_label: the share of pictures whose likeliest class is the same.
    """

    pictures: int
    source: str
    largest: float
    where: str
    same_label: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "pictures": self.pictures,
            "source": self.source,
            "largest_difference": round(self.largest, 6),
            "where": self.where,
            "same_label": round(self.same_label, 6),
        }


def samples_of(predictor: Predictor, dataset: Dataset, most: int = PICTURES) -> list[Sample]:
    """Return pictures of a dataset, spread over its held-out split, decoded as the bundle does it.

    Raises:
        DataError: none of them can be read.
    """
    split = next(number for number in HELD_OUT if (dataset.splits == number).any())
    rows = np.flatnonzero(dataset.splits == split)
    found: list[Sample] = []
    for row in rows[np.unique(np.linspace(0, len(rows) - 1, most).round().astype(int))]:
        name = dataset.names[row]
        try:
            found.append(Sample(name, predictor.decode(dataset.sources[row], name)))
        except ImageError as error:
            reason = str(error)
    if not found:
        raise DataError(f"{dataset.name}: no picture to compare can be read; one of them: {reason}")
    return found


def photos(size: int) -> list[Sample]:
    """Return two photos that come with scikit-learn, whole and in parts, in a dozen sizes.

    Args:
        size: side S of the network's input, which some are smaller than.
    """
    from PIL import Image
    from sklearn.datasets import load_sample_image

    sizes = (
        (640, 427), (size, size), (2 * size, size), (size // 2, size // 3), (31, 3), (333, 500)
    )  # fmt: skip
    found = []
    for name in ("china.jpg", "flower.jpg"):
        photo = Image.fromarray(load_sample_image(name))
        for number, (width, height) in enumerate(sizes):
            left = 40 * number
            part = photo.resize((width, height), box=(left, 0, 640, 427 - left))
            found.append(Sample(f"{name} at {width} x {height}", np.asarray(part)))
    return found


def compare(bundle: Answer, exported: Answer, samples: Sequence[Sample], source: str) -> Parity:
    """Return how far two models' answers lie apart."""
    differences, same = [], []
    for sample in samples:
        images = np.stack([sample.image, sample.image[:, ::-1]])
        expected, found = bundle(images), exported(images)
        if found.shape != expected.shape or not np.isfinite(found).all():
            raise ExportError(
                f"the exported file answers {sample.name} with {_described(found)}, where the "
                f"bundle answers with {_described(expected)}; nothing was written."
            )
        differences.append(float(np.abs(found - expected).max()))
        same.extend(found.argmax(1) == expected.argmax(1))
    worst = int(np.argmax(differences))
    return Parity(
        len(samples), source, differences[worst], samples[worst].name, float(np.mean(same))
    )


def check(parity: Parity) -> None:
    """Refuse a file that disagrees with its bundle.

    Raises:
        ExportError: a probability differs by more than ALLOWED.
    """
    if parity.largest > ALLOWED:
        raise ExportError(
            f"the exported file disagrees with the bundle on {parity.where}: a probability differs "
            f"by {parity.largest:.4f}, more than {ALLOWED}. Nothing was written; please report it."
        )


def _described(values: NDArray[np.float32]) -> str:
    kind = "" if np.isfinite(values).all() else ", not all of them finite"
    return f"numbers of shape {values.shape}{kind}"
