"""Answer in groups of a bundle's classes: dog is any of ImageNet's classes 151 to 268."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from silverprint.errors import ConfigError, ImageError, closest
from silverprint.runtime.predictor import Prediction

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
