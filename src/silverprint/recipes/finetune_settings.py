"""How to fine-tune a pretrained network: every field is an option of `train --finetune`."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from silverprint.data.policies import find_policy
from silverprint.errors import ConfigError
from silverprint.models.thawing import Unfreeze
from silverprint.training import choices
from silverprint.training.checks import Range, check_fields, is_kind
from silverprint.training.choices import ABOVE_0, Device, Precision
from silverprint.training.losses import ClassWeights

Metric = Literal["validation loss", "validation accuracy"]


@dataclass(frozen=True)
class FinetuneSettings:
    """How to fine-tune.

    Attributes:
        unfreeze: "all", or how many of the last stages learn (see models/stages.py).
        epochs: passes over the training pictures.
        learning_rate: the highest, of the last stage.
        stage_factor: each stage learns this many times as fast as the one after it.
        head_learning_rate: the highest, of the head.
        batch_size: pictures a step, of all processes together.
        weight_decay: decoupled (AdamW), on weights, not on biases and norms.
        dropout: share of the features silenced.
        label_smoothing: share of the target spread over all classes.
        augment: a policy by name; "auto" is what `suggest_policy` says of the classes.
        views: of each picture, where the front of the network is frozen.
        warm_up: share of all steps in which the learning rate rises; then it falls along a cosine.
        average: decay of the moving average of the weights, which is judged and shipped; 0: none.
        clip: largest norm of the gradient; None for any.
        accumulate: parts a batch is computed in, one after the other, to need less memory.
        patience: epochs without a better metric after which training stops; None never stops.
        metric: what chooses the epoch that ships.
        precision: of products; "auto" is bf16 where that is faster.
        device: "auto", "cpu", "cuda" or "mps".
        seed: of everything random.
        class_weights: "auto", "balanced" or "none", as for heads.
    """

    unfreeze: Unfreeze = "all"
    epochs: int = 5
    learning_rate: float = 3e-4
    stage_factor: float = 1.0
    head_learning_rate: float = 1e-3
    batch_size: int = 32
    weight_decay: float = 0.05
    dropout: float = 0.2
    label_smoothing: float = 0.1
    augment: str = "auto"
    views: int = 4
    warm_up: float = 0.3
    average: float = 0.99
    clip: float | None = None
    accumulate: int = 1
    patience: int | None = None
    metric: Metric = "validation accuracy"
    precision: Precision = "auto"
    device: Device = "auto"
    seed: int = 0
    class_weights: ClassWeights = "auto"

    def __post_init__(self) -> None:
        if isinstance(self.unfreeze, str) and self.unfreeze.isdecimal():
            object.__setattr__(self, "unfreeze", int(self.unfreeze))  # as a command line gives it
        stages = is_kind(self.unfreeze, int) and 1 <= int(self.unfreeze) <= 1000
        if self.unfreeze != "all" and not stages:
            raise ConfigError(
                f"unfreeze must be all, or how many of the last stages learn, at least 1; got "
                f"{self.unfreeze!r}."
            )
        check_fields(self, CHOICES, RANGES, free=("unfreeze",))
        if self.augment != "auto":
            find_policy(self.augment)


CHOICES: dict[str, tuple[Any, ...]] = {
    **choices.CHOICES,
    "metric": get_args(Metric),
    "class_weights": get_args(ClassWeights),
}
RANGES: dict[str, Range] = {
    **choices.RANGES,
    "learning_rate": (float, ABOVE_0, 10, "0..10, 0 excluded"),
    "stage_factor": (float, ABOVE_0, 1, "0..1, 0 excluded"),
    "head_learning_rate": (float, 0, 10, "0..10"),
    "batch_size": (int, 1, 65536, "1..65536"),
    "views": (int, 1, 1000, "1..1000"),
    "average": (float, 0, 0.99999, "0..0.99999"),
}
