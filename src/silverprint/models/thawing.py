"""Which stages of a network learn, and the parts that this divides it into."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from silverprint.errors import BackboneError
from silverprint.models.frozen_norms import hold_statistics, sharing_copy, with_norms_in_weights
from silverprint.models.stages import Front, cut, find_stages, parameters_by_stage

Unfreeze = int | Literal["all"]


class Flat(nn.Module):
    """A part of a network whose output is made (n, d)."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, inputs: Tensor) -> Tensor:
        """Return features (n, d)."""
        features: Tensor = self.part(inputs).flatten(1)
        return features


@dataclass(frozen=True)
class Thawed:
    """A network divided by what learns. All parts share its parameters.

    Attributes:
        front: pixels -> activations at the cut, none of which learns; None where all learns, or
            where the network cannot be cut.
        back: activations at the cut, or else pixels -> features (n, d).
        stages: the parameters that learn, by stage, first to last.
        total: how many stages the network has.
        notices: what the user should know.
    """

    front: nn.Module | None
    back: nn.Module
    stages: Sequence[Sequence[nn.Parameter]]
    total: int
    notices: tuple[str, ...] = ()


def thaw(network: nn.Module, unfreeze: Unfreeze, size: int) -> Thawed:
    """Let the last stages of a network learn, and nothing else of it.

    Args:
        network: pixels (n, 3, S, S) -> features, in evaluation mode, with its layers in `trunk`.
        unfreeze: how many of the last stages; "all" for everything.
        size: side S in pixels.
    """
    assert isinstance(network.trunk, nn.Module)
    network.requires_grad_(False)
    example = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    example[1] *= 0.2  # or noise would pass for any other noise
    stages = find_stages(network.trunk, example)
    learning = len(stages) if unfreeze == "all" else min(unfreeze, len(stages))
    by_stage = parameters_by_stage(network.trunk, stages)[len(stages) - learning :]
    groups = [[parameter for _, parameter in stage] for stage in by_stage]
    twin = sharing_copy(network)
    twin.trunk = with_norms_in_weights(network.trunk, example)
    if isinstance(twin.classifier, nn.Module):
        del twin.classifier  # the old one is no part of what learns
    parts = None
    notices: tuple[str, ...] = ()
    first = len(stages) - learning
    if first > 0:
        assert isinstance(twin.trunk, nn.Module)
        parts = cut(twin.trunk, stages, first, example)
        if parts is None:
            notices = (
                "the network cannot be cut in front of its last "
                f"{learning} stages, so its frozen part runs again in every epoch.",
            )
    for group in groups:
        for parameter in group:
            parameter.requires_grad_(True)
    if parts is None:
        return Thawed(None, twin, groups, len(stages), notices)
    front = Front(twin, f"trunk.{stages[first - 1].layers[-1]}").eval()
    return Thawed(front, Flat(parts[1]), groups, len(stages))


def let_learn(part: nn.Module) -> None:
    """Put what learns into training mode; what does not, and every running statistic, stays out."""

    def put(module: nn.Module, learns: bool) -> None:
        own = list(module.parameters())
        learns = any(parameter.requires_grad for parameter in own) if own else learns
        module.training = learns
        for child in module.children():
            put(child, learns)

    put(part, learns=True)
    hold_statistics(part)


def digest_of_frozen(network: nn.Module) -> str:
    """Return a digest of every parameter that does not learn, and of every buffer."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict(keep_vars=True).items():
        if not tensor.requires_grad:
            digest.update(name.encode())
            plain = tensor.detach().cpu().contiguous().flatten()
            digest.update(plain.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def check_frozen(network: nn.Module, before: str) -> None:
    """Make sure that what was not to learn is what it was.

    Raises:
        BackboneError: a frozen weight or statistic has changed.
    """
    if digest_of_frozen(network) != before:
        raise BackboneError(
            f"{type(network).__name__}: frozen weights or statistics changed while the others "
            "learned, so the result is not what was asked for; please report this with the "
            "command, and use unfreeze=all meanwhile."
        )
