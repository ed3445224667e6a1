"""Many classifier heads as one network: their first layers are one matrix product."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from types import NoneType
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from silverprint.errors import ConfigError, closest
from silverprint.models.head import Head
from silverprint.models.network import Initialisation, draw_weight

# From this many stacked columns on, bf16 products are worth their rounding.
REDUCED_COLUMNS = 4096


@dataclass(frozen=True)
class HeadConfig:
    """One head to try.

    Attributes:
        hidden_size: units of the hidden layer; 0 is a linear head.
        learning_rate: of AdamW; None solves a linear head exactly.
        dropout: share of hidden units silenced at each step.
        weight_decay: decoupled (AdamW); for an exact head the L2 penalty weight_decay / 2 * |W|^2.
        label_smoothing: share of the target spread over all classes.
        batch_norm: whether the hidden layer is batch-normalised before its ReLU.
        l1: added to the loss: this times the sum of all absolute weights; not of an exact head.
        initialisation: how weights begin: "zeros", "ones", "uniform", "normal", "xavier" or "he"
            (see models/network.py). "he" draws what follows the ReLUs from N(0, 1/n), and a linear
            head, which has no symmetry to break, begins at zeros. No matter to an exact head.
    """

    hidden_size: int = 0
    learning_rate: float | None = None
    dropout: float = 0.0
    weight_decay: float = 1e-2
    label_smoothing: float = 0.0
    batch_norm: bool = False
    l1: float = 0.0
    initialisation: Initialisation = "he"

    def __post_init__(self) -> None:
        self._check_types()
        rules: list[tuple[str, float, bool, str]] = [
            ("hidden_size", self.hidden_size, 0 <= self.hidden_size <= 65536, "0..65536"),
            ("dropout", self.dropout, 0 <= self.dropout < 1, "0..1, 1 excluded"),
            ("weight_decay", self.weight_decay, 0 <= self.weight_decay <= 10, "0..10"),
            ("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "0..1"),
            ("l1", self.l1, 0 <= self.l1 <= 10, "0..10"),
        ]
        if self.learning_rate is not None:
            rate = self.learning_rate
            rules.append(("learning_rate", rate, 0 < rate <= 10, "above 0, at most 10"))
        for name, value, holds, bounds in rules:
            if not holds:
                raise ConfigError(f"{name} must lie within {bounds}; got {value}.")
        if self.learning_rate is None and self.hidden_size:
            raise ConfigError("a head with a hidden layer needs a learning_rate, such as 0.001.")
        if self.learning_rate is None and self.l1:
            raise ConfigError(
                f"an exact head takes no l1, got {self.l1}; give a learning_rate, such as 0.001, "
                "or use weight_decay, its L2 penalty."
            )

    def _check_types(self) -> None:
        """Refuse a word where a number belongs; JSON files and command lines hold anything."""
        kinds: dict[str, tuple[tuple[type, ...], str]] = {
            field.name: ((int, float), "a number") for field in fields(self)
        }
        kinds["hidden_size"] = ((int,), "a whole number")
        kinds["learning_rate"] = ((int, float, NoneType), "a number, or nothing")
        ways: tuple[str, ...] = get_args(Initialisation)
        for name, (kind, words) in kinds.items():
            value = getattr(self, name)
            if name == "batch_norm":
                if not isinstance(value, bool):
                    raise ConfigError(f"{name} must be true or false; got {value!r}.")
            elif name == "initialisation":
                if value not in ways:
                    near = closest(str(value), ways)
                    raise ConfigError(
                        f"{name} must be one of {', '.join(ways)}; got {value!r}.{near}"
                    )
            elif isinstance(value, bool) or not isinstance(value, kind):
                raise ConfigError(f"{name} must be {words}; got {value!r}.")

    @property
    def exact(self) -> bool:
        """Whether the head is solved by L-BFGS."""
        return self.learning_rate is None

    def seed(self, base: int) -> int:
        """A seed of its own, so that no head depends on what is trained beside it."""
        told = asdict(self)
        # What came later counts only where it is used, so that earlier heads stay as they were.
        for name, default in (("l1", 0.0), ("initialisation", "he")):
            if told[name] == default:
                del told[name]
        text = repr((base, sorted(told.items())))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


@dataclass(frozen=True)
class Problem:
    """One head to fit, and which rows teach and judge it.

    Attributes:
        config: what to fit.
        teaching: (n,) weights of the training rows; 0 leaves a row out.
        judging: (m,) weights of the validation rows, or None: then nothing stops the training.
    """

    config: HeadConfig
    teaching: Tensor
    judging: Tensor | None


class Candidate(nn.Module):
    """One head's weights, beside what early stopping needs to know of it."""

    def __init__(self, problem: Problem, inputs: int, outputs: int, seed: int) -> None:
        super().__init__()
        config = problem.config
        generator = torch.Generator().manual_seed(config.seed(seed))
        width = config.hidden_size or outputs
        self.config = config
        self.problem = problem
        gain = 2.0 if config.hidden_size else 0.0  # a linear head starts at nothing known
        self.first = nn.Parameter(self._drawn(width, inputs, gain, generator))
        normed = config.batch_norm and config.hidden_size > 0
        # Batch norm takes this bias off again: its gradient would be rounding errors, which AdamW
        # scales to full steps.
        self.first_bias = nn.Parameter(torch.zeros(width), requires_grad=not normed)
        if config.hidden_size:
            self.second = nn.Parameter(self._drawn(outputs, width, 1.0, generator))
            self.second_bias = nn.Parameter(torch.zeros(outputs))
        if normed:
            self.norm = nn.BatchNorm1d(width)
        self.best_loss = float("inf")
        self.best_accuracy = 0.0
        self.best_epoch = 0
        self.best_head: Head | None = None
        self.curves: dict[str, list[float]] = {
            name: [] for name in ("training loss", "validation loss", "validation accuracy")
        }

    def _drawn(self, units: int, inputs: int, gain: float, chance: torch.Generator) -> Tensor:
        """Return fresh weights (units, inputs); "he" draws from N(0, gain / inputs)."""
        if self.config.initialisation == "he":
            return torch.randn(units, inputs, generator=chance) * math.sqrt(gain / inputs)
        weight = torch.empty(units, inputs)
        draw_weight(weight, self.config.initialisation, chance)
        return weight

    def penalise(self) -> None:
        """Add the gradient of the L1 penalty to that of the loss."""
        if self.config.l1:
            for weight in self.decayed():
                assert weight.grad is not None
                weight.grad.add_(weight.detach().sign(), alpha=self.config.l1)

    def decayed(self) -> list[nn.Parameter]:
        """The weight matrices; biases and batch-norm scales are not decayed."""
        return [self.first, self.second] if self.config.hidden_size else [self.first]

    def undecayed(self) -> list[nn.Parameter]:
        """All other parameters."""
        matrices = {id(parameter) for parameter in self.decayed()}
        return [parameter for parameter in self.parameters() if id(parameter) not in matrices]

    def forget_gradients(self) -> None:
        """Drop gradients, but for that of `first`, which the stack overwrites."""
        for parameter in self.parameters():
            if parameter is not self.first:
                parameter.grad = None

    def head(self) -> Head:
        """The weights as they are now, batch norm folded in."""
        first, bias = self.first.detach(), self.first_bias.detach()
        if not self.config.hidden_size:
            return Head(first.numpy().copy(), bias.numpy().copy())
        if self.config.batch_norm:
            assert self.norm.running_var is not None
            assert self.norm.running_mean is not None
            gain = self.norm.weight.detach() / (self.norm.running_var + self.norm.eps).sqrt()
            first = first * gain[:, None]
            bias = (bias - self.norm.running_mean) * gain + self.norm.bias.detach()
        second, second_bias = self.second.detach(), self.second_bias.detach()
        return Head(*(t.numpy().copy() for t in (second, second_bias, first, bias)))


class Stack:
    """The heads that still train, their first layers side by side in one matrix.

    Each head's `first` is a window onto its rows of `weights`, so that one product serves all and
    the optimiser still knows whose learning rate is whose.
    """

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.candidates = sorted(candidates, key=lambda c: c.config.hidden_size)
        self.groups = [
            list(members) for _, members in groupby(self.candidates, lambda c: c.config.hidden_size)
        ]
        self.smoothing = [candidate.config.label_smoothing for candidate in self.candidates]
        kind = torch.float32
        rows = [candidate.first.shape[0] for candidate in self.candidates]
        if sum(rows) >= REDUCED_COLUMNS and _fast_bf16():
            kind = torch.bfloat16
        # All buffers are made once: fresh ones of this size cost more than the product itself.
        self.weights = torch.cat([candidate.first.detach() for candidate in self.candidates])
        self.gradient = torch.zeros_like(self.weights)
        self.factor = self.weights if kind == torch.float32 else self.weights.to(kind)
        self.product = self.gradient if kind == torch.float32 else self.gradient.to(kind)
        windows = zip(self.weights.split(rows), self.gradient.split(rows), strict=True)
        for candidate, (weights, gradient) in zip(self.candidates, windows, strict=True):
            candidate.first.data = weights
            candidate.first.grad = gradient

    def first_layer(self, features: Tensor) -> Tensor:
        """Return the stacked product (B, columns) for the rows (B, d), without biases."""
        if self.factor is not self.weights:
            self.factor.copy_(self.weights)
        return features.to(self.factor.dtype) @ self.factor.T

    def logits(self, columns: Tensor, noise: dict[int, torch.Generator] | None) -> Tensor:
        """Return (B, K, C) from the first layer's product; noise is None in evaluation."""
        biases = torch.cat([candidate.first_bias for candidate in self.candidates])
        columns = columns + biases.to(columns.dtype)
        widths = [sum(candidate.first.shape[0] for candidate in group) for group in self.groups]
        logits = []
        for group, block in zip(self.groups, columns.split(widths, dim=1), strict=True):
            size = group[0].config.hidden_size
            planes = block.unflatten(1, (len(group), -1))
            if size:
                planes = _hidden_to_logits(group, planes, noise[size] if noise else None)
            logits.append(planes.float())
        return torch.cat(logits, dim=1)

    def first_layer_gradient(self, gradient: Tensor, features: Tensor) -> None:
        """Fill every head's gradient of its first layer, from that of the product (B, columns)."""
        kind = self.product.dtype
        torch.mm(gradient.to(kind).T, features.to(kind), out=self.product)
        if self.product is not self.gradient:
            self.gradient.copy_(self.product)


def _hidden_to_logits(
    group: Sequence[Candidate], block: Tensor, noise: torch.Generator | None
) -> Tensor:
    """Second half of heads of one size: (B, k, h) before batch norm and ReLU -> (B, k, C)."""
    if any(candidate.config.batch_norm for candidate in group):
        planes = [
            F.batch_norm(
                block[:, i], candidate.norm.running_mean, candidate.norm.running_var,
                candidate.norm.weight, candidate.norm.bias, noise is not None,
            ) if candidate.config.batch_norm else block[:, i]
            for i, candidate in enumerate(group)
        ]  # fmt: skip
        block = torch.stack(planes, dim=1)
    hidden = block.relu()
    rates = torch.tensor([candidate.config.dropout for candidate in group])
    if noise is not None and rates.any():
        # One draw for all heads of this size: they differ by their rates, not by their luck.
        draw = torch.rand(hidden.shape[0], 1, hidden.shape[2], generator=noise)
        hidden = hidden * (draw >= rates[None, :, None])
    second = torch.stack([candidate.second for candidate in group])
    if noise is not None:
        second = second / (1 - rates[:, None, None])
    bias = torch.stack([candidate.second_bias for candidate in group])
    return torch.einsum("bkh,kch->bkc", hidden, second.to(hidden.dtype)).float() + bias


def _fast_bf16() -> bool:
    """Whether the processor multiplies bf16 faster than f32."""
    supported: Callable[[], bool] = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return supported()
