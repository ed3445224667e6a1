"""How a decoded picture becomes a network's input, as data.

The work itself is done by one ONNX graph (backbones/graphs.py) that is run while looking at the
training pictures and that ships inside model.onnx, so the two cannot drift apart.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from silverprint.errors import ConfigError, closest

Fit = Literal["pad", "crop", "squash"]


@dataclass(frozen=True)
class Preprocessing:
    """The steps from RGB uint8 of any size to a square network input.

    Attributes:
        size: side of the square input in pixels.
        fit: "pad" keeps the whole picture and its shape, with black bars; "crop" takes the central
            square; "squash" stretches the picture to a square.
        crop: for "crop", the share of the shorter side that is kept.
        mean: per channel, on the scale 0..1; subtracted.
        std: per channel, on the scale 0..1; divided by.

    Resizing is bicubic (a = -0.5) with antialiasing on uint8, as in Pillow.
    """

    size: int = 224
    fit: Fit = "pad"
    crop: float = 1.0
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 2048:
            raise ConfigError(f"size must lie within 16..2048 pixels; got {self.size}.")
        if self.fit not in get_args(Fit):
            known = ", ".join(get_args(Fit))
            hint = closest(self.fit, get_args(Fit))
            raise ConfigError(f"fit must be one of {known}; got {self.fit!r}.{hint}")
        if not 0.1 <= self.crop <= 1:
            raise ConfigError(f"crop must lie within 0.1..1; got {self.crop}.")

    @property
    def decode_side(self) -> int:
        """The shorter side, in pixels, that a decoded picture must keep to lose nothing here."""
        return round(self.size / self.crop) if self.fit == "crop" else self.size

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types, for bundle.json and for the key of the feature cache."""
        resize = {"interpolation": "bicubic", "antialias": True, "colour": "RGB"}
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std), **resize}
