"""What a network that is fine-tuned is given: pixels, or what its frozen stages made of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor

from silverprint.backbones.prepare import PreparedBackbone
from silverprint.data.augmentation import DRAWN, POLICIES, Policy, draw, find_policy, mix, vary
from silverprint.models.thawing import Thawed
from silverprint.recipes.finetune_settings import FinetuneSettings
from silverprint.training.fabric import share_of
from silverprint.training.pixels import PixelData
from silverprint.training.progress import Progress
from silverprint.training.views import look_at_views

SAMPLE = 1000  # most training pictures on which the curves' training loss is measured


@dataclass(frozen=True)
class Judge:
    """Pictures that measure an epoch.

    Attributes:
        batch: positions among them -> what the student takes.
        targets: of all of them.
    """

    batch: Callable[[Tensor], Tensor]
    targets: Tensor


@dataclass(frozen=True)
class Inputs:
    """Where batches come from.

    Attributes:
        training: rows, epoch (from 0), chance -> this process's share of a varied batch, and of its
            targets.
        judges: "training", a fixed sample of the training pictures as they are, and "validation".
    """

    training: Callable[[Tensor, int, torch.Generator], tuple[Tensor, Tensor]]
    judges: dict[str, Judge]


class PixelSource:
    """Pixels as the network takes them, varied or as they are."""

    def __init__(self, data: PixelData, size: int, policy: Policy, fabric: Fabric) -> None:
        self.size, self.policy, self.fabric = size, policy, fabric
        self.pixels = data.pixels
        self.targets = torch.from_numpy(data.targets).to(fabric.device)

    def plain(self, rows: Tensor) -> Tensor:
        """Return (n, 3, S, S) as they are."""
        pixels = self._read(rows)
        if pixels.shape[-1] == self.size:
            return pixels.contiguous(memory_format=torch.channels_last)
        return self._varied(pixels, POLICIES["none"], torch.zeros(len(rows), len(DRAWN)))

    def varied(self, rows: Tensor, chance: torch.Generator) -> Tensor:
        """Return (n, 3, S, S), each changed by the policy, but not mixed."""
        return self._varied(self._read(rows), self.policy, draw(len(rows), chance))

    def batch(self, rows: Tensor, chance: torch.Generator, outputs: int) -> tuple[Tensor, Tensor]:
        """Return this process's share of a varied and mixed batch, and of its targets."""
        targets = self.targets[rows.to(self.targets.device)]
        drawn = draw(len(rows), chance)
        if not self.policy.mixes:
            own = self._read(share_of(rows, self.fabric))
            varied = self._varied(own, self.policy, share_of(drawn, self.fabric))
            return varied, share_of(targets, self.fabric)
        if not targets.is_floating_point():
            targets = F.one_hot(targets, outputs).float()
        varied = self._varied(self._read(rows), self.policy, drawn)
        mixed, targets = mix(varied, targets, self.policy, chance)
        return share_of(mixed, self.fabric), share_of(targets, self.fabric)

    def _read(self, rows: Tensor) -> Tensor:
        chosen = np.ascontiguousarray(self.pixels[rows.numpy()])
        return torch.from_numpy(chosen).to(self.fabric.device)

    def _varied(self, pixels: Tensor, policy: Policy, drawn: Tensor) -> Tensor:
        varied = vary(pixels, policy, drawn, self.size)
        return varied.contiguous(memory_format=torch.channels_last)


def prepare_inputs(
    thawed: Thawed, prepared: PreparedBackbone, train: PixelData, validation: PixelData,
    outputs: int, settings: FinetuneSettings, fabric: Fabric, folder: Path, progress: Progress,
) -> Inputs:  # fmt: skip
    """Pixels, varied anew for each batch; or views that the frozen stages have seen once."""
    policy = find_policy(settings.augment)
    pictures = PixelSource(train, prepared.size, policy, fabric)
    held = PixelSource(validation, prepared.size, policy, fabric)
    sample = _sample(len(train), min(len(validation), SAMPLE), settings.seed)
    if thawed.front is None:
        judges = {
            "training": Judge(lambda rows: pictures.plain(sample[rows]), pictures.targets[sample]),
            "validation": Judge(held.plain, held.targets),
        }
        return Inputs(lambda rows, _, chance: pictures.batch(rows, chance, outputs), judges)
    front = thawed.front.to(fabric.device)

    def look(pixels: Tensor) -> Tensor:
        with fabric.autocast():
            activations: Tensor = front(pixels)
        return activations

    looks: dict[str, tuple[Any, int, int]] = {
        "training": (lambda rows, _: look(pictures.plain(sample[rows])), len(sample), 0),
        "validation": (lambda rows, _: look(held.plain(rows)), len(validation), 0),
        "views": (
            lambda rows, chance: look(pictures.varied(rows, chance)), len(train), settings.views
        ),
    }  # fmt: skip
    key = f"{prepared.key} {settings}"
    many = sum(count * max(views, 1) for _, count, views in looks.values())
    title = f"looking at {settings.views} views"
    # The first process looks; the others then find everything in the files.
    with progress.stage("views", many, title) as advance, fabric.rank_zero_first():
        seen = {
            name: look_at_views(
                way, count, views, settings.seed, folder / f"{name}.activations",
                key=key, advance=advance,
            )
            for name, (way, count, views) in looks.items()
        }  # fmt: skip

    def stored(rows: Tensor, epoch: int, _: torch.Generator) -> tuple[Tensor, Tensor]:
        own = share_of(rows, fabric)
        return seen["views"].of(own, epoch).to(fabric.device), pictures.targets[own]

    judges = {
        "training": Judge(lambda rows: seen["training"].of(rows, 0), pictures.targets[sample]),
        "validation": Judge(lambda rows: seen["validation"].of(rows, 0), held.targets),
    }
    return Inputs(stored, judges)


def _sample(rows: int, count: int, seed: int) -> Tensor:
    chosen = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))[:count]
    return chosen.sort().values
