"""Noise that a denoising autoencoder learns to take off, for torch and numpy alike.

gaussian          every value is moved by N(0, strength²), then cut to 0..1
salt-and-pepper   this share of the pixels turns white or black, half of them each
masking           this share of the pixels turns black
"""

from typing import Any, Literal, TypeVar, cast, get_args

import numpy as np
from numpy.typing import NDArray

from silverprint.errors import ConfigError, closest

Noise = Literal["none", "gaussian", "salt-and-pepper", "masking"]
STRENGTH = 0.5
NOISES: tuple[Noise, ...] = get_args(Noise)
Values = TypeVar("Values", bound=Any)  # an array or a tensor


def strength_of(noise: str | None, strength: float | None) -> float:
    """Return the strength of a noise, STRENGTH where none is given.

    Raises:
        ConfigError: there is a strength, but no noise that it could be of.
    """
    if strength is None:
        return STRENGTH
    if noise in (None, "none"):
        raise ConfigError(
            f"strength {strength:g} is of a noise; give noise gaussian, salt-and-pepper or masking "
            "too, or leave strength out."
        )
    return strength


def check_noise(noise: str, strength: float) -> None:
    """Refuse a noise that is unknown, or of a strength outside 0..1.

    Raises:
        ConfigError: it says what may be given.
    """
    if noise not in NOISES:
        raise ConfigError(
            f"noise must be one of {', '.join(NOISES)}; got {noise!r}.{closest(noise, NOISES)}"
        )
    a_number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not (a_number and 0 < strength <= 1):
        raise ConfigError(
            f"strength must lie within 0..1, 0 excluded: the deviation of gaussian noise on the "
            f"scale 0..1, or a share of pixels; got {strength!r}."
        )


def drawn_shape(noise: Noise, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of what is drawn for pictures (n, C, S, S): by value, or by pixel."""
    return shape if noise == "gaussian" else (shape[0], 1, *shape[2:])


def spoil(pictures: Values, drawn: Values, noise: Noise, strength: float) -> Values:
    """Return noisy pictures.

    Args:
        pictures: (n, C, S, S) in 0..1.
        drawn: of `drawn_shape`; N(0, 1) for gaussian, else uniform in 0..1.
        noise: of which kind.
        strength: in 0..1.
    """
    if noise == "gaussian":
        return cast(Values, (pictures + strength * drawn).clip(0, 1))
    kept = pictures * (drawn >= strength)
    return cast(Values, kept if noise == "masking" else kept + (drawn < strength / 2))


def spoil_arrays(
    pictures: NDArray[np.float32], noise: Noise, strength: float, seed: int
) -> NDArray[np.float32]:
    """Return noisy pictures (n, C, S, S), the same for the same seed."""
    if noise == "none":
        return pictures
    generator = np.random.default_rng(seed)
    shape = drawn_shape(noise, pictures.shape)
    draw = generator.standard_normal if noise == "gaussian" else generator.random
    return spoil(pictures, draw(shape, dtype=np.float32), noise, strength)


def psnr(pictures: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return each picture's peak signal-to-noise ratio in dB, (n,); at most 100, where equal."""
    errors = np.square(pictures - truth, dtype=np.float64).mean(axis=(1, 2, 3))
    result: NDArray[np.float64] = -10 * np.log10(np.maximum(errors, 1e-10))
    return result
