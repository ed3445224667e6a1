"""A character model: an LSTM that reads a text and says what comes next.

Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735, in layers, with dropout
between them whose mask stays the same for all steps (https://arxiv.org/abs/1512.05287): drawing it
anew at every step takes longer on a processor than the LSTM itself, and regularises less well.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCK = (
    32  # oneDNN's bf16 kernels want inputs of whole blocks; without, they take half as long again
)

Memory = tuple[Tensor, Tensor]  # hidden and cell, each (layers, rows, width)


class CharLSTM(nn.Module):
    """Characters in, logits of the next ones out.

    Attributes:
        width: units of each layer.
    """

    def __init__(
        self, characters: int, *, width: int = 512, layers: int = 2, dropout: float = 0.0,
        embedding: int = 0,
    ) -> None:  # fmt: skip
        """Build it, with weights drawn from torch's global generator.

        Args:
            characters: how many different ones there are.
            width: units of each layer.
            layers: how many.
            dropout: share of each layer's outputs that is silenced while it learns.
            embedding: numbers that stand for a character; 0 for one-hot.
        """
        super().__init__()
        self.width, self.dropout = width, dropout
        self._one_hot = -(-characters // BLOCK) * BLOCK
        self.embedding = nn.Embedding(characters, embedding) if embedding else None
        sizes = [embedding or self._one_hot, *[width] * (layers - 1)]
        self.layers = nn.ModuleList(nn.LSTM(size, width) for size in sizes)
        self.last = nn.Linear(width, characters)
        self._initialise()

    def nothing(self, rows: int) -> Memory:
        """Return what it remembers before it has read anything."""
        shape = (len(self.layers), rows, self.width)
        device = self.last.weight.device
        return torch.zeros(shape, device=device), torch.zeros(shape, device=device)

    def forward(self, places: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Read on.

        Args:
            places: (steps, rows) int64: each character's place among all.
            memory: what the rows remember.

        Returns:
            Logits (steps, rows, characters), and what the rows remember now.
        """
        values, hidden, cell = self._values(places), [], []
        for layer, before in zip(self.layers, zip(*memory, strict=True), strict=True):
            values, (h, c) = layer(values, tuple(part[None] for part in before))
            values = self._silenced(values)
            hidden.append(h)
            cell.append(c)
        return self.last(values), (torch.cat(hidden), torch.cat(cell))

    def _values(self, places: Tensor) -> Tensor:
        if self.embedding is not None:
            return cast(Tensor, self.embedding(places))
        return F.one_hot(places, self._one_hot).to(self.last.weight.dtype)

    def _silenced(self, values: Tensor) -> Tensor:
        if not self.training or not self.dropout:
            return values
        mask = torch.rand(values.shape[1:], device=values.device) >= self.dropout
        return values * (mask.to(values.dtype) / (1 - self.dropout))

    def _initialise(self) -> None:
        """Orthogonal recurrent weights, forget gates that begin open, no other bias."""
        for name, parameter in self.named_parameters():
            if "weight_hh" in name:
                nn.init.orthogonal_(parameter)
            elif "bias" in name:
                nn.init.zeros_(parameter)
        with torch.no_grad():
            for layer in self.layers:
                cast(Tensor, layer.bias_ih_l0)[self.width : 2 * self.width] = 1.0


class Step(nn.Module):
    """The network for one character of each row at a time, as it is exported."""

    def __init__(self, network: CharLSTM) -> None:
        super().__init__()
        self.network = network

    def forward(self, places: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, ...]:
        """Take places (rows,) and the memory; return logits (rows, characters) and the memory."""
        logits, memory = self.network(places[None], (hidden, cell))
        return logits[0], *memory
