"""A classifier head as plain arrays: linear, or with one hidden layer of ReLUs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """Features (n, d) -> logits (n, c); c is 1 for two classes, one of which is then "the other".

    Attributes:
        output_weight: (c, h) with a hidden layer, (c, d) without.
        output_bias: (c,).
        hidden_weight: (h, d), or None for a linear head.
        hidden_bias: (h,), or None.
    """

    output_weight: Array
    output_bias: Array
    hidden_weight: Array | None = None
    hidden_bias: Array | None = None

    @property
    def hidden_size(self) -> int:
        """Units of the hidden layer; 0 for a linear head."""
        return 0 if self.hidden_weight is None else len(self.hidden_weight)

    def logits(self, features: Array) -> Array:
        """Return logits (n, c)."""
        if self.hidden_weight is not None:
            assert self.hidden_bias is not None
            features = np.maximum(features @ self.hidden_weight.T + self.hidden_bias, 0)
        result: Array = features @ self.output_weight.T + self.output_bias
        return result

    def taking_raw(self, mean: Array, scale: float) -> "Head":
        """Return the head for raw features, if this one takes (features - mean) / scale."""
        first = self.output_weight if self.hidden_weight is None else self.hidden_weight
        bias = self.output_bias if self.hidden_bias is None else self.hidden_bias
        weight = (first / scale).astype(np.float32)
        shifted = (bias - weight @ mean).astype(np.float32)
        if self.hidden_weight is None:
            return Head(weight, shifted)
        return Head(self.output_weight, self.output_bias, weight, shifted)

    def tensors(self) -> dict[str, Array]:
        """Return the arrays by name, as they are stored in weights.safetensors."""
        named = {
            "head.hidden.weight": self.hidden_weight,
            "head.hidden.bias": self.hidden_bias,
            "head.output.weight": self.output_weight,
            "head.output.bias": self.output_bias,
        }
        return {name: array for name, array in named.items() if array is not None}
