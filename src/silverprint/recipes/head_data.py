"""What heads learn from: features and targets, in memory or streamed from the cache.

Both kinds give blocks, which together are all rows, and minibatches in a random order that a seed
decides. In memory there is one block, and a minibatch is any rows; from the disk they come as
`backbones/stream.py` mixes them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from silverprint.backbones.stream import FeatureStream
from silverprint.models.head import Array

if TYPE_CHECKING:
    from silverprint.recipes.heads import FitSettings

Link = Literal["softmax", "sigmoid"]
SAMPLE_BYTES = 128 * 2**20  # of features in the sample of a stream


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
        settings: "FitSettings", reference: "AnyHeadData | None" = None,
    ) -> "HeadData":  # fmt: skip
        """Standardise raw features by their own statistics, or by those of a reference."""
        mean = features.mean(axis=0) if reference is None else reference.mean
        scale = float((features - mean).std()) or 1.0 if reference is None else reference.scale
        target = _targets(targets, link)
        weight = _class_weights(target, link, outputs, settings.class_weights)
        standard = torch.from_numpy((features - mean) / np.float32(scale))
        return cls(standard, target, weight, mean, scale, link, outputs)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def inputs(self) -> int:
        """Number of features d."""
        return self.features.shape[1]

    def rows(self, chosen: Tensor) -> "HeadData":
        """The same data with only these rows."""
        return replace(
            self,
            features=self.features[chosen],
            targets=self.targets[chosen],
            class_weight=self.class_weight[chosen],
        )

    def blocks(self) -> "Iterator[tuple[slice | Tensor, HeadData]]":
        """Yield which rows they are, and the rows: all at once."""
        yield slice(None), self

    def minibatches(
        self, steps: int, order: torch.Generator
    ) -> "Iterator[tuple[Tensor, HeadData]]":
        """Yield which rows they are, and the rows, each once, in so many steps."""
        for chosen in torch.randperm(len(self), generator=order).tensor_split(steps):
            yield chosen, self.rows(chosen)


@dataclass(frozen=True)
class StreamedHeadData:
    """Features that stay on disk, and what of HeadData is small: about 25 bytes a row.

    Attributes:
        stream: the raw features (n, d).
        targets, class_weight, mean, scale, link, outputs: as of HeadData.
        sample: some rows, drawn evenly, in memory; none where a reference was given.
    """

    stream: FeatureStream
    targets: Tensor
    class_weight: Tensor
    mean: Array
    scale: float
    link: Link
    outputs: int
    sample: HeadData | None = None

    @classmethod
    def of(
        cls, stream: FeatureStream, targets: NDArray[Any], outputs: int, link: Link,
        settings: "FitSettings", reference: "AnyHeadData | None" = None,
    ) -> "StreamedHeadData":  # fmt: skip
        """Find the features' statistics in one pass, or take those of a reference."""
        target = _targets(targets, link)
        weight = _class_weights(target, link, outputs, settings.class_weights)
        if reference is not None:
            return cls(stream, target, weight, reference.mean, reference.scale, link, outputs)
        mean, scale, rows, features = _statistics(stream, settings.seed)
        whole = cls(stream, target, weight, mean, scale, link, outputs)
        return replace(whole, sample=whole._standardised(rows, features))

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def inputs(self) -> int:
        """Number of features d."""
        return self.stream.shape[1]

    def blocks(self) -> Iterator[tuple[slice | Tensor, HeadData]]:
        """Yield which rows they are, and the rows, in the order of the disk."""
        for rows, features in self.stream.parts():
            yield torch.from_numpy(rows), self._standardised(rows, features)

    def raw_blocks(self) -> Iterator[tuple[slice | Tensor, HeadData]]:
        """Yield the same, with features that are not standardised."""
        for rows, features in self.stream.parts():
            yield torch.from_numpy(rows), self._data(rows, features)

    def minibatches(self, steps: int, order: torch.Generator) -> Iterator[tuple[Tensor, HeadData]]:
        """Yield which rows they are, and the rows, each once, in about so many steps."""
        size = -(-len(self) // steps)
        seed = int(torch.randint(2**62, (), generator=order))
        for rows, features in self.stream.mixed_parts(seed):
            part = self._standardised(rows, features)
            mixed = torch.randperm(len(rows), generator=order)
            for chosen in mixed.tensor_split(-(-len(rows) // size)):
                yield torch.from_numpy(rows)[chosen], part.rows(chosen)

    def _standardised(self, rows: NDArray[np.int64], features: Array) -> HeadData:
        """Return these rows of the stream; `features` (k, d) are changed in place."""
        features -= self.mean
        features /= np.float32(self.scale)
        return self._data(rows, features)

    def _data(self, rows: NDArray[np.int64], features: Array) -> HeadData:
        return HeadData(
            torch.from_numpy(features), self.targets[rows], self.class_weight[rows],
            self.mean, self.scale, self.link, self.outputs,
        )  # fmt: skip


AnyHeadData = HeadData | StreamedHeadData


def _statistics(stream: FeatureStream, seed: int) -> tuple[Array, float, NDArray[np.int64], Array]:
    """Return mean (d,), overall standard deviation, and a sample: rows (k,), features (k, d)."""
    count, dimension = stream.shape
    wanted = min(count, max(1, SAMPLE_BYTES // (4 * dimension)))
    drawn = np.zeros(count, dtype=bool)
    drawn[np.random.default_rng(seed).choice(count, wanted, replace=False, shuffle=False)] = True
    sample, rows, filled = np.empty((wanted, dimension), np.float32), np.empty(wanted, np.int64), 0
    total = squares = shift = np.zeros(dimension)
    for numbers, features in stream.parts():
        if not filled and not total.any():
            shift = features.mean(axis=0, dtype=np.float64)  # so that squares keep their digits
        chosen = drawn[numbers]
        part = slice(filled, filled := filled + int(chosen.sum()))
        rows[part], sample[part] = numbers[chosen], features[chosen]
        centred = features - shift.astype(np.float32)
        total = total + centred.sum(axis=0, dtype=np.float64)
        squares = squares + np.einsum("nd,nd->d", centred, centred, dtype=np.float64)
    offset = total / count
    variance = float((squares / count - offset**2).mean())
    mean: Array = (shift.astype(np.float32) + offset).astype(np.float32)
    return mean, max(variance, 0.0) ** 0.5 or 1.0, rows, sample


def _targets(targets: NDArray[Any], link: Link) -> Tensor:
    target = torch.as_tensor(targets).to(torch.int64 if link == "softmax" else torch.float32)
    return target[:, None] if link == "sigmoid" and target.ndim == 1 else target


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


def head_losses(logits: Tensor, data: HeadData, smoothing: Sequence[float]) -> Tensor:
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
