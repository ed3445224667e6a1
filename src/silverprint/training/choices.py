"""Words and ranges that many settings take, told without torch."""

from typing import Literal

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "f32", "bf16"]
ABOVE_0 = 1e-12  # the least of a range that leaves 0 out
