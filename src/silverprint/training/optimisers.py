"""torch's optimisers, without the import of its compiler.

The first optimiser of a process imports `torch._dynamo`, close to a second of Python, only to mark
three methods as not to be compiled. Nothing is compiled here, so the methods are taken without the
mark.
"""

from collections.abc import Callable
from typing import Any

import torch


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
