"""How likely a variational autoencoder holds pictures that it has not seen."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from silverprint.models.vae import Vae
from silverprint.training.progress import Advance

TOGETHER = 1000  # pictures made at a time
LEAST_VARIANCE = 0.01  # of a unit's mean over pictures, for it to count as active


@dataclass(frozen=True)
class Bounds:
    """Bounds on -log p of each of n pictures, in nats, tighter with more samples.

    Attributes:
        by_samples: samples -> (n,) float64.
        reconstruction: (n,) its mean over all samples.
        divergence: (n,) likewise, but its expectation where that is known, which is never below 0;
            both together are the negative evidence lower bound.
    """

    by_samples: dict[int, NDArray[np.float64]]
    reconstruction: NDArray[np.float64]
    divergence: NDArray[np.float64]


@torch.no_grad()
def importance_bounds(
    vae: Vae, pictures: Tensor, labels: Tensor | None, samples: tuple[int, ...], *, seed: int = 0,
    advance: Advance = lambda count, note="": None,  # noqa: ARG005
) -> Bounds:  # fmt: skip
    """Return -log of the mean over S codes z of q(z | x) of p(x | z) p(z) / q(z | x).

    By Jensen's inequality that lies above -log p(x) in the mean, and comes down to it as S grows
    (Burda et al., https://arxiv.org/abs/1509.00519). A picture passes the encoder once; memory does
    not depend on S. The network computes in float32, sums are float64.

    Args:
        vae: in evaluation mode, on the processor.
        pictures: (n, C, S, S) float32, already drawn 0 or 1 for a Bernoulli likelihood.
        labels: (n,) where it is told the class.
        samples: the S asked for; the smaller ones use the first codes of the largest.
        seed: of the codes.
        advance: called with the number of pictures made.
    """
    chance = torch.Generator().manual_seed(seed)
    marks, parts = sorted(set(samples)), []
    rows = max(1, TOGETHER // marks[-1])  # pictures at a time; one where there are many samples
    for start in range(0, len(pictures), rows):
        part = slice(start, start + rows)
        told = None if labels is None else labels[part]
        parts.append(_of_some(vae, pictures[part], told, marks, chance, advance))
    columns = [torch.cat(column).numpy() for column in zip(*parts, strict=True)]
    return Bounds(dict(zip(marks, columns[2:], strict=True)), columns[0], columns[1])


def _of_some(
    vae: Vae, pictures: Tensor, labels: Tensor | None, marks: list[int],
    chance: torch.Generator, advance: Advance,
) -> list[Tensor]:  # fmt: skip
    """Return mean reconstruction and divergence, and the bound at each mark; each (n,)."""
    sums = torch.zeros(2, len(pictures), dtype=torch.float64)
    weight = torch.full((len(pictures),), -torch.inf, dtype=torch.float64)
    found, done = [], 0
    for mark in marks:
        while done < mark:
            count = min(mark - done, max(1, TOGETHER // len(pictures)))
            noise = torch.randn(count, len(pictures), vae.shape.latent, generator=chance)
            terms = vae(pictures, noise, labels)
            both = torch.stack([terms.reconstruction, terms.divergence]).double()  # (2, count, n)
            sums[0] += both[0].sum(0)
            sums[1] += both[1].sum(0) if terms.units is None else count * terms.units.sum(1)
            weight = torch.logaddexp(weight, (-both.sum(0)).logsumexp(0))
            done += count
            advance(count * len(pictures))
        found.append(np.log(mark) - weight)
    return [*(sums / marks[-1]), *found]


@torch.no_grad()
def active_units(vae: Vae, pictures: Tensor, labels: Tensor | None) -> tuple[int, Tensor]:
    """Return how many units of the code tell pictures apart, and the means (n, k) they are told by.

    A unit is active where its mean varies over the pictures by more than 0.01 (Burda et al.). Under
    a flow prior a unit has no scale of its own, so the share of its whole variance is taken there.
    """
    parts = [
        vae.encode(pictures[start : start + TOGETHER],
                   None if labels is None else labels[start : start + TOGETHER])
        for start in range(0, len(pictures), TOGETHER)
    ]  # fmt: skip
    means = torch.cat([mean for mean, _ in parts])
    varies = means.var(dim=0, correction=0)
    if len(vae.coupling):
        varies = varies / (varies + torch.cat([v for _, v in parts]).exp().mean(0))
    return int((varies > LEAST_VARIANCE).sum()), means
