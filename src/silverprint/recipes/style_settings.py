"""How a picture is painted in the style of others: every field is an option of `stylize`."""

from dataclasses import dataclass
from typing import Any, Literal

from silverprint.errors import ConfigError
from silverprint.training.checks import Range, check_fields, is_kind, settings_from
from silverprint.training.choices import Device

Start = Literal["content", "noise", "style"]
KeepColours = Literal["none", "luminance", "histogram"]

SMALLEST = 24  # pixels along the shorter side of any picture
WEIGHT: Range = (float, 0.0, 1e6, "0..1e6")
RANGES: dict[str, Range] = {
    "size": (int, 32, 2048, "32..2048 pixels"),
    "style_weight": WEIGHT,
    "content_weight": WEIGHT,
    "tv_weight": WEIGHT,
    "steps": (int, 1, 100_000, "1..100000"),
    "scales": (int, 1, 6, "1..6"),
    "style_size": (float, 0.1, 4.0, "0.1..4"),
    "learning_rate": (float, 1e-6, 10.0, "1e-6..10"),
    "seed": (int, 0, 2**63 - 1, "0..2^63-1"),
}
CHOICES = {
    "start": ("content", "noise", "style"),
    "keep_colours": ("none", "luminance", "histogram"),
    "optimiser": ("lbfgs", "adam"),
    "device": ("auto", "cpu", "cuda", "mps"),
}


@dataclass(frozen=True)
class StyleSettings:
    """How a picture is painted in the style of others.

    All three losses are shares, whatever the network: a style loss of 1 means as far from the
    style's Gram matrices as no correlation at all, a content loss of 1 as far from the content as
    its mean.

    Attributes:
        size: longer side of the result in pixels.
        style_weight: of the style loss.
        content_weight: of the content loss.
        tv_weight: of the total variation.
        layers: whose Gram matrices are the style; empty lets the network choose.
        content_layers: whose maps are the content; empty lets the network choose.
        blend: weight of each style; empty for equal ones.
        steps: evaluations of the losses, over all scales; L-BFGS may need a few more.
        scales: from coarse to fine, each twice the one before; fewer where it would get too coarse.
        style_size: longer side of the style pictures, as a multiple of the content's; they are
            never enlarged.
        start: what the coarsest scale begins with; "content" has soft blots of colour in it.
        keep_colours: "luminance" keeps the content's colours and takes brightness from the result;
            "histogram" gives the style pictures the content's mean and covariance of colours first.
        optimiser: "lbfgs" or "adam".
        learning_rate: of Adam, in units of the range from black to white.
        seed: of the noise and the blots.
        device: "auto", "cpu", "cuda" or "mps".
    """

    size: int = 384
    style_weight: float = 1.0
    content_weight: float = 0.1
    tv_weight: float = 0.1
    layers: tuple[str, ...] = ()
    content_layers: tuple[str, ...] = ()
    blend: tuple[float, ...] = ()
    steps: int = 150
    scales: int = 3
    style_size: float = 1.0
    start: Start = "content"
    keep_colours: KeepColours = "none"
    optimiser: Literal["lbfgs", "adam"] = "lbfgs"
    learning_rate: float = 0.02
    seed: int = 0
    device: Device = "auto"

    def __post_init__(self) -> None:
        check_fields(self, CHOICES, RANGES, free=("layers", "content_layers", "blend"))
        if not self.style_weight and not self.content_weight:
            raise ConfigError("style_weight and content_weight are both 0: nothing would be asked.")
        for weight in self.blend:
            if not (is_kind(weight, float) and 0 < weight <= 1e6):
                raise ConfigError(f"blend takes weights above 0, at most 1e6; got {weight!r}.")

    @classmethod
    def of(cls, **given: Any) -> "StyleSettings":
        """Build from names and values, such as a record's; None is the default.

        Of layers and blend, one alone will do for a list of one.

        Raises:
            ConfigError: a name is unknown, or a value is out of its range.
        """
        return settings_from(cls, {name: _as_field(name, value) for name, value in given.items()})


def _as_field(name: str, value: Any) -> Any:
    """Return a tuple for a list or for one alone; layers are named by text, as "5" is."""
    if value is None or name not in ("layers", "content_layers", "blend"):
        return value
    values = value if isinstance(value, (list, tuple)) else (value,)
    return tuple(values if name == "blend" else map(str, values))
