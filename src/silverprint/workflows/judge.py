"""A classifier as the judge of made pictures: how far from real ones, how sure, which classes."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from silverprint.errors import ConfigError
from silverprint.export.network import load_network, normalise, preprocessing_of
from silverprint.export.torchscript import Probabilities
from silverprint.runtime.bundle import Bundle, read_bundle
from silverprint.runtime.generative import GenerativeBundle
from silverprint.training.frechet import Cloud, Features, frechet_distance, precision_recall
from silverprint.training.pixels import PixelData
from silverprint.workflows.explain import link_of, temperature_of
from silverprint.workflows.generative import Material

SURE = 0.9
AT_ONCE = 250  # pictures
MOST = 10_000  # pictures of each kind that are compared
NEIGHBOURS_AMONG = 2_000  # of them, for precision and recall, which compare all pairs
LEAST = 10
VARIED = 0.1  # of real pictures among made ones: less is said
MISSING = 0.1  # of a class's share among real pictures: less is missing

Pictures = NDArray[np.float32]  # (n, C, S, S), 0..1


@dataclass(frozen=True)
class Verdict:
    """What a classifier says of made pictures.

    Attributes:
        n: pictures of each kind.
        frechet: distance of made pictures to real ones that were not learned from.
        floor: the same of real pictures that were learned from, which is as near as can be hoped.
        features: dimensions of the features.
        precision: share of made pictures that lie among real ones.
        recall: share of real pictures that lie among made ones.
        sure: share of made pictures with a class at SURE or above.
        sure_of_real: the same of real ones.
        agree: share of made pictures seen as the class they were made as; None without classes.
        classes: class -> share of made pictures seen as it.
        missing: classes hardly made at all.
    """

    n: int
    frechet: float
    floor: float
    features: int
    precision: float
    recall: float
    sure: float
    sure_of_real: float
    agree: float | None
    classes: dict[str, float]
    missing: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types, rounded."""
        return {name: round(value, 4) if isinstance(value, float) else value
                for name, value in asdict(self).items()}  # fmt: skip

    def words(self) -> str:
        """Say it in a sentence or two."""
        said = (
            f"Frechet distance {self.frechet:.2f} to {self.n:,} real pictures, where as many other "
            f"real ones are at {self.floor:.2f}; the classifier is sure of "
            f"{100 * self.sure:.0f} % of them, and of {100 * self.sure_of_real:.0f} % of real ones."
        )
        if self.recall < VARIED:
            said += f" They vary less: of real ones {100 * self.recall:.0f} % lie among them."
        if self.missing:
            said += f" Hardly any are made of: {', '.join(self.missing)}."
        return said


class Judge:
    """A classifier's network: pictures -> features, probabilities.

    Attributes:
        bundle: of the classifier.
        classes: its classes.
    """

    def __init__(self, path: str) -> None:
        """Read the bundle.

        Raises:
            BundleError: there is none, or it holds no classifier of one class each.
        """
        self.bundle: Bundle = read_bundle(path)
        if self.bundle.task != "single-label":
            raise ConfigError(
                f"--judge {path} tells several labels a picture; give a classifier of one each."
            )
        self.classes = self.bundle.classes
        self._network = load_network(self.bundle)
        self._preprocessing = preprocessing_of(self.bundle)
        self._probabilities = Probabilities(link_of(self.bundle), temperature_of(self.bundle))

    @torch.no_grad()
    def look(self, pictures: Pictures) -> tuple[Features, NDArray[np.float32]]:
        """Return features (n, d) and probabilities (n, classes)."""
        features, probabilities = [], []
        side = self._preprocessing.size
        for start in range(0, len(pictures), AT_ONCE):
            batch = torch.from_numpy(pictures[start : start + AT_ONCE]) * 255
            if batch.shape[-1] != side:
                batch = F.interpolate(batch, size=(side, side), mode="bilinear", antialias=True)
            colour = batch.expand(-1, 3, -1, -1)
            seen = self._network.features(normalise(colour, self._preprocessing))
            features.append(seen)
            probabilities.append(self._probabilities(self._network.head(seen)))
        return torch.cat(features).numpy(), torch.cat(probabilities).numpy()


@dataclass(frozen=True)
class Reference:
    """Real pictures as a judge sees them: what made ones are compared with.

    Attributes:
        judge: the classifier.
        labels: (n,) of the pictures that were not learned from, by the classes of the dataset.
        features: (n, d) of these.
        cloud: of these features.
        floor: Frechet distance of as many pictures that were learned from.
        sure: share of these pictures with a class at SURE or above.
        shares: (classes,) share seen as each of the judge's classes.
    """

    judge: Judge
    labels: NDArray[np.int64]
    features: Features
    cloud: Cloud
    floor: float
    sure: float
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, judge: Judge, material: Material, seed: int = 0) -> "Reference":
        """Look at pictures of the test split, or of validation where that has too few.

        Raises:
            ConfigError: there are too few.
        """
        held = material.test if len(material.test) >= LEAST else material.validation
        n = min(MOST, len(held), len(material.train))
        if n < LEAST:
            raise ConfigError(
                f"--judge needs at least {LEAST} pictures that were not learned from; there are "
                f"{n}."
            )
        random = np.random.default_rng(seed)
        real, labels = _some(held, n, random)
        features, says = judge.look(real)
        cloud = Cloud.of(features)
        floor = frechet_distance(
            cloud, Cloud.of(judge.look(_some(material.train, n, random)[0])[0])
        )
        return cls(judge, labels, features, cloud, floor, *_answers(says))

    def __len__(self) -> int:
        return len(self.labels)


def judge_bundle(bundle: GenerativeBundle, reference: Reference, seed: int = 0) -> Verdict:
    """Make as many pictures as there are real ones with the files of a bundle, and compare them.

    Codes are drawn from N(0, I); classes, where they are told, are those of the real pictures.

    Args:
        bundle: of a gan or vae that learned from the same dataset.
        reference: the real ones.
        seed: of the codes.
    """
    shape = (len(reference), bundle.code_size)
    codes = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    labels = reference.labels if bundle.conditional else None
    made = bundle.decode(codes, labels)
    own = None if labels is None else _in_terms_of(reference.judge, bundle.classes, labels)
    return compare(reference, made, own)


def compare(
    reference: Reference, made: Pictures, labels: NDArray[np.int64] | None = None
) -> Verdict:
    """Compare made pictures with real ones.

    Args:
        reference: the real ones.
        made: (n, C, S, S), as many.
        labels: (n,) as which of the judge's classes they were made; None if they have none.
    """
    features, says = reference.judge.look(made)
    sure, shares = _answers(says)
    some = slice(NEIGHBOURS_AMONG)
    precision, recall = precision_recall(reference.features[some], features[some])
    classes = reference.judge.classes
    return Verdict(
        n=len(made),
        frechet=frechet_distance(reference.cloud, Cloud.of(features)),
        floor=reference.floor,
        features=features.shape[1],
        precision=precision,
        recall=recall,
        sure=sure,
        sure_of_real=reference.sure,
        agree=None if labels is None else float((says.argmax(axis=1) == labels).mean()),
        classes={name: round(float(share), 4)
                 for name, share in zip(classes, shares, strict=True)},
        missing=[name for name, share, usual in
                 zip(classes, shares, reference.shares, strict=True) if share < MISSING * usual],
    )  # fmt: skip


def _answers(says: NDArray[np.float32]) -> tuple[float, NDArray[np.float64]]:
    """Return of how many the judge is sure, and the share seen as each class."""
    shares = np.bincount(says.argmax(axis=1), minlength=says.shape[1]) / len(says)
    return float((says.max(axis=1) > SURE).mean()), shares


def _some(
    data: PixelData, n: int, random: np.random.Generator
) -> tuple[Pictures, NDArray[np.int64]]:
    rows = np.sort(random.choice(len(data), n, replace=False))
    return data.pixels[rows].astype(np.float32) / np.float32(255), data.targets[rows]


def _in_terms_of(
    judge: Judge, classes: tuple[str, ...], labels: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Return labels by the judge's classes; None where it does not know all of them."""
    if not set(classes) <= set(judge.classes):
        return None
    return np.array([judge.classes.index(name) for name in classes])[labels]
