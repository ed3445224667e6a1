"""How to train a gan: every field is an option of `generate gan`."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from silverprint.models.shapes import UPSAMPLINGS, Upsampling
from silverprint.training import choices
from silverprint.training.checks import Range, check_fields
from silverprint.training.choices import ABOVE_0, Device, Precision
from silverprint.training.schedule import Shape

Loss = Literal["hinge", "non-saturating"]


@dataclass(frozen=True)
class GanSettings:
    """How to train a gan.

    Attributes:
        epochs: passes over the training pictures.
        batch_size: real pictures a step, and as many made ones.
        code_size: numbers that a picture is made from.
        width: channels of the largest maps; the smallest have four times as many.
        upsampling: how the generator doubles: "nearest", "bilinear" or "transposed".
        conditional: whether both are told the class; None for yes if there are two or more.
        loss: "hinge" or "non-saturating".
        learning_rate: the generator's highest.
        discriminator_rate: the discriminator's highest.
        momentum: how much of the last gradients Adam keeps.
        spectral: whether the discriminator's layers are normalised by their largest stretch.
        r1: weight of the penalty on the discriminator's slope at real pictures; 0 for none.
        average: how much of the averaged generator a step keeps.
        schedule: "cosine", "linear" or "constant".
        precision: of products; "auto" is bf16 where that is faster.
        device: "auto", "cpu", "cuda" or "mps".
        seed: of everything random.
    """

    epochs: int = 12
    batch_size: int = 64
    code_size: int = 64
    width: int = 32
    upsampling: Upsampling = "nearest"
    conditional: bool | None = None
    loss: Loss = "hinge"
    learning_rate: float = 4e-4
    discriminator_rate: float = 8e-4
    momentum: float = 0.5
    spectral: bool = True
    r1: float = 0.0
    average: float = 0.998
    schedule: Shape = "linear"
    precision: Precision = "auto"
    device: Device = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, CHOICES, RANGES)


CHOICES: dict[str, tuple[Any, ...]] = {
    **choices.CHOICES,
    "upsampling": UPSAMPLINGS,
    "conditional": (True, False),
    "loss": get_args(Loss),
}
RANGES: dict[str, Range] = {
    **choices.RANGES,
    "batch_size": (int, 2, 65536, "2..65536"),
    "code_size": (int, 1, 4096, "1..4096"),
    "width": (int, 4, 512, "4..512"),
    "learning_rate": (float, ABOVE_0, 1, "0..1, 0 excluded"),
    "discriminator_rate": (float, ABOVE_0, 1, "0..1, 0 excluded"),
    "momentum": (float, 0, 0.999, "0..0.999"),
    "r1": (float, 0, 1000, "0..1000"),
    "average": (float, 0, 0.99999, "0..0.99999"),
}
