"""Random numbers of a run's own: nothing leaks out, and a checkpoint can bring them back."""

import contextlib
from collections.abc import Iterator

import torch
from lightning_fabric import Fabric
from torch import Tensor

from silverprint.training.fabric import of_every_process


@contextlib.contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Seed torch's global generators, which dropout draws from; the caller's come back after."""
    before = torch.get_rng_state()
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    torch.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)
        if on_gpus:
            torch.cuda.set_rng_state_all(on_gpus)


def order_of_epoch(count: int, seed: int, epoch: int) -> Tensor:
    """Return the rows of an epoch in random order; it depends on nothing but seed and epoch."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))


def random_states(fabric: Fabric) -> dict[str, Tensor]:
    """Return the global generators' states of every process, one a row; all processes call it."""
    states = {"cpu": torch.get_rng_state()}
    if fabric.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(fabric.device)
    return {name: of_every_process(state, fabric) for name, state in states.items()}


def restore_random_states(states: dict[str, Tensor], fabric: Fabric) -> None:
    """Go on where the generators of this process stood."""
    # A copy: torch reads a state from the beginning of the memory that the tensor is a view of.
    torch.set_rng_state(states["cpu"][fabric.global_rank].clone())
    if fabric.device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"][fabric.global_rank].clone(), fabric.device)
