"""The linear autoencoder that can be computed: PCA, by scikit-learn, as the measure of others."""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Flat = NDArray[np.float32]  # (n, numbers)
MOST_NUMBERS = 1 << 28  # of the pictures it is fitted to: 1 GB


@dataclass(frozen=True)
class Principal:
    """Principal axes of pictures.

    Attributes:
        mean: (numbers,) of the pictures.
        axes: (K, numbers), the strongest first, orthonormal.
    """

    mean: Flat
    axes: Flat

    def again(self, pictures: Flat, k: int) -> Flat:
        """Return pictures (n, numbers) made from k numbers each; they may leave 0..1 a little."""
        axes = self.axes[:k]
        codes = (pictures - self.mean) @ axes.T
        return np.asarray(codes @ axes + self.mean, np.float32)

    def error(self, clean: Flat, seen: Flat, k: int) -> float:
        """Return the mean squared error of `clean` made again from `seen`, cut to 0..1."""
        return mean_square(self.again(seen, k).clip(0, 1), clean)

    def enough(self, clean: Flat, error: float) -> int | None:
        """Return the least k that makes pictures as close as that; None for more than there are."""
        most = len(self.axes)
        k = 1 + bisect_left(
            range(most), True, key=lambda k: self.error(clean, clean, k + 1) <= error
        )
        return k if k <= most else None


def fit_principal(pictures: NDArray[np.uint8], most: int, seed: int = 0) -> Principal:
    """Find up to `most` principal axes of pictures (n, C, S, S); of very many, of some of them."""
    from sklearn.decomposition import PCA

    numbers = pictures[0].size
    step = -(-len(pictures) * numbers // MOST_NUMBERS)
    some = pictures[::step]
    values = some.reshape(len(some), -1).astype(np.float32) / np.float32(255)
    most = min(most, len(values), numbers)
    pca = PCA(most, random_state=seed).fit(values)
    return Principal(pca.mean_.astype(np.float32), pca.components_.astype(np.float32))


def mean_square(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the mean squared difference of two arrays of one shape."""
    return float(np.square(one - other, dtype=np.float64).mean())
