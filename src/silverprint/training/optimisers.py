"""torch's optimisers without the import of its compiler; what decays, and how far a step may go.

The first optimiser of a process imports `torch._dynamo`, close to a second of Python, only to mark
three methods as not to be compiled. Nothing is compiled here, so the methods are taken without the
mark.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn


def decay_groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Return what learns in two groups: weights, which decay; biases and norms, which do not."""
    learning = [one for one in parameters if one.requires_grad]
    return [
        {"params": [one for one in learning if one.dim() > 1], "weight_decay": weight_decay},
        {"params": [one for one in learning if one.dim() <= 1], "weight_decay": 0.0},
    ]


def clip(parameters: Iterable[nn.Parameter], most: float | None) -> None:
    """Bound the norm of the whole gradient; None lets it be."""
    if most is not None:
        torch.nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], most)


def _unmarked(method: Callable[..., Any]) -> Callable[..., Any]:
    return getattr(method, "__wrapped__", method)


class AdamW(torch.optim.AdamW):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    add_param_group = _unmarked(torch.optim.Optimizer.add_param_group)
    zero_grad = _unmarked(torch.optim.Optimizer.zero_grad)

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step along the gradients."""
        with torch.no_grad():
            _unmarked(torch.optim.AdamW.step)(self, closure)


class LBFGS(torch.optim.LBFGS):
    """Limited-memory BFGS (Liu and Nocedal 1989)."""

    add_param_group = _unmarked(torch.optim.Optimizer.add_param_group)
    zero_grad = _unmarked(torch.optim.Optimizer.zero_grad)

    def step(self, closure: Callable[[], torch.Tensor]) -> torch.Tensor:  # type: ignore[override]
        """Minimise what the closure computes; return its first value."""
        loss: torch.Tensor = super().step(closure)  # type: ignore[no-untyped-call]
        return loss
