"""Losses of whole networks, for hard and soft targets, one number a picture."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Link = Literal["softmax", "sigmoid"]
ClassWeights = Literal["auto", "balanced", "none"]
UNEVEN = 3  # "auto" balances where the largest class has over this many times the smallest


def row_losses(
    logits: Tensor, targets: Tensor, link: Link, *, smoothing: float = 0.0,
    class_weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return the loss of each picture, (n,) float32 in nats.

    Args:
        logits: (n, c), of any precision; the loss is computed in float32.
        targets: (n,) int64 or (n, c) probabilities for softmax; (n, c) in 0..1 for sigmoid.
        link: "softmax" for classes that exclude each other, "sigmoid" for yes or no, c times.
        smoothing: share of the target spread evenly, over the c classes or over yes and no.
        class_weight: what a picture of each class counts, (c,), or (2,) for no and yes where there
            is one logit; a soft target counts by its shares. None: all count the same.

    Sigmoid losses are means over the c answers.
    """
    logits = logits.float()
    if link == "sigmoid":
        smooth = targets.float() * (1 - smoothing) + smoothing / 2
        losses = F.binary_cross_entropy_with_logits(logits, smooth, reduction="none").mean(dim=1)
    else:
        losses = F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
    if class_weight is None:
        return losses
    return losses * _weight_of(targets, class_weight)


def _weight_of(targets: Tensor, class_weight: Tensor) -> Tensor:
    if not targets.is_floating_point():
        return class_weight[targets]
    if targets.shape[1] == 1:
        targets = torch.cat([1 - targets, targets], dim=1)
    return targets @ class_weight


def correct(logits: Tensor, targets: Tensor, link: Link) -> Tensor:
    """Return (n,) bool: whether the likeliest class, or every one of the answers, is right.

    A soft target stands for its likeliest class.
    """
    if link == "sigmoid":
        return ((logits > 0) == (targets > 0.5)).all(dim=1)
    wanted = targets.argmax(dim=1) if targets.is_floating_point() else targets
    return logits.argmax(dim=1) == wanted


def weigh_classes(
    targets: Tensor, link: Link, outputs: int, wish: ClassWeights = "auto"
) -> Tensor | None:
    """Return what a picture of each class counts, or None where all count the same.

    Args:
        targets: of the training pictures: (n,) int64, or (n, c) of 0 and 1.
        link: as for `row_losses`.
        outputs: number of logits c.
        wish: "balanced" weighs classes by the inverse of their number of pictures, "none" does not,
            "auto" balances where the largest class has over UNEVEN times the smallest.

    Returns:
        (c,), or (2,) for one logit; the mean over the training pictures is 1. None also where a
        picture has several labels: then no weight of a picture balances them.
    """
    if wish == "none" or (link == "sigmoid" and outputs > 1):
        return None
    counts = torch.bincount(targets.reshape(-1).long(), minlength=max(outputs, 2)).float()
    present = counts > 0
    if wish == "auto" and counts.max() <= UNEVEN * counts[present].min():
        return None
    weights = counts.sum() / (present.sum() * counts.clamp(min=1))
    return torch.where(present, weights, torch.ones(()))
