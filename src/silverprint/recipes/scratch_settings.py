"""How to train a network from scratch: every field is an option of `train --from-scratch`."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from silverprint.data.policies import find_policy
from silverprint.errors import ConfigError
from silverprint.models.catalogue import check_model
from silverprint.models.network import Initialisation
from silverprint.training import choices
from silverprint.training.checks import Range, check_fields
from silverprint.training.choices import Device, Precision
from silverprint.training.losses import ClassWeights
from silverprint.training.schedule import Shape

Metric = Literal["validation loss", "validation accuracy"]
OptimiserName = Literal["adamw", "sgd"]


@dataclass(frozen=True)
class ScratchSettings:
    """How to train a network from scratch.

    Attributes:
        model: "mlp", "cnn" or "resnet".
        preset: a shape of that model by name, such as "signs" for cnn; empty for its first.
        widths: units or channels of each layer, block or group, in place of the preset's.
        epochs: passes over the training pictures.
        batch_size: pictures a step, of all processes together.
        learning_rate: the highest; None for one that suits the model and the optimiser.
        weight_decay: decoupled (AdamW), on weights, not on biases and norms.
        l1: added to the loss: this times the sum of all absolute weights.
        dropout: share of the last features silenced (mlp: of every layer's); None for the preset's.
        batch_norm: None for the model's own way: a cnn has it, an mlp has not, a resnet always has.
        label_smoothing: share of the target spread over all classes.
        initialisation: "zeros", "ones", "uniform", "normal", "xavier" or "he".
        augment: a policy by name; "auto" is "none" for an mlp, else what `suggest_policy` says.
        optimiser: "adamw", or "sgd" with Nesterov momentum 0.9.
        schedule: "cosine", "linear" or "constant", after the warm-up.
        warm_up: share of all steps in which the learning rate rises.
        patience: epochs without a better metric after which training stops; None never stops.
        metric: what chooses the epoch that ships; of equal accuracies the lower loss wins.
        clip: largest norm of the gradient; None for any.
        accumulate: parts a batch is computed in, one after the other, to need less memory.
        average: whether the moving average of the weights is judged and shipped.
        precision: of products; "auto" is bf16 where that is faster.
        device: "auto", "cpu", "cuda" or "mps".
        seed: of everything random.
        class_weights: "auto", "balanced" or "none", as for heads.
    """

    model: str = "cnn"
    preset: str = ""
    widths: tuple[int, ...] = ()
    epochs: int = 12
    batch_size: int = 128
    learning_rate: float | None = None
    weight_decay: float = 0.05
    l1: float = 0.0
    dropout: float | None = None
    batch_norm: bool | None = None
    label_smoothing: float = 0.1
    initialisation: Initialisation = "he"
    augment: str = "auto"
    optimiser: OptimiserName = "adamw"
    schedule: Shape = "cosine"
    warm_up: float = 0.1
    patience: int | None = None
    metric: Metric = "validation accuracy"
    clip: float | None = None
    accumulate: int = 1
    average: bool = True
    precision: Precision = "auto"
    device: Device = "auto"
    seed: int = 0
    class_weights: ClassWeights = "auto"

    def __post_init__(self) -> None:
        if isinstance(self.widths, int | tuple | list):
            widths = (self.widths,) if isinstance(self.widths, int) else self.widths
            object.__setattr__(self, "widths", tuple(widths))
        check_fields(self, CHOICES, RANGES)
        check_model(self.model, self.preset)
        if self.augment != "auto":
            find_policy(self.augment)
        if self.model == "resnet" and self.batch_norm is False:
            raise ConfigError("a resnet always has batch norm; choose cnn or mlp to be without.")
        if self.model == "mlp" and self.batch_norm and self.batch_size < 4 * self.accumulate:
            raise ConfigError(
                "batch norm needs several pictures at a time, so batch_size must be at least 4 "
                f"times accumulate; got {self.batch_size} and {self.accumulate}."
            )


CHOICES: dict[str, tuple[Any, ...]] = {
    **choices.CHOICES,
    "batch_norm": (True, False),
    "initialisation": get_args(Initialisation),
    "optimiser": get_args(OptimiserName),
    "metric": get_args(Metric),
    "class_weights": get_args(ClassWeights),
}
RANGES: dict[str, Range] = {
    **choices.RANGES,
    "widths": (int, 1, 65536, "1..65536"),
    "batch_size": (int, 1, 1_000_000, "1..1000000"),
    "l1": (float, 0, 10, "0..10"),
}
