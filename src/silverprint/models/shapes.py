"""What networks that make pictures may be told, without torch: so a slip is found at once."""

from dataclasses import dataclass
from typing import Literal, get_args

from silverprint.errors import ConfigError

# ---- Autoencoders and gans ----

Kind = Literal["linear", "transposed", "upsampling"]
Enlarging = Literal["nearest", "bilinear"]
Upsampling = Literal["nearest", "bilinear", "transposed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
UPSAMPLINGS: tuple[Upsampling, ...] = get_args(Upsampling)
SIDES = {"an autoencoder takes": (16, 128), "a gan makes": (16, 64)}  # pixels


def check_side(who: str, side: int) -> None:
    """Refuse pictures that are too small or too large.

    Args:
        who: one of SIDES.
        side: in pixels.

    Raises:
        ConfigError: it says what may be given.
    """
    least, most = SIDES[who]
    if not least <= side <= most:
        raise ConfigError(
            f"{who} pictures of {least} to {most} pixels; got {side}; give another --size."
        )


# ---- Variational autoencoders ----

Network = Literal["cnn", "mlp"]
Likelihood = Literal["bernoulli", "gaussian"]
WIDTHS: dict[Network, tuple[int, ...]] = {"cnn": (32, 64), "mlp": (512, 512)}
SMALLEST_SIDE = 8  # a cnn halves the side while it is even and larger


@dataclass(frozen=True)
class VaeShape:
    """How a variational autoencoder is built; plain values, so that a bundle can hold them.

    Attributes:
        channels: C of the pictures, 1 or 3.
        side: S of the pictures in pixels.
        latent: k, how many numbers a code has.
        network: "cnn" or "mlp".
        widths: channels at each halving of the side, or units of each layer; empty for the usual.
        blocks: residual blocks at the smallest side (cnn).
        likelihood: of pixels: "bernoulli", or "gaussian" with one learned noise.
        couplings: layers of the invertible network behind the prior; 0 for none.
        classes: how many it is told apart by, encoder and decoder both; 0 for none.
    """

    channels: int
    side: int
    latent: int
    network: Network = "cnn"
    widths: tuple[int, ...] = ()
    blocks: int = 2
    likelihood: Likelihood = "bernoulli"
    couplings: int = 0
    classes: int = 0

    def check(self) -> None:
        """Raise ConfigError where the network cannot be built."""
        if self.network == "cnn":
            self.stages()

    def stages(self) -> list[int]:
        """Return the channels after each halving of a cnn.

        Raises:
            ConfigError: the side cannot be halved.
        """
        side, halvings = self.side, 0
        while side % 2 == 0 and side > SMALLEST_SIDE:
            side, halvings = side // 2, halvings + 1
        if not halvings:
            raise ConfigError(
                f"a cnn halves the side of the pictures, so size must be even and over "
                f"{SMALLEST_SIDE}; got {self.side}. Give another --size, or --network mlp."
            )
        widths = self.widths or WIDTHS["cnn"]
        return [widths[min(stage, len(widths) - 1)] for stage in range(halvings)]
