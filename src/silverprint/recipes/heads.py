"""Fit many classifier heads at once on features that a frozen network saw.

    silverprint train PHOTOS --hidden-size 10,100,1000 --dropout 0,0.2,0.5,0.8

All configurations see the same minibatch, so their first layers are one matrix product: rows of
features times the stacked weights of every head. A linear head without a learning rate is solved
exactly instead (L-BFGS), and is the reference that trained heads have to beat.

On 3,068 photos (d = 1,280) with two cores: the default seven heads take about 2 s, 48 heads with up
to 1,000 hidden units under 15 s; see benchmarks/RESULTS.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from silverprint.errors import ConfigError
from silverprint.models.head import Array, Head
from silverprint.models.stacked_heads import Candidate, HeadConfig, Problem, Stack
from silverprint.training.optimisers import LBFGS, AdamW

Link = Literal["softmax", "sigmoid"]
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


@dataclass(frozen=True)
class HeadData:
    """Features and targets as tensors, standardised by the training rows.

    Attributes:
        features: (n, d) float32, (raw - mean) / scale.
        targets: (n,) int64 for softmax; (n, c) float32 of 0 and 1 for sigmoid.
        class_weight: (n,) float32, the weight of each row's class.
        mean: (d,) of the raw training features.
        scale: their overall standard deviation.
        link: "softmax" or "sigmoid".
        outputs: number of logits c.
    """

    features: Tensor
    targets: Tensor
    class_weight: Tensor
    mean: Array
    scale: float
    link: Link
    outputs: int

    @classmethod
    def of(
        cls, features: Array, targets: NDArray[Any], outputs: int, link: Link,
        settings: FitSettings, reference: "HeadData | None" = None,
    ) -> "HeadData":  # fmt: skip
        """Standardise raw features by their own statistics, or by those of a reference."""
        mean = features.mean(axis=0) if reference is None else reference.mean
        scale = float((features - mean).std()) or 1.0 if reference is None else reference.scale
        kind = torch.int64 if link == "softmax" else torch.float32
        target = torch.as_tensor(targets).to(kind)
        if link == "sigmoid" and target.ndim == 1:
            target = target[:, None]
        weight = _class_weights(target, link, outputs, settings.class_weights)
        standard = torch.from_numpy((features - mean) / np.float32(scale))
        return cls(standard, target, weight, mean, scale, link, outputs)

    def rows(self, chosen: Tensor) -> "HeadData":
        """The same data with only these rows."""
        return replace(
            self,
            features=self.features[chosen],
            targets=self.targets[chosen],
            class_weight=self.class_weight[chosen],
        )


Advance = Callable[[int, int], None]  # heads still training, epoch


def fit_heads(
    configs: Sequence[HeadConfig], train: HeadData, validation: HeadData, settings: FitSettings,
    advance: Advance = lambda *_: None,
) -> list[FittedHead]:  # fmt: skip
    """Fit every configuration on train, each stopped and judged on validation.

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
        loss, accuracy = _judge(torch.from_numpy(logits)[:, None], data, weight[:, None])
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
    problems: Sequence[Problem], train: HeadData, validation: HeadData | None,
    settings: FitSettings, advance: Advance = lambda *_: None,
) -> list[FittedHead]:  # fmt: skip
    results: dict[int, FittedHead] = {}
    start: dict[int, Tensor] = {}
    # From strong to weak penalties: each solution starts at the last one for the same rows.
    exact = [i for i, problem in enumerate(problems) if problem.config.exact]
    for i in sorted(exact, key=lambda i: -problems[i].config.weight_decay):
        rows = hash(problems[i].teaching.numpy().tobytes())
        results[i], start[rows] = _fit_exact(problems[i], train, validation, start.get(rows))
    trained = [i for i, problem in enumerate(problems) if not problem.config.exact]
    if trained:
        fitted = train_together(
            [problems[i] for i in trained], train, validation, settings, advance
        )
        results.update(zip(trained, fitted, strict=True))
    return [results[i] for i in range(len(problems))]


# --- the exact linear head ----------------------------------------------------------------------


def _fit_exact(
    problem: Problem, data: HeadData, validation: HeadData | None, start: Tensor | None
) -> tuple[FittedHead, Tensor]:
    """Minimise weighted cross-entropy + weight_decay / 2 * |W|^2 over a linear head."""
    config = problem.config
    features = F.pad(data.features, (0, 1), value=1.0)  # the last column is the bias
    weight = torch.zeros(features.shape[1], data.outputs) if start is None else start.clone()
    weight.requires_grad_(True)
    optimiser = LBFGS(
        [weight], max_iter=200, tolerance_grad=1e-5, tolerance_change=1e-5, history_size=10,
        line_search_fn="strong_wolfe",
    )  # fmt: skip
    row_weight = problem.teaching / problem.teaching.sum()

    def objective() -> Tensor:
        optimiser.zero_grad()
        losses = _row_losses((features @ weight)[:, None], data, smoothing=[config.label_smoothing])
        loss = (losses[:, 0] * row_weight).sum()
        penalty = weight[:-1].square().sum() * (config.weight_decay / 2)
        (loss + penalty).backward()
        return loss + penalty

    optimiser.step(objective)
    solution = weight.detach()
    head = Head(solution[:-1].T.numpy().copy(), solution[-1].numpy().copy())
    fitted = FittedHead(config, head, float("nan"), float("nan"))
    if validation is not None and problem.judging is not None:
        logits = torch.from_numpy(head.logits(validation.features.numpy()))
        loss, accuracy = _judge(logits[:, None], validation, problem.judging[:, None])
        fitted.loss, fitted.accuracy = loss.item(), accuracy.item()
    return fitted, solution


# --- all trained heads as one problem -----------------------------------------------------------


def train_together(
    problems: Sequence[Problem], train: HeadData, validation: HeadData | None,
    settings: FitSettings, advance: Advance = lambda *_: None,
) -> list[FittedHead]:  # fmt: skip
    """Train heads on the same minibatches; each stops by itself and then costs nothing more."""
    inputs, rows = train.features.shape[1], len(train.features)
    candidates = [Candidate(problem, inputs, train.outputs, settings.seed) for problem in problems]
    stack = Stack(candidates)
    optimiser = _optimiser(candidates)
    order = torch.Generator().manual_seed(settings.seed)
    steps = max(-(-rows // settings.batch_size), min(STEPS, rows // 16), 1)
    for epoch in range(1, settings.epochs + 1):
        sums = torch.zeros(len(stack.candidates))
        noise = _noise(stack.groups, settings.seed, epoch)
        teaching = torch.stack([c.problem.teaching for c in stack.candidates], dim=1)
        for chosen in torch.randperm(rows, generator=order).tensor_split(steps):
            batch = train.rows(chosen)
            columns = stack.first_layer(batch.features).requires_grad_(True)
            losses = _row_losses(stack.logits(columns, noise), batch, stack.smoothing)
            weight = teaching[chosen]
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


def _examine(stack: Stack, validation: HeadData | None, training_loss: Tensor, epoch: int) -> None:
    """Note each head's losses, and keep its weights where its validation loss is the lowest yet."""
    candidates = stack.candidates
    if validation is None:
        for candidate in candidates:
            candidate.best_head, candidate.best_epoch = candidate.head(), epoch
        return
    with torch.no_grad():
        logits = stack.logits(stack.first_layer(validation.features), None)
        judging = [c.problem.judging for c in candidates if c.problem.judging is not None]
        losses, accuracies = _judge(logits, validation, torch.stack(judging, dim=1))
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


# --- losses --------------------------------------------------------------------------------------


def _row_losses(logits: Tensor, data: HeadData, smoothing: Sequence[float]) -> Tensor:
    """Return (B, K) losses in nats for logits (B, K, C); sigmoid losses are means over classes."""
    amount = torch.tensor(smoothing)
    if data.link == "softmax":
        log_p = F.log_softmax(logits, dim=-1)
        targets = data.targets[:, None, None].expand(-1, logits.shape[1], 1)
        likely = -log_p.gather(2, targets)[..., 0]
        return likely if not amount.any() else likely * (1 - amount) - log_p.mean(-1) * amount
    targets = data.targets[:, None, :] * (1 - amount[:, None]) + amount[:, None] / 2
    targets = targets.expand_as(logits)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(-1)


def _judge(logits: Tensor, data: HeadData, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return (K,) losses, means over rows by weight (m, K), and (K,) accuracies of rows judged."""
    losses = _row_losses(logits, data, [0.0] * logits.shape[1])
    if data.link == "softmax":
        right = logits.argmax(dim=-1) == data.targets[:, None]
    else:
        right = ((logits > 0) == (data.targets[:, None] > 0.5)).all(dim=-1)
    judged = (weight > 0).float()
    return (
        (losses * weight).sum(dim=0) / weight.sum(dim=0),
        (right * judged).sum(dim=0) / judged.sum(dim=0),
    )


def _class_weights(targets: Tensor, link: Link, outputs: int, wish: str) -> Tensor:
    """Return (n,) weights, the mean over rows being 1; multi-label rows all weigh the same."""
    if wish == "none" or (link == "sigmoid" and outputs > 1):
        return torch.ones(len(targets))
    labels = targets.reshape(-1).long()
    counts = torch.bincount(labels, minlength=2).float()
    present = counts[counts > 0]
    if wish == "auto" and present.max() <= 3 * present.min():
        return torch.ones(len(targets))
    weights = counts.sum() / (len(present) * counts.clamp(min=1))
    return weights[labels]


def _raw(fitted: FittedHead, data: HeadData) -> FittedHead:
    fitted.head = fitted.head.taking_raw(data.mean, data.scale)
    return fitted
