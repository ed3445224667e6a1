"""How strongly pictures are varied while a network learns: named policies, as data.

The work itself is in data/augmentation.py, which needs torch; this module does not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from silverprint.errors import ConfigError, closest

Edges = Literal["black", "mirror"]

SMALL = 64  # pixels; below, a random resized crop costs more detail than it teaches
# Words in class names that a mirrored picture would turn into a lie.
SIDED = ("left", "right", "clockwise", "anticlockwise", "counterclockwise", "east", "west")


@dataclass(frozen=True)
class Policy:
    """How far each picture may be changed. Every default leaves it as it is.

    Attributes:
        purpose: what pictures it is for, in a few words.
        rotation: degrees, to either side.
        shear: degrees by which upright lines may lean, to either side.
        area: least and most share of the picture's area that a random crop shows.
        aspect: how many times wider or taller than the picture, in proportion, a crop may be.
        zoom: least and most factor by which the picture is enlarged about its middle.
        translation: share of the side, in each direction.
        flip: probability that left and right are exchanged.
        brightness: share by which values are scaled up or down.
        contrast: share by which distances from the picture's mean are scaled.
        saturation: share by which distances from grey are scaled.
        hue: degrees by which colours are turned round the colour circle, to either side.
        erase: probability that a rectangle is hidden behind the picture's mean colour.
        erase_area: least and most share of the picture that is hidden.
        mixup: alpha of the Beta distribution of mixup's weights; 0 is none.
        cutmix: alpha of the Beta distribution of cutmix's areas; 0 is none.
        mix: probability that a picture is mixed with another, where mixup or cutmix is above 0.
        edges: what is seen beyond the picture's edge.
    """

    purpose: str = ""
    rotation: float = 0.0
    shear: float = 0.0
    area: tuple[float, float] = (1.0, 1.0)
    aspect: float = 1.0
    zoom: tuple[float, float] = (1.0, 1.0)
    translation: float = 0.0
    flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    erase: float = 0.0
    erase_area: tuple[float, float] = (0.02, 0.2)
    mixup: float = 0.0
    cutmix: float = 0.0
    mix: float = 1.0
    edges: Edges = "black"

    def __post_init__(self) -> None:
        for name in ("translation", "flip", "brightness", "contrast", "saturation", "erase", "mix"):
            _within(name, getattr(self, name), 0, 1)
        _within("rotation", self.rotation, 0, 180)
        _within("hue", self.hue, 0, 180)
        _within("shear", self.shear, 0, 60)
        _within("aspect", self.aspect, 1, 4)
        _within("mixup", self.mixup, 0, 100)
        _within("cutmix", self.cutmix, 0, 100)
        for name, least, most in (("area", 0.01, 1), ("zoom", 0.1, 10), ("erase_area", 0, 1)):
            low, high = getattr(self, name)
            _within(f"{name}'s least", low, least, most)
            _within(f"{name}'s most", high, low, most)
        if self.edges not in get_args(Edges):
            raise ConfigError(
                f"edges must be one of {', '.join(get_args(Edges))}; got {self.edges!r}."
            )

    @property
    def moves(self) -> bool:
        """Whether a picture's geometry is changed."""
        return self.shifts_only or self.resamples

    @property
    def resamples(self) -> bool:
        """Whether pixels end up between those of the given picture."""
        whole = self.area == (1, 1) and self.zoom == (1, 1)
        return bool(self.rotation or self.shear) or not whole

    @property
    def shifts_only(self) -> bool:
        """Whether whole pixels are all that is moved, so that nothing is blurred."""
        return bool(self.translation or self.flip) and not self.resamples

    @property
    def looks_outside(self) -> bool:
        """Whether anything beyond the picture's edge can come into view."""
        return bool(self.rotation or self.shear or self.translation) or self.zoom[0] < 1

    @property
    def colours(self) -> bool:
        """Whether values are changed."""
        return bool(self.brightness or self.contrast or self.saturation or self.hue)

    @property
    def mixes(self) -> bool:
        """Whether pictures are mixed with each other."""
        return bool(self.mix and (self.mixup or self.cutmix))

    @property
    def varies(self) -> bool:
        """Whether a picture by itself is changed at all."""
        return self.moves or self.colours or self.erase > 0

    def in_words(self) -> list[str]:
        """Say what is done to a picture, one phrase a step."""
        return [
            *_geometry_in_words(self),
            *_colour_in_words(self),
            *_rest_in_words(self),
        ] or ["nothing is changed"]


def _within(name: str, value: float, least: float, most: float) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise ConfigError(f"{name} must lie within {least:g}..{most:g}; got {value:g}.")


def _geometry_in_words(policy: Policy) -> list[str]:
    words = []
    if policy.area != (1, 1):
        low, high = (f"{100 * share:g}" for share in policy.area)
        stretched = f", stretched up to {policy.aspect:.2f} times" if policy.aspect > 1 else ""
        words.append(f"cropped to {low} to {high} % of its area{stretched}")
    if policy.rotation:
        words.append(f"turned by up to {policy.rotation:g}° either way")
    if policy.shear:
        words.append(f"slanted by up to {policy.shear:g}° either way")
    if policy.zoom != (1, 1):
        words.append(f"enlarged {policy.zoom[0]:g} to {policy.zoom[1]:g} times")
    if policy.translation:
        whole = ", by whole pixels" if policy.shifts_only else ""
        words.append(f"moved by up to {100 * policy.translation:g} % of the side{whole}")
    if policy.flip:
        words.append(f"left and right exchanged with probability {policy.flip:g}")
    if policy.looks_outside:
        words.append(f"{'mirrored' if policy.edges == 'mirror' else 'black'} beyond its edges")
    return words


def _colour_in_words(policy: Policy) -> list[str]:
    names = ("brightness", "contrast", "saturation")
    shares = [
        f"{name} ±{100 * getattr(policy, name):g} %" for name in names if getattr(policy, name)
    ]
    return [", ".join([*shares, *([f"hue ±{policy.hue:g}°"] if policy.hue else [])])][
        : policy.colours
    ]


def _rest_in_words(policy: Policy) -> list[str]:
    words = []
    if policy.erase:
        low, high = (f"{100 * share:g}" for share in policy.erase_area)
        words.append(
            f"a rectangle of {low} to {high} % of it hidden with probability {policy.erase:g}"
        )
    if policy.mixes:
        ways = [f"{name} (alpha {getattr(policy, name):g})" for name in ("mixup", "cutmix")
                if getattr(policy, name)]  # fmt: skip
        words.append(f"mixed with another by {' or '.join(ways)} with probability {policy.mix:g}")
    return words


POLICIES: dict[str, Policy] = {
    "none": Policy("pictures as they are"),
    "light": Policy(
        "anything: changes that nobody would notice",
        rotation=5, zoom=(0.95, 1.1), translation=0.04, brightness=0.1, contrast=0.1,
    ),
    "digits": Policy(
        "handwritten digits and letters, light on dark",
        rotation=10, shear=8, zoom=(0.9, 1.1), translation=0.07,
    ),
    "signs": Policy(
        "hand signs, traffic signs: all that has a left and a right",
        rotation=12, area=(0.7, 1), aspect=1.2, zoom=(0.85, 1.1), translation=0.06,
        brightness=0.25, contrast=0.25, saturation=0.2,
    ),
    "small": Policy(
        f"things in pictures of up to {SMALL} pixels",
        translation=0.125, flip=0.5, edges="mirror",
    ),
    "photos": Policy(
        "photos of things",
        area=(0.35, 1), aspect=4 / 3, flip=0.5, brightness=0.2, contrast=0.2, saturation=0.2,
    ),
    "strong": Policy(
        "photos of things, few of them, or many epochs",
        rotation=10, area=(0.25, 1), aspect=4 / 3, flip=0.5, brightness=0.25, contrast=0.25,
        saturation=0.25, hue=5, erase=0.25, mixup=0.2, cutmix=1.0, mix=0.5, edges="mirror",
    ),
    "overhead": Policy(
        "seen from above, with no up or down: satellites, microscopes, plates",
        rotation=180, area=(0.5, 1), aspect=1.1, flip=0.5, brightness=0.15, contrast=0.15,
        saturation=0.1, edges="mirror",
    ),
}  # fmt: skip


def find_policy(name: str) -> Policy:
    """Return the policy of that name.

    Raises:
        ConfigError: there is none; the message has the closest name.
    """
    if name not in POLICIES:
        raise ConfigError(
            f"policy must be one of {', '.join(POLICIES)}; got {name!r}.{closest(name, POLICIES)}"
        )
    return POLICIES[name]


def suggest_policy(classes: Sequence[str], side: int) -> tuple[str, str]:
    """Return a policy's name for pictures of these classes, and why it was chosen.

    Flips are left out wherever the names say that left and right carry meaning: single characters
    (digits, letters of a script or of sign language), and words such as "left".

    Args:
        classes: the classes' names.
        side: of the network's square input, in pixels.
    """
    names = [name.strip().casefold() for name in classes]
    if names and all(name.isdecimal() for name in names):
        name = "digits" if side <= SMALL else "signs"
        return name, "the classes are numbers, and a flip might change what they stand for"
    if names and all(len(name) == 1 for name in names):
        return "signs", "the classes are single characters, which a flip would change"
    words = {word for name in names for word in _words(name)}
    sided = sorted(words.intersection(SIDED))
    if sided:
        return "signs", f"a class name says {sided[0]!r}, which a flip would change"
    if side <= SMALL:
        return "small", f"the pictures are no larger than {SMALL} pixels"
    return "photos", "nothing in the classes' names speaks against a flip"


def _words(name: str) -> list[str]:
    return "".join(letter if letter.isalpha() else " " for letter in name).split()
