"""How to train an autoencoder: every field is an option of `generate autoencoder`."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from silverprint.errors import ConfigError
from silverprint.models.shapes import Enlarging, Kind
from silverprint.runtime.noise import Noise, check_noise
from silverprint.training import choices
from silverprint.training.checks import Range, check_fields
from silverprint.training.choices import Device, Precision
from silverprint.training.schedule import Shape

Loss = Literal["mse", "bce", "l1"]


@dataclass(frozen=True)
class AutoencoderSettings:
    """How to train an autoencoder.

    Attributes:
        kind: "linear", "transposed" or "upsampling".
        code_size: how many numbers a picture becomes.
        widths: channels after each halving; empty for as many as suit the pictures' size.
        tied: whether a linear one decodes by the transpose of what it encodes by.
        enlarging: how "upsampling" doubles the sides: "nearest" or "bilinear".
        noise: laid over what is encoded, not over what is to come out: "none", "gaussian",
            "salt-and-pepper" or "masking".
        strength: of the noise, 0..1: gaussian's deviation, or the share of pixels.
        loss: "mse", "bce" (cross-entropy of each value) or "l1".
        epochs: passes over the training pictures.
        batch_size: pictures a step.
        learning_rate: the highest; None for one that suits the kind.
        weight_decay: decoupled (AdamW).
        schedule: "cosine", "linear" or "constant", after the warm-up.
        warm_up: share of all steps in which the learning rate rises.
        clip: largest norm of the gradient; None for any.
        patience: epochs without a lower validation loss after which training stops.
        precision: of products; "auto" is bf16 for convolutions where that is faster.
        device: "auto", "cpu", "cuda" or "mps".
        seed: of everything random.
    """

    kind: Kind = "upsampling"
    code_size: int = 32
    widths: tuple[int, ...] = ()
    tied: bool = False
    enlarging: Enlarging = "nearest"
    noise: Noise = "none"
    strength: float = 0.5
    loss: Loss = "mse"
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float | None = None
    weight_decay: float = 0.0
    schedule: Shape = "cosine"
    warm_up: float = 0.1
    clip: float | None = None
    patience: int | None = None
    precision: Precision = "auto"
    device: Device = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.widths, int | tuple | list):
            widths = (self.widths,) if isinstance(self.widths, int) else self.widths
            object.__setattr__(self, "widths", tuple(widths))
        check_fields(self, CHOICES, RANGES, free=("noise", "strength"))
        check_noise(self.noise, self.strength)
        linear = self.kind == "linear"
        if self.tied and not linear:
            raise ConfigError(f"tied is of a linear autoencoder; kind is {self.kind}.")
        if self.widths and linear:
            raise ConfigError("widths are of convolutions, which a linear autoencoder has not.")
        if self.enlarging != "nearest" and self.kind != "upsampling":
            raise ConfigError(f"enlarging is of kind upsampling; kind is {self.kind}.")
        if self.loss == "bce" and linear:
            raise ConfigError(
                "bce needs pictures within 0..1, which a linear autoencoder may leave; choose mse "
                "or l1."
            )


CHOICES: dict[str, tuple[Any, ...]] = {
    **choices.CHOICES,
    "kind": get_args(Kind),
    "enlarging": get_args(Enlarging),
    "loss": get_args(Loss),
}
RANGES: dict[str, Range] = {
    **choices.RANGES,
    "code_size": (int, 1, 65536, "1..65536"),
    "widths": (int, 1, 4096, "1..4096"),
    "batch_size": (int, 2, 1_000_000, "2..1000000"),
}
