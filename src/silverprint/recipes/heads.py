"""Fit many classifier heads at once on features that a frozen network saw.

    silverprint train PHOTOS --hidden-size 10,100,1000 --dropout 0,0.2,0.5,0.8

All configurations see the same minibatch, so their first layers are one matrix product: rows of
features times the stacked weights of every head. A linear head without a learning rate is solved
exactly instead (L-BFGS), and is the reference that trained heads have to beat.

On 3,068 photos (d = 1,280) with two cores: seven heads take about 2 s, 48 heads with up
to 1,000 hidden units under 15 s; see benchmarks/RESULTS.md.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from silverprint.errors import ConfigError
from silverprint.models.head import Array, Head
from silverprint.models.stacked_heads import Candidate, HeadConfig, Problem, Stack
from silverprint.recipes.exact_head import solve
from silverprint.recipes.head_data import AnyHeadData, head_losses
from silverprint.recipes.head_data import HeadData as HeadData
from silverprint.recipes.head_data import Link as Link
from silverprint.training.optimisers import AdamW

STEPS = 6  # at least this many a pass, where there are rows for it


def default_configs() -> list[HeadConfig]:
    """The heads that `train` tries when it is not told which."""
    exact = [HeadConfig(weight_decay=decay) for decay in (1e-1, 3e-2, 1e-2)]
    hidden = [
        HeadConfig(hidden_size=128, learning_rate=1e-3, dropout=dropout, weight_decay=0.1)
        for dropout in (0.5, 0.8)
    ]
    return exact + hidden


@dataclass(frozen=True)
class FitSettings:
    """What all heads of one run share.

    Attributes:
        epochs: most passes over the features that a head may take.
        patience: passes without a lower validation loss after which a head stops.
        batch_size: most rows a step; less where that would be under STEPS steps a pass.
        class_weights: "balanced" weighs classes by the inverse of their size, "none" does not,
            "auto" balances where the largest class has over three times the smallest.
        folds: folds of the cross-validation where there is no validation set.
        seed: of weights, order and dropout.
    """

    epochs: int = 30
    patience: int = 4
    batch_size: int = 512
    class_weights: Literal["auto", "balanced", "none"] = "auto"
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}.")


@dataclass
class FittedHead:
    """One configuration's result.

    Attributes:
        config: what was tried.
        head: the fitted weights of the best epoch, for raw features.
        loss: validation loss (nats), the mean over folds where it was cross-validated.
        accuracy: validation accuracy, likewise.
        epochs: passes up to the best one; 0 for an exact head.
        curves: by epoch, "training loss", "validation loss", "validation accuracy"; first fold.
        held_out: (n, c) logits of rows while they were held out, for a cross-validated head.
    """

    config: HeadConfig
    head: Head
    loss: float
    accuracy: float
    epochs: int = 0
    curves: dict[str, list[float]] = field(default_factory=dict)
    held_out: Array | None = None

    def row(self) -> dict[str, Any]:
        """The configuration and its result as one flat row of plain types."""
        return {**asdict(self.config), "epochs": self.epochs, "loss": self.loss,
                "accuracy": self.accuracy}  # fmt: skip


Advance = Callable[[int, int], None]  # heads still training, epoch
Judged = tuple[Tensor, HeadData, Tensor]  # logits (m, K, C) of some rows, the rows, weights (m, K)


def fit_heads(
    configs: Sequence[HeadConfig], train: AnyHeadData, validation: AnyHeadData,
    settings: FitSettings, advance: Advance = lambda *_: None,
) -> list[FittedHead]:  # fmt: skip
    """Fit every configuration on train, each stopped and judged on validation.

    Streamed data give what data in memory give, but for the order of minibatches.

    Returns:
        One result a configuration, in the order given.
    """
    problems = [Problem(c, train.class_weight, validation.class_weight) for c in configs]
    return [_raw(fitted, train) for fitted in _fit(problems, train, validation, settings, advance)]


def cross_validate_heads(
    configs: Sequence[HeadConfig], data: HeadData, fold_of: NDArray[np.int64],
    settings: FitSettings, advance: Advance = lambda *_: None,
) -> list[FittedHead]:  # fmt: skip
    """Judge every configuration on folds it did not see; the best is fitted again on all rows.

    Args:
        configs: what to try.
        data: all rows.
        fold_of: (n,) the fold of each row.
        settings: shared by all.
        advance: called after each epoch.

    Returns:
        One result a configuration. The best one's head is fitted on all rows; the others carry the
        head of their first fold.
    """
    inside = [torch.from_numpy(fold_of == fold).float() for fold in np.unique(fold_of)]
    weight = data.class_weight
    problems = [Problem(c, weight * (1 - fold), weight * fold) for c in configs for fold in inside]
    fitted = iter(_fit(problems, data, data, settings, advance))
    results = []
    for config in configs:
        parts = [next(fitted) for _ in inside]
        logits = np.zeros((len(fold_of), data.outputs), dtype=np.float32)
        for fold, part in zip(inside, parts, strict=True):
            rows = fold.bool()
            logits[rows.numpy()] = part.head.logits(data.features[rows].numpy())
        judged = torch.from_numpy(logits)[:, None], data, weight[:, None]
        loss, accuracy = _judge([judged])
        epochs = 0 if config.exact else max(1, round(sum(p.epochs for p in parts) / len(parts)))
        results.append(
            FittedHead(
                config, parts[0].head, loss.item(), accuracy.item(), epochs, parts[0].curves, logits
            )
        )
    best = results[best_of(results)]
    settings = replace(settings, epochs=max(1, best.epochs))
    best.head = _fit([Problem(best.config, weight, None)], data, None, settings)[0].head
    return [_raw(result, data) for result in results]


def best_of(results: Sequence[FittedHead]) -> int:
    """Return the index of the lowest validation loss; ties go to the smaller head."""
    return min(
        range(len(results)),
        key=lambda i: (
            not np.isfinite(results[i].loss),
            round(results[i].loss, 6),
            results[i].config.hidden_size,
            i,
        ),
    )


def _fit(
    problems: Sequence[Problem], train: AnyHeadData, validation: AnyHeadData | None,
    settings: FitSettings, advance: Advance = lambda *_: None,
) -> list[FittedHead]:  # fmt: skip
    results: dict[int, FittedHead] = {}
    start: dict[int, Tensor] = {}
    # From strong to weak penalties: each solution starts at the last one for the same rows.
    exact = [i for i, problem in enumerate(problems) if problem.config.exact]
    for i in sorted(exact, key=lambda i: -problems[i].config.weight_decay):
        rows = hash(problems[i].teaching.numpy().tobytes())
        config, teaching = problems[i].config, problems[i].teaching
        start[rows] = solve(config, train, teaching, start.get(rows))
        results[i] = _exact(problems[i], start[rows], validation)
    trained = [i for i, problem in enumerate(problems) if not problem.config.exact]
    if trained:
        fitted = train_together(
            [problems[i] for i in trained], train, validation, settings, advance
        )
        results.update(zip(trained, fitted, strict=True))
    return [results[i] for i in range(len(problems))]


def _exact(problem: Problem, solution: Tensor, validation: AnyHeadData | None) -> FittedHead:
    head = Head(solution[:-1].T.numpy().copy(), solution[-1].numpy().copy())
    fitted = FittedHead(problem.config, head, float("nan"), float("nan"))
    if validation is not None and problem.judging is not None:
        loss, accuracy = _judge(_judged_by(head, validation, problem.judging))
        fitted.loss, fitted.accuracy = loss.item(), accuracy.item()
    return fitted


def _judged_by(head: Head, data: AnyHeadData, judging: Tensor) -> Iterator[Judged]:
    for rows, block in data.blocks():
        logits = torch.from_numpy(head.logits(block.features.numpy()))
        yield logits[:, None], block, judging[rows, None]


# --- all trained heads as one problem -----------------------------------------------------------


def train_together(
    problems: Sequence[Problem], train: AnyHeadData, validation: AnyHeadData | None,
    settings: FitSettings, advance: Advance = lambda *_: None,
) -> list[FittedHead]:  # fmt: skip
    """Train heads on the same minibatches; each stops by itself and then costs nothing more."""
    inputs, rows = train.inputs, len(train)
    candidates = [Candidate(problem, inputs, train.outputs, settings.seed) for problem in problems]
    stack = Stack(candidates)
    optimiser = _optimiser(candidates)
    order = torch.Generator().manual_seed(settings.seed)
    steps = max(-(-rows // settings.batch_size), min(STEPS, rows // 16), 1)
    for epoch in range(1, settings.epochs + 1):
        sums = torch.zeros(len(stack.candidates))
        noise = _noise(stack.groups, settings.seed, epoch)
        teaching = _side_by_side([c.problem.teaching for c in stack.candidates])
        for chosen, batch in train.minibatches(steps, order):
            columns = stack.first_layer(batch.features).requires_grad_(True)
            losses = head_losses(stack.logits(columns, noise), batch, stack.smoothing)
            weight = teaching[chosen].contiguous()  # so that sums keep their order
            each = (losses * weight).sum(dim=0) / weight.sum(dim=0).clamp(min=1e-12)
            each.sum().backward()
            assert columns.grad is not None
            stack.first_layer_gradient(columns.grad, batch.features)
            for candidate in stack.candidates:
                candidate.penalise()
            optimiser.step()
            for candidate in stack.candidates:
                candidate.forget_gradients()
            sums += each.detach() * len(chosen)
        _examine(stack, validation, sums / rows, epoch)
        active = [
            candidate
            for candidate in stack.candidates
            if validation is None or epoch - candidate.best_epoch < settings.patience
        ]
        advance(len(active), epoch)
        if not active:
            break
        if len(active) < len(stack.candidates):
            stack = Stack(active)
            _keep_only(optimiser, active)
    return [_fitted(candidate) for candidate in candidates]


def _optimiser(candidates: Sequence[Candidate]) -> torch.optim.Optimizer:
    """One AdamW; heads with the same learning rate and decay are one of its groups."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for candidate in candidates:
        rate = candidate.config.learning_rate
        assert rate is not None
        decay = candidate.config.weight_decay
        groups.setdefault((rate, decay), []).extend(candidate.decayed())
        groups.setdefault((rate, 0.0), []).extend(candidate.undecayed())
    return AdamW(
        [
            {"params": parameters, "lr": rate, "weight_decay": decay}
            for (rate, decay), parameters in groups.items()
        ],
        fused=True,
    )


def _keep_only(optimiser: torch.optim.Optimizer, candidates: Sequence[Candidate]) -> None:
    kept = {id(parameter) for candidate in candidates for parameter in candidate.parameters()}
    for group in optimiser.param_groups:
        group["params"] = [parameter for parameter in group["params"] if id(parameter) in kept]


def _noise(
    groups: Sequence[Sequence[Candidate]], seed: int, epoch: int
) -> dict[int, torch.Generator]:
    """Return the dropout noise of each hidden size, the same whatever else is trained."""
    sizes = (group[0].config.hidden_size for group in groups)
    return {
        size: torch.Generator().manual_seed((seed * 1009 + epoch) * 65537 + size) for size in sizes
    }


def _side_by_side(weights: Sequence[Tensor]) -> Tensor:
    """Return weights (n,) of each head as (n, K), without a copy where all have the same ones."""
    first = weights[0]
    if all(weight is first for weight in weights):
        return first[:, None].expand(-1, len(weights))
    return torch.stack(list(weights), dim=1)


def _examine(
    stack: Stack, validation: AnyHeadData | None, training_loss: Tensor, epoch: int
) -> None:
    """Note each head's losses, and keep its weights where its validation loss is the lowest yet."""
    candidates = stack.candidates
    if validation is None:
        for candidate in candidates:
            candidate.best_head, candidate.best_epoch = candidate.head(), epoch
        return
    with torch.no_grad():
        judging = _side_by_side(
            [c.problem.judging for c in candidates if c.problem.judging is not None]
        )
        losses, accuracies = _judge(
            (
                stack.logits(stack.first_layer(block.features), None),
                block,
                judging[rows].contiguous(),
            )
            for rows, block in validation.blocks()
        )
    for i, candidate in enumerate(candidates):
        loss, accuracy = losses[i].item(), accuracies[i].item()
        values = (training_loss[i].item(), loss, accuracy)
        for curve, value in zip(candidate.curves.values(), values, strict=True):
            curve.append(value)
        if loss < candidate.best_loss:  # a loss that is not finite never is
            candidate.best_loss, candidate.best_accuracy = loss, accuracy
            candidate.best_epoch, candidate.best_head = epoch, candidate.head()


def _fitted(candidate: Candidate) -> FittedHead:
    head = candidate.best_head or candidate.head()
    return FittedHead(
        candidate.config, head, candidate.best_loss, candidate.best_accuracy, candidate.best_epoch,
        candidate.curves,
    )  # fmt: skip


# --- judging -------------------------------------------------------------------------------------


def _judge(parts: Iterable[Judged]) -> tuple[Tensor, Tensor]:
    """Return (K,) losses, means over rows by weight, and (K,) accuracies of rows judged."""
    sums = torch.zeros(4, 1, dtype=torch.float64)
    for logits, data, weight in parts:
        losses = head_losses(logits, data, [0.0] * logits.shape[1])
        if data.link == "softmax":
            right = logits.argmax(dim=-1) == data.targets[:, None]
        else:
            right = ((logits > 0) == (data.targets[:, None] > 0.5)).all(dim=-1)
        judged = (weight > 0).float()
        each = losses * weight, weight, right * judged, judged
        sums = sums + torch.stack([one.sum(dim=0) for one in each])
    loss, whole, right, judged = sums.float()
    return loss / whole, right / judged


def _raw(fitted: FittedHead, data: AnyHeadData) -> FittedHead:
    fitted.head = fitted.head.taking_raw(data.mean, data.scale)
    return fitted
