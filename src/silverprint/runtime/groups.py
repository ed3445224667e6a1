"""Answer in groups of a bundle's classes: dog is any of ImageNet's classes 151 to 268."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from silverprint.errors import ConfigError, ImageError, closest
from silverprint.runtime.predictor import Picture, Prediction

OTHERS = ("neither", "none")  # what is answered with two groups, and with any other number
NEEDED = 0.5  # a group answers only where it is likelier than everything else together


@dataclass(frozen=True)
class Group:
    """A named set of classes.

    Attributes:
        name: what to answer.
        members: indices of its classes.
    """

    name: str
    members: tuple[int, ...]


def parse_groups(texts: Sequence[str], classes: Sequence[str]) -> tuple[Group, ...]:
    """Read "dog=151-268" or "pet=dog,cat": numbers, ranges and class names, with commas.

    Raises:
        ConfigError: a group is malformed, names an unknown class, or shares one with another.
    """
    groups: list[Group] = []
    owner: dict[int, str] = {}
    for text in texts:
        name, equals, listed = text.partition("=")
        if not (equals and name.strip() and listed.strip()):
            raise ConfigError(f"a group is written NAME=CLASSES, as in dog=151-268; got {text!r}.")
        name = name.strip()
        if name in (group.name for group in groups) or name in OTHERS:
            raise ConfigError(
                f"a group's name must be new and not {' or '.join(OTHERS)}; got {text!r}. "
                "Several classes of one group are joined by commas."
            )
        members = [i for part in listed.split(",") for i in _members(part.strip(), classes, text)]
        for member in members:
            taken = owner.setdefault(member, name)
            if taken != name:
                raise ConfigError(
                    f"groups {taken!r} and {name!r} both hold class {member} ({classes[member]}); "
                    "a class belongs to one group."
                )
        groups.append(Group(name, tuple(sorted(set(members)))))
    return tuple(groups)


class Model(Protocol):
    """A bundle's model, here or at a server."""

    def predict(
        self, pictures: Sequence[Picture], *, names: Sequence[str], top: int
    ) -> Iterator[Prediction]:
        """Yield one answer a picture, in order."""

    def stream(
        self, pictures: Sequence[Picture], names: Sequence[str]
    ) -> Iterator[tuple[str, NDArray[np.float32] | ImageError]]:
        """Yield each picture's name and its probabilities, or why it cannot be read."""


def answers(
    model: Model, pictures: Sequence[Picture], names: Sequence[str], *, top: int,
    groups: Sequence[Group],
) -> Iterator[Prediction]:  # fmt: skip
    """Yield an answer a picture, in order: a group where there are some, else the top classes."""
    if not groups:
        yield from model.predict(pictures, names=names, top=top)
        return
    for name, outcome in model.stream(pictures, names):
        yield answer_in_groups(name, outcome, groups)


def answer_in_groups(
    name: str, outcome: NDArray[np.float32] | ImageError, groups: Sequence[Group]
) -> Prediction:
    """Return the group that holds over half of the probability; "neither" or "none" otherwise."""
    if isinstance(outcome, ImageError):
        return Prediction(name, error=outcome.reason)
    sums = {group.name: float(outcome[list(group.members)].sum()) for group in groups}
    other = OTHERS[len(groups) != 2]
    sums[other] = max(0.0, 1 - sum(sums.values()))
    ranked = tuple(sorted(sums.items(), key=lambda pair: -pair[1]))
    label, probability = ranked[0]
    if label != other and probability < NEEDED:
        label, probability = other, sums[other]
    return Prediction(name, label, probability, ranked)


def _members(part: str, classes: Sequence[str], text: str) -> list[int]:
    first, dash, last = part.partition("-")
    if first.isdecimal() and (last.isdecimal() or not dash):
        start, stop = int(first), int(last or first)
        if not start <= stop < len(classes):
            raise ConfigError(
                f"group {text!r}: {part} is not a range within 0..{len(classes) - 1}."
            )
        return list(range(start, stop + 1))
    if part in classes:
        return [list(classes).index(part)]
    raise ConfigError(f"group {text!r}: {part!r} is not a class.{closest(part, classes)}")
