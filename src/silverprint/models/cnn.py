"""A plain convolutional network: blocks of convolutions, each ending in a pool."""

from dataclasses import dataclass

from torch import nn

from silverprint.models.network import PictureInput, SmallNetwork


@dataclass(frozen=True)
class CnnShape:
    """How a plain convolutional network is built.

    Attributes:
        widths: channels of each block; a block halves the sides.
        convolutions: 3 x 3 convolutions a block.
        dense: units of the hidden layer after the last block; 0 for none.
        dropout: share of channels (of a block) silenced while training, block by block.
        dense_dropout: share of the last features silenced.
    """

    widths: tuple[int, ...]
    convolutions: int
    dense: int
    dropout: float
    dense_dropout: float


PRESETS: dict[str, CnnShape] = {
    "plain": CnnShape((32, 64, 128), convolutions=2, dense=0, dropout=0.0, dense_dropout=0.3),
    # The network of many a first course on sign language: 28 x 28 grey pixels, 24 letters.
    "signs": CnnShape((75, 50, 25), convolutions=1, dense=512, dropout=0.2, dense_dropout=0.3),
}


def cnn(
    given: PictureInput, outputs: int, shape: CnnShape, batch_norm: bool = True
) -> SmallNetwork:
    """Return the blocks -> flatten -> (dense -> ReLU) -> dropout -> classifier."""
    layers: list[nn.Module] = []
    channels, side = given.channels, given.size
    for width in shape.widths:
        layers.append(_block(channels, width, shape.convolutions, batch_norm, shape.dropout))
        channels, side = width, -(-side // 2)
    layers.append(nn.Flatten())
    features = channels * side**2
    if shape.dense:
        layers += [nn.Linear(features, shape.dense), nn.ReLU()]
        features = shape.dense
    if shape.dense_dropout:
        layers.append(nn.Dropout(shape.dense_dropout))
    return SmallNetwork(nn.Sequential(*layers), features, outputs, given)


def _block(
    inputs: int, width: int, convolutions: int, batch_norm: bool, dropout: float
) -> nn.Module:
    layers: list[nn.Module] = []
    for number in range(convolutions):
        channels = width if number else inputs
        layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=not batch_norm))
        if number == convolutions - 1:
            # Before batch norm and ReLU, which then have a quarter of the values to pass over.
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        if batch_norm:
            layers.append(nn.BatchNorm2d(width))
        layers.append(nn.ReLU())
    if dropout:
        layers.append(nn.Dropout2d(dropout))
    return nn.Sequential(*layers)
