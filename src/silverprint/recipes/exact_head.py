"""The exact linear head: the minimum of a convex loss, by L-BFGS; what trained heads must beat."""

import torch
import torch.nn.functional as F
from torch import Tensor

from silverprint.models.head import Array
from silverprint.models.stacked_heads import HeadConfig
from silverprint.recipes.head_data import AnyHeadData, HeadData, StreamedHeadData, head_losses
from silverprint.training.optimisers import LBFGS

WIDEST = 8192  # features, of which a matrix of all pairs is made


def solve(config: HeadConfig, data: AnyHeadData, teaching: Tensor, start: Tensor | None) -> Tensor:
    """Minimise weighted cross-entropy + weight_decay / 2 * |W|^2 over a linear head.

    Args:
        config: the head.
        data: the rows.
        teaching: (n,) their weights.
        start: the solution under another penalty, to begin with; None for zeros.

    Returns:
        Weights (d + 1, c) for the standardised features, the last row being the bias.
    """
    weight = torch.zeros(data.inputs + 1, data.outputs) if start is None else start
    scales = None
    if isinstance(data, StreamedHeadData) and data.sample is not None and data.inputs <= WIDEST:
        # A step over all rows is a pass over the disk: from the solution on a sample, and in
        # coordinates in which the sample is equally wide in all directions, few are needed.
        sample = data.sample
        scales = _widths(sample, config.weight_decay)
        weight = _minimise(weight, scales, config, sample, sample.class_weight)
    return _minimise(weight, scales, config, data, teaching)


def _minimise(
    start: Tensor, scales: Tensor | None, config: HeadConfig, data: AnyHeadData, teaching: Tensor
) -> Tensor:
    """Return the weights (d + 1, c) with the least loss, sought from `start`.

    Args:
        start: (d + 1, c).
        scales: (d + 1, d + 1) from the coordinates that are searched to weights; None for those.
        config: the head.
        data: the rows.
        teaching: (n,) their weights.
    """
    searched = start.clone() if scales is None else torch.linalg.solve(scales, start)
    searched.requires_grad_(True)
    optimiser = LBFGS(
        [searched], max_iter=200, tolerance_grad=1e-5, tolerance_change=1e-5, history_size=10,
        line_search_fn="strong_wolfe",
    )  # fmt: skip
    row_weight = teaching / teaching.sum()
    # A padding column is the bias; in memory it is made once, while of a stream nothing is copied.
    padded = F.pad(data.features, (0, 1), value=1.0) if isinstance(data, HeadData) else None
    blocks = data.blocks if isinstance(data, HeadData) else data.raw_blocks

    def objective() -> Tensor:
        weight = searched * 1 if scales is None else scales @ searched
        used = weight if isinstance(data, HeadData) else _for_raw(weight, data.mean, data.scale)
        fixed = used.detach().requires_grad_(True)
        # Sums of many blocks would lose what the line search looks for, were they float32.
        gradient, total = torch.zeros_like(fixed, dtype=torch.float64), torch.zeros(()).double()
        for rows, block in blocks():
            if padded is not None:
                logits = padded @ fixed
            else:
                logits = torch.addmm(fixed[-1], block.features, fixed[:-1])
            losses = head_losses(logits[:, None], block, [config.label_smoothing])
            loss = (losses[:, 0] * row_weight[rows]).sum()
            gradient += torch.autograd.grad(loss, fixed)[0]
            total += loss.detach()
        penalty = weight[:-1].square().sum() * (config.weight_decay / 2)
        (found,) = torch.autograd.grad(
            [used, penalty], searched, [gradient.float(), torch.ones(())]
        )
        searched.grad = found.contiguous()
        return total.float() + penalty.detach()

    optimiser.step(objective)
    return searched.detach() if scales is None else scales @ searched.detach()


def _for_raw(weight: Tensor, mean: Array, scale: float) -> Tensor:
    """Return weights (d + 1, c) for raw features from those for standardised ones."""
    raw = weight[:-1] / scale
    return torch.cat([raw, weight[-1:] - torch.from_numpy(mean)[None] @ raw])


def _widths(data: HeadData, weight_decay: float) -> Tensor:
    """Return (d + 1, d + 1) symmetric, the inverse root of about what the loss's Hessian is."""
    features = F.pad(data.features, (0, 1), value=1.0)
    spread = (features.T @ features).double() / len(data) / data.outputs
    values, vectors = torch.linalg.eigh(spread + torch.eye(len(spread)) * max(weight_decay, 1e-4))
    scales: Tensor = (vectors * values.rsqrt()) @ vectors.T
    return scales.float()
