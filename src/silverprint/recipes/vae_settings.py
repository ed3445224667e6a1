"""How to train a variational autoencoder: every field is an option of `generate vae`."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from silverprint.errors import ConfigError
from silverprint.models.shapes import Likelihood, Network
from silverprint.training import choices
from silverprint.training.checks import Range, check_fields
from silverprint.training.choices import Device, Precision
from silverprint.training.schedule import Shape

Prior = Literal["normal", "flow"]


@dataclass(frozen=True)
class VaeSettings:
    """How to train a variational autoencoder.

    Attributes:
        latent: how many numbers a code has.
        network: "cnn" or "mlp".
        widths: channels at each halving of the side (cnn), or units of each layer (mlp); empty for
            32,64 or 512,512.
        blocks: residual blocks at the smallest side, in encoder and decoder each (cnn).
        likelihood: "bernoulli": pixels are drawn black or white anew each time a picture is shown;
            "gaussian": with one learned noise; "auto": the former for grey pictures.
        prior: "normal", or "flow": a small invertible network shapes N(0, I).
        couplings: layers of that network.
        conditional: encoder and decoder are told the class.
        epochs: passes over the training pictures.
        batch_size: pictures a step, of all processes together.
        learning_rate: the highest.
        weight_decay: decoupled (AdamW), on weights, not on biases.
        schedule: "cosine", "linear" or "constant", after the warm-up.
        warm_up: share of all steps in which the learning rate rises.
        beta: what the divergence is multiplied by; 1 is the bound itself.
        beta_warm_up: share of all steps in which beta rises from 0.
        free_bits: nats a unit of the code may tell for nothing (prior "normal").
        samples: codes drawn a picture; from 2 on the importance-weighted bound is trained.
        patience: epochs without a better validation loss after which training stops.
        clip: largest norm of the gradient.
        average: whether the moving average of the weights is judged and shipped.
        precision: of products; "auto" is bf16 where that is faster, f32 for an mlp.
        device: "auto", "cpu", "cuda" or "mps".
        seed: of everything random.
    """

    latent: int = 32
    network: Network = "cnn"
    widths: tuple[int, ...] = ()
    blocks: int = 2
    likelihood: Likelihood | Literal["auto"] = "auto"
    prior: Prior = "normal"
    couplings: int = 4
    conditional: bool = False
    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    schedule: Shape = "cosine"
    warm_up: float = 0.02
    beta: float = 1.0
    beta_warm_up: float = 0.0
    free_bits: float = 0.0
    samples: int = 1
    patience: int | None = None
    clip: float = 200.0
    average: bool = True
    precision: Precision = "auto"
    device: Device = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.widths, int | tuple | list):
            widths = (self.widths,) if isinstance(self.widths, int) else self.widths
            object.__setattr__(self, "widths", tuple(widths))
        check_fields(self, CHOICES, RANGES)
        if self.prior == "flow" and self.free_bits:
            raise ConfigError(
                "free_bits are counted by unit, which a flow prior mixes; set free_bits=0 or "
                "prior=normal."
            )
        if self.prior == "flow" and self.latent < 2:
            raise ConfigError("a flow prior needs latent of at least 2; got 1.")
        if self.samples > 1 and (self.free_bits or self.beta != 1 or self.beta_warm_up):
            raise ConfigError(
                "the importance-weighted bound (samples over 1) has no terms to weigh; leave "
                "beta=1, beta_warm_up=0 and free_bits=0."
            )


@dataclass(frozen=True)
class Measuring:
    """How the likelihood of pictures that were held back is estimated.

    Attributes:
        samples: codes a picture.
        pictures: how many, drawn at random from the split.
        seed: of the draw of pictures, of their pixels and of the codes.
    """

    samples: int = 100
    pictures: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        for name, most in (("samples", 1_000_000), ("pictures", 1_000_000)):
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise ConfigError(f"--importance-{name} must lie within 1..{most}; got {value}.")


CHOICES: dict[str, tuple[Any, ...]] = {
    **choices.CHOICES,
    "network": get_args(Network),
    "likelihood": ("auto", *get_args(Likelihood)),
    "prior": get_args(Prior),
}
RANGES: dict[str, Range] = {
    **choices.RANGES,
    "latent": (int, 1, 4096, "1..4096"),
    "widths": (int, 1, 65536, "1..65536"),
    "blocks": (int, 0, 64, "0..64"),
    "couplings": (int, 1, 64, "1..64"),
    "batch_size": (int, 1, 1_000_000, "1..1000000"),
    "beta": (float, 0, 1000, "0..1000"),
    "beta_warm_up": (float, 0, 1, "0..1"),
    "free_bits": (float, 0, 1000, "0..1000"),
    "samples": (int, 1, 1000, "1..1000"),
}
