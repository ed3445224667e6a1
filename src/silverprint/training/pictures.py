"""Pictures on the device, whole datasets or batches, with their targets."""

from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor

from silverprint.training.fabric import share_of
from silverprint.training.pixels import PixelData


@dataclass(frozen=True)
class Pictures:
    """Pictures on the device, all or a batch of them.

    Attributes:
        pixels: (n, C, S, S) uint8, or float32 on the scale 0..255.
        targets: as for the loss.
    """

    pixels: Tensor
    targets: Tensor

    @classmethod
    def on(cls, device: torch.device, data: PixelData) -> "Pictures":
        """Copy all of them to the device."""
        return cls(torch.as_tensor(data.pixels, device=device),
                   torch.as_tensor(data.targets, device=device))  # fmt: skip

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, rows: Tensor) -> "Pictures":
        """Return these rows."""
        rows = rows.to(self.pixels.device)
        return Pictures(self.pixels.index_select(0, rows), self.targets.index_select(0, rows))

    def share(self, fabric: Fabric) -> "Pictures":
        """Return this process's part."""
        if fabric.world_size == 1:
            return self
        return Pictures(share_of(self.pixels, fabric), share_of(self.targets, fabric))

    def split(self, parts: int) -> list["Pictures"]:
        """Return equal parts, none of them empty."""
        parts = min(parts, len(self))
        if parts <= 1:
            return [self]
        pairs = zip(self.pixels.tensor_split(parts), self.targets.tensor_split(parts), strict=True)
        return [Pictures(pixels, targets) for pixels, targets in pairs]
