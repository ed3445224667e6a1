"""The learning rate as a factor of the step."""

import math
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from silverprint.training.run_state import RunState

Shape = Literal["cosine", "linear", "constant"]


def set_learning_rate(
    state: "RunState", highest: float, epochs: int, *, warm_up: float = 0.0, shape: Shape = "cosine"
) -> float:
    """Set the learning rate of a run's next step, and return it.

    Args:
        state: where the run stands; a group of its optimiser may have a "highest" of its own.
        highest: the rate at the end of the rise.
        epochs: of the whole run.
        warm_up: share of all steps in which the rate rises.
        shape: of its fall.
    """
    steps = state.steps * epochs
    done = state.steps * state.epoch + state.step
    factor = learning_rate_factor(done, steps, warm_up=round(warm_up * steps), shape=shape)
    for group in state.optimiser.param_groups:
        group["lr"] = factor * group.get("highest", highest)
    return factor * highest


def learning_rate_factor(
    step: int, steps: int, *, warm_up: int = 0, shape: Shape = "cosine", last: float = 0.0
) -> float:
    """Return what the learning rate is multiplied by at a step.

    It rises in a straight line over the first `warm_up` steps, from 1 / warm_up to 1; then it falls
    from 1 towards `last`, which the step after the final one would reach: along half a cosine
    (SGDR, https://arxiv.org/abs/1608.03983, without restarts), in a straight line, or not at all.

    Args:
        step: from 0.
        steps: how many there are in all.
        warm_up: steps of the rise; 0 begins at 1.
        shape: of the fall.
        last: the factor at its end.
    """
    if step < warm_up:
        return (step + 1) / warm_up
    if shape == "constant":
        return 1.0
    done = min((step - warm_up) / max(steps - warm_up, 1), 1.0)
    left = (1 + math.cos(math.pi * done)) / 2 if shape == "cosine" else 1 - done
    return last + (1 - last) * left
