"""How to train a character model: every field is an option of `write train`."""

from dataclasses import dataclass

from silverprint.training import choices
from silverprint.training.checks import Range, check_fields
from silverprint.training.choices import Device, Precision
from silverprint.training.schedule import Shape


@dataclass(frozen=True)
class TextSettings:
    """How to train a character model.

    Attributes:
        width: units of each layer.
        layers: of the LSTM.
        dropout: share of each layer's outputs that is silenced, the same for all of a step.
        embedding: numbers that stand for a character; 0 for one-hot; None for one-hot up to 256
            different characters and 256 numbers beyond.
        epochs: passes over the text.
        batch_size: strips that are read side by side; None for 8 to 64, so that even a short text
            gives some 256 steps an epoch.
        length: characters of each strip a step, through which gradients go back.
        forget: chance of a strip to forget everything before a step, as if the text began there.
        learning_rate: the highest.
        schedule: "cosine", "linear" or "constant", after the warm-up.
        warm_up: share of all steps in which the learning rate rises.
        weight_decay: decoupled (AdamW), on weights, not on biases.
        clip: largest norm of the gradient; None for any.
        cell_penalty: weight, in the loss, of the mean square of the cells at the end of each step.
        average: whether the moving average of the weights is judged and shipped.
        patience: epochs without a better validation loss after which training stops; None never.
        held_out: share of the text, at its end, that judges.
        precision: of products; "auto" is bf16 where that is faster.
        device: "auto", "cpu", "cuda" or "mps".
        seed: of everything random.
    """

    width: int = 512
    layers: int = 2
    dropout: float = 0.4
    embedding: int | None = None
    epochs: int = 20
    batch_size: int | None = None
    length: int = 80
    forget: float = 0.02
    learning_rate: float = 3e-3
    schedule: Shape = "cosine"
    warm_up: float = 0.05
    weight_decay: float = 0.02
    clip: float | None = 1.0
    cell_penalty: float = 0.1
    average: bool = True
    patience: int | None = None
    held_out: float = 0.1
    precision: Precision = "auto"
    device: Device = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, choices.CHOICES, RANGES)


RANGES: dict[str, Range] = {
    **choices.RANGES,
    "width": (int, 1, 16384, "1..16384"),
    "layers": (int, 1, 32, "1..32"),
    "embedding": (int, 0, 16384, "0..16384"),
    "batch_size": (int, 1, 65536, "1..65536"),
    "length": (int, 1, 65536, "1..65536"),
    "forget": (float, 0, 1, "0..1"),
    "cell_penalty": (float, 0, 1e6, "0..1000000"),
    "held_out": (float, 0.001, 0.9, "0.001..0.9"),
}
