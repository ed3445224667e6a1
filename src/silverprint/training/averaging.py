"""The moving average of a network's weights, which is often better than the last ones."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """An exponential moving average of all parameters and buffers.

    The decay rises with the number of updates k as (1 + k) / (10 + k) up to its limit, so that a
    short run does not carry its random beginning along.

    Attributes:
        decay: its limit, within 0..1; 0.999 looks back over about a thousand updates.
        updates: how many there were.
    """

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.updates = 0
        self._live = list(_floating(network))
        self._average = [tensor.detach().clone() for tensor in self._live]

    @torch.no_grad()
    def update(self, steps: int = 1) -> None:
        """Take the weights as they are now into the average; `steps` were made since the last."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) ** steps
        torch._foreach_lerp_(self._average, self._live, 1 - decay)

    @contextlib.contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Give the network the average while the block runs, then its own weights back."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for live, average in zip(self._live, self._average, strict=True):
            kept = live.clone()
            live.copy_(average)
            average.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to hold."""
        return {"updates": self.updates, "average": list(self._average)}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.updates = state["updates"]
        for average, saved in zip(self._average, state["average"], strict=True):
            average.copy_(saved)


def _floating(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    for buffer in network.buffers():
        if buffer.is_floating_point():
            yield buffer
