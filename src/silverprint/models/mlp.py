"""A multi-layer perceptron: every pixel is joined to every unit."""

from collections.abc import Sequence

from torch import nn

from silverprint.models.network import PictureInput, SmallNetwork

# Layers are counted by their weights, as in LeCun et al.'s table of results on MNIST.
PRESETS: dict[str, tuple[int, ...]] = {"two-layer": (256,), "three-layer": (512, 512)}
DROPOUT = 0.2


def mlp(
    given: PictureInput, outputs: int, widths: Sequence[int], dropout: float = DROPOUT,
    batch_norm: bool = False,
) -> SmallNetwork:  # fmt: skip
    """Return flatten -> linear -> (batch norm) -> ReLU -> dropout, ... -> classifier."""
    layers: list[nn.Module] = [nn.Flatten()]
    inputs = given.channels * given.size**2
    for width in widths:
        # Batch norm has a bias of its own, and would take another one off again.
        layers.append(nn.Linear(inputs, width, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm1d(width))
        layers.append(nn.ReLU())
        if dropout:
            layers.append(nn.Dropout(dropout))
        inputs = width
    return SmallNetwork(nn.Sequential(*layers), inputs, outputs, given)
