"""Where in a picture a network found what it answers: Grad-CAM, and occlusion.

Both are short, so they stand here and not in a library: on any torch network, without hooks that
stay, and with the score that this project's answers come from (one logit for two classes, several
labels at once, the temperature).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from silverprint.inspection.heat import Array

Score = Callable[[Tensor], Tensor]
TOGETHER = 32  # hidden pictures that run at once
POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Sequential)


@dataclass(frozen=True)
class Occlusion:
    """What hiding each place of a picture does to its classes.

    Attributes:
        falls: (classes, S, S) how much the log-odds of a class fall, the mean over all patches that
            hide a pixel; less than 0 where hiding it helps.
        before: (classes,) log-odds of the whole picture.
        least: (classes,) log-odds under the patch that makes them fall most.
        patch: side of the patch in pixels of the network's input.
    """

    falls: Array
    before: Array
    least: Array
    patch: int


def score_of(link: str) -> Score:
    """Return logits (n, outputs) -> (n, classes): what speaks for each class, before rivals."""
    if link == "binary":
        return lambda logits: torch.cat([-logits, logits], dim=1)
    return lambda logits: logits


def log_odds_of(link: str, temperature: float) -> Score:
    """Return logits (n, outputs) -> log-odds (n, classes) of each class's probability."""

    def log_odds(logits: Tensor) -> Tensor:
        logits = score_of(link)(logits / temperature)
        if link != "softmax":
            return logits
        logarithms = logits.double().log_softmax(
            dim=1
        )  # float32 has nothing between 1 - 6e-8 and 1
        return (logarithms - (-logarithms.expm1()).log()).float()

    return log_odds


def last_map(network: nn.Module, pixels: Tensor) -> str | None:
    """Return the layer that gives the last feature map before pooling; None if there is none.

    Args:
        network: in evaluation mode.
        pixels: (1, 3, S, S) one input.
    """
    found: list[str] = []
    handles = []
    for name, module in network.named_modules():

        def note(module: nn.Module, _: Any, result: Any, name: str = name) -> None:
            is_map = isinstance(result, Tensor) and result.ndim == 4 and min(result.shape[2:]) > 1
            if name and is_map and type(module) is not nn.Identity and not _pools(module):
                found.append(name)

        handles.append(module.register_forward_hook(note))
    try:
        with torch.no_grad():
            network(pixels)
    finally:
        for handle in handles:
            handle.remove()
    learned = [name for name in found if not name.startswith("colour")]
    return learned[-1] if learned else None


def _pools(module: nn.Module) -> bool:
    """Say whether a layer only makes its input smaller, or is no more than those within it."""
    own = type(module).forward is nn.Sequential.forward
    return own or (isinstance(module, POOLS))


def grad_cam(
    network: nn.Module, pixels: Tensor, layer: str, score: Score, classes: Sequence[int]
) -> Array:
    """Return (len(classes), h, w) at a layer's resolution: what there speaks for each class.

    Selvaraju et al., https://arxiv.org/abs/1610.02391: each channel of the layer is weighted by the
    mean of the score's gradient over the channel; what is left above 0 of their sum is the map.

    Args:
        network: in evaluation mode.
        pixels: (1, 3, S, S) one input.
        layer: whose output is a map (1, c, h, w).
        score: logits -> (1, all classes).
        classes: for which to ask.
    """
    held: list[Tensor] = []

    def hold(_: nn.Module, __: Any, result: Tensor) -> Tensor:
        held.append(result.detach().requires_grad_())
        return held[-1].clone()  # what follows may work in place

    handle = network.get_submodule(layer).register_forward_hook(hold)
    try:
        with torch.enable_grad():
            scores = score(network(pixels))[0, list(classes)]
            maps = [_weighted(held[-1], one, i < len(scores) - 1) for i, one in enumerate(scores)]
    finally:
        handle.remove()
    return torch.stack(maps).numpy()


def _weighted(activations: Tensor, score: Tensor, again: bool) -> Tensor:
    (gradient,) = torch.autograd.grad(score, activations, retain_graph=again)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return F.relu((weights * activations.detach()).sum(dim=1))[0]


@torch.no_grad()
def occlusion(
    network: nn.Module, pixels: Tensor, log_odds: Score, classes: Sequence[int],
    patch: int, stride: int, advance: Callable[[int], None] = lambda _: None,
) -> Occlusion:  # fmt: skip
    """Hide one square after the other, and see what each does to these classes.

    Zeiler and Fergus, https://arxiv.org/abs/1311.2901. The square has the training pictures' mean
    colour, which is 0 after normalisation. Log-odds are told, because a probability near 1 hardly
    falls while much of what spoke for it is already hidden.

    Args:
        network: in evaluation mode.
        pixels: (1, 3, S, S) one input, normalised.
        log_odds: logits -> (n, all classes).
        classes: for which to ask.
        patch: side of the square in pixels.
        stride: from one square to the next.
        advance: called with the number of hidden pictures since the last call.
    """
    size = pixels.shape[-1]
    steps = occlusion_steps(size, patch, stride)
    corners = [(top, left) for top in steps for left in steps]
    asked = list(classes)
    before = log_odds(network(pixels))[0, asked]
    falls = torch.zeros(len(before), size, size)
    times = torch.zeros(size, size)
    least = before.clone()
    for start in range(0, len(corners), TOGETHER):
        part = corners[start : start + TOGETHER]
        hidden = pixels.repeat(len(part), 1, 1, 1)
        for picture, (top, left) in zip(hidden, part, strict=True):
            picture[:, top : top + patch, left : left + patch] = 0
        found = log_odds(network(hidden))[:, asked]
        least = torch.minimum(least, found.min(dim=0).values)
        for values, (top, left) in zip(found, part, strict=True):
            window = slice(top, top + patch), slice(left, left + patch)
            falls[:, *window] += (before - values)[:, None, None]
            times[window] += 1
        advance(len(part))
    return Occlusion((falls / times).numpy(), before.numpy(), least.numpy(), patch)


def occlusion_steps(size: int, patch: int, stride: int) -> list[int]:
    """Return where squares begin along a side; the last ends at its end."""
    return sorted({*range(0, size - patch, stride), size - patch})


def probability(log_odds: float) -> float:
    """Return the probability of log-odds."""
    return float(1 / (1 + np.exp(-np.float64(log_odds))))
