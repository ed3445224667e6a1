"""What a recipe that trains a whole network gives back."""

from dataclasses import dataclass, field

from torch import nn

from silverprint.models.head import Head


@dataclass
class FittedNetwork:
    """A trained network with the weights of its best epoch, on the processor, in evaluation mode.

    Attributes:
        network: pixels (n, 3, S, S), uint8 or float on the scale 0..255 -> features (n, d) float32.
        head: the last linear layer; (n, d) features -> (n, outputs) logits.
        metric: the name of the measure that chose the epoch, such as "validation loss".
        best_epoch: which one it was, from 1; 0 where training changed nothing for the better.
        curves: by epoch, "training loss", "training accuracy", "validation loss",
            "validation accuracy".
        epochs: how many were trained.
        resumed: the epoch after which an earlier, stopped run was taken up; 0 for none.
        seconds: of training, without what an earlier run spent.
    """

    network: nn.Module
    head: Head
    metric: str
    best_epoch: int
    curves: dict[str, list[float]] = field(default_factory=dict)
    epochs: int = 0
    resumed: int = 0
    seconds: float = 0.0
