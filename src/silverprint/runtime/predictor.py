"""Predicting with a bundle: decode, run model.onnx, name the classes."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from silverprint.errors import BundleError, ImageError
from silverprint.runtime.bundle import MODEL, Bundle
from silverprint.runtime.images import decode

Picture = str | os.PathLike[str] | bytes | NDArray[Any]
CHUNK = 32  # pictures in work at once, and so in memory
DISTANCE = "distance"  # an output that older bundles lack
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture.

    Attributes:
        file: the picture's name.
        label: the likeliest class; for multi-label, every class at 0.5 or above, joined by "|";
            "unknown" for a picture too unlike those that were learned from.
        probability: of that class; for multi-label, of the likeliest.
        top: the likeliest classes with their probabilities, highest first.
        unknown: whether the picture is too unlike those that were learned from.
        labels: where a coverage was asked for, the classes that hold the truth that often, the
            likeliest first; none of them where the picture is unknown or no class likely enough.
        error: why the picture could not be read; the fields above are then empty.
    """

    file: str
    label: str = ""
    probability: float = 0.0
    top: tuple[tuple[str, float], ...] = ()
    unknown: bool = False
    labels: tuple[str, ...] | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        if self.error is not None:
            return {"file": self.file, "error": self.error}
        top = [[label, round(probability, 6)] for label, probability in self.top]
        return {
            "file": self.file,
            "label": self.label,
            "probability": round(self.probability, 6),
            "top": top,
            **({} if self.labels is None else {"labels": list(self.labels)}),
            **({"unknown": True} if self.unknown else {}),
        }


class Predictor:
    """A bundle's model, loaded.

    Attributes:
        bundle: what it was loaded from.
        outputs: what model.onnx gives.
        farthest: the distance beyond which a picture is unknown.
        least: the probability from which on a class belongs to an answer's set; None for no sets.
    """

    def __init__(
        self, bundle: Bundle, accept: float | None = None, coverage: float | None = None
    ) -> None:
        """Load it.

        Args:
            bundle: the model.
            accept: share of known pictures to answer, None for the bundle's own.
            coverage: share of pictures for which a set of labels should hold the truth; None for
                answers without sets.

        Raises:
            BundleError: the model does not fit its bundle.
            ConfigError: a share is outside its range, or the bundle does not know enough for it.
        """
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised, and told once
        options.intra_op_num_threads = 1  # `stream` runs one picture on each core instead
        self.bundle = bundle
        self.farthest = bundle.farthest(accept)
        self.least = None if coverage is None else bundle.least_likely(coverage)
        self._session = onnxruntime.InferenceSession(
            str(bundle.model), options, ["CPUExecutionProvider"]
        )
        self.outputs = tuple(output.name for output in self._session.get_outputs())
        told = self._session.get_outputs()[0].shape[-1]
        if told != len(bundle.classes):
            raise BundleError(
                f"{bundle.path}: {MODEL} tells {told} classes, but bundle.json names "
                f"{len(bundle.classes)}; get the bundle again."
            )

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (n, classes) for images (n, h, w, 3) uint8 RGB of one size."""
        result: NDArray[np.float32] = self._session.run(["probabilities"], {"images": images})[0]
        return result

    def look(
        self, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return (n, classes) probabilities, and (n,) distances where the bundle has them."""
        if DISTANCE not in self.outputs:
            return self.probabilities(images), None
        wanted = ["probabilities", DISTANCE]
        probabilities, distances = self._session.run(wanted, {"images": images})
        return probabilities, distances

    def decode(self, picture: Picture, name: str | None = None) -> NDArray[np.uint8]:
        """Decode one picture as the model takes it, in full: (h, w, 3) uint8."""
        return decode(picture, name=name)

    def stream(
        self, pictures: Iterable[Picture], names: Iterable[str]
    ) -> Iterator[tuple[str, NDArray[np.float32] | ImageError]]:
        """Yield each picture's name and its (classes,) probabilities, or why it cannot be read."""
        for name, outcome, _ in self.outcomes(pictures, names):
            yield name, outcome

    def predict(
        self, pictures: Sequence[Picture], *, names: Sequence[str] | None = None, top: int = 3
    ) -> Iterator[Prediction]:
        """Yield one answer a picture, in order; a picture that cannot be read answers so."""
        known = (
            [_name(picture, i) for i, picture in enumerate(pictures)] if names is None else names
        )
        for name, outcome, distance in self.outcomes(pictures, known):
            yield self.answer(name, outcome, top, distance)

    def answer(
        self, name: str, outcome: NDArray[np.float32] | ImageError, top: int = 3,
        distance: float | None = None,
    ) -> Prediction:  # fmt: skip
        """Turn one picture's probabilities, and its distance if it has one, into an answer."""
        if isinstance(outcome, ImageError):
            return Prediction(name, error=outcome.reason)
        classes = self.bundle.classes
        order = np.argsort(-outcome, kind="stable")
        likeliest = tuple((classes[i], float(outcome[i])) for i in order[:top])
        label = classes[order[0]]
        if self.bundle.task == "multi-label":
            label = "|".join(classes[i] for i in np.flatnonzero(outcome >= 0.5))
        unknown = self.is_unknown(distance)
        label = UNKNOWN if unknown else label
        labels = None
        if self.least is not None:
            labels = tuple(classes[i] for i in order if outcome[i] >= self.least and not unknown)
        return Prediction(name, label, float(outcome[order[0]]), likeliest, unknown, labels)

    def is_unknown(self, distance: float | None) -> bool:
        """Say whether a picture at that distance is too unlike those that were learned from."""
        return distance is not None and distance > self.farthest

    def outcomes(
        self, pictures: Iterable[Picture], names: Iterable[str]
    ) -> Iterator[tuple[str, NDArray[np.float32] | ImageError, float | None]]:
        """Yield what `stream` does, and the distance where the bundle has it."""
        pairs = zip(pictures, names, strict=False)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            while chunk := list(islice(pairs, CHUNK)):
                yield from pool.map(self._try, chunk)

    def _try(
        self, pair: tuple[Picture, str]
    ) -> tuple[str, NDArray[np.float32] | ImageError, float | None]:
        try:
            probabilities, distances = self.look(self.decode(*pair)[None])
        except ImageError as error:
            return pair[1], error, None
        return pair[1], probabilities[0], None if distances is None else float(distances[0])


def _name(picture: Picture, number: int) -> str:
    return os.fspath(picture) if isinstance(picture, str | Path) else f"picture {number}"
