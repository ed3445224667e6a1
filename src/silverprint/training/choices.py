"""Words and ranges that many settings take, told without torch."""

from typing import Any, Literal, get_args

from silverprint.training.checks import Range
from silverprint.training.schedule import Shape

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "f32", "bf16"]
ABOVE_0 = 1e-12  # the least of a range that leaves 0 out

CHOICES: dict[str, tuple[Any, ...]] = {
    "schedule": get_args(Shape),
    "precision": get_args(Precision),
    "device": get_args(Device),
}
RANGES: dict[str, Range] = {
    "epochs": (int, 1, 100_000, "1..100000"),
    "learning_rate": (float, ABOVE_0, 100, "0..100, 0 excluded"),
    "weight_decay": (float, 0, 10, "0..10"),
    "dropout": (float, 0, 0.99, "0..0.99"),
    "label_smoothing": (float, 0, 0.99, "0..0.99"),
    "warm_up": (float, 0, 1, "0..1"),
    "clip": (float, ABOVE_0, 1e6, "0..1000000, 0 excluded"),
    "accumulate": (int, 1, 65536, "1..65536"),
    "patience": (int, 1, 100_000, "1..100000"),
    "seed": (int, 0, 2**31 - 1, "0..2147483647"),
}
