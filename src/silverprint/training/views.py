"""What the frozen front of a network gives for a few views of each picture, on disk.

While the first stages of a network do not learn, each view of a picture passes through them once;
all epochs read what came out. The views lie in one file in the run's folder, mapped into memory, so
they may be larger than it. A stopped run goes on where the file ends.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from silverprint.training.progress import Advance
from silverprint.training.room import take_room

CHUNK = 32  # pictures that go through the front at once
NOTED = 8  # chunks between two notes of how far it is


# Rows of pictures, and the source of the chance that augments them (None: as they are) ->
# activations (n, ...).
Look = Callable[[Tensor, torch.Generator | None], Tensor]


@dataclass(frozen=True)
class Views:
    """Activations (views, n, ...), in the precision in which they were computed."""

    values: Tensor

    @property
    def count(self) -> int:
        """How many views of each picture there are."""
        return len(self.values)

    def of(self, rows: Tensor, epoch: int) -> Tensor:
        """Return (n, ...) a view of each row, another in each epoch until all had their turn."""
        return self.values[(rows + epoch) % self.count, rows]


def look_at_views(
    look: Look, rows: int, views: int, seed: int, file: Path, *, key: str, advance: Advance
) -> Views:
    """Return the activations of every view, from the file as far as it goes.

    Args:
        look: the front of the network, in evaluation mode.
        rows: number of pictures.
        views: of each picture, 0 for one without augmentation.
        seed: of the views; one view of CHUNK pictures has a generator of its own, so that what a
            view shows depends on nothing else.
        file: where to keep them; its name with ".json" notes how far it is.
        key: of everything that decides what the views are; a file with another is begun anew.
        advance: called with the number of pictures that are done since the last call.

    Raises:
        ConfigError: the disk has no room for them.
    """
    with torch.no_grad():
        first = look(torch.arange(1), None)
    shape = (max(views, 1), rows, *first.shape[1:])
    described = {"key": key, "shape": list(shape), "kind": str(first.dtype)}
    mapped, done = _open(file, described)
    values = torch.from_numpy(mapped).view(first.dtype)
    starts = [(view, start) for view in range(shape[0]) for start in range(0, rows, CHUNK)]
    for number, (view, start) in enumerate(starts):
        chosen = torch.arange(start, min(start + CHUNK, rows))
        if number >= done:
            chance = torch.Generator().manual_seed(_seed_of(seed, view, start)) if views else None
            with torch.no_grad():
                values[view, start : start + len(chosen)] = look(chosen, chance).cpu()
            if number % NOTED == NOTED - 1 or number == len(starts) - 1:
                mapped.flush()
                _note(file, described, number + 1)
        advance(len(chosen))
    return Views(values)


def _seed_of(seed: int, view: int, start: int) -> int:
    return int(np.random.SeedSequence((seed, view, start)).generate_state(1)[0])


def _open(file: Path, described: dict[str, Any]) -> tuple[np.memmap[Any, Any], int]:
    """Map the file, and say how many chunks in it are done."""
    told = _told(_note_of(file))
    done = told.pop("done", 0)
    shape = tuple(described["shape"])
    stored: Any = np.int16 if described["kind"] == "torch.bfloat16" else np.float32
    if told == described and file.exists():
        return np.memmap(file, dtype=stored, mode="r+", shape=shape), done
    for old in (_note_of(file), file):
        old.unlink(missing_ok=True)
    take_room(
        file, math.prod(shape) * np.dtype(stored).itemsize,
        f"{shape[0]} views of {shape[1]:,} pictures",
        "or choose fewer views, fewer stages to train, or another cache in SILVERPRINT_CACHE",
    )  # fmt: skip
    return np.memmap(file, dtype=stored, mode="r+", shape=shape), 0


def _note_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def _note(file: Path, described: dict[str, Any], done: int) -> None:
    unfinished = file.with_name(f"{file.name}.unfinished")
    unfinished.write_text(json.dumps({**described, "done": done}), "utf-8")
    unfinished.replace(_note_of(file))


def _told(note: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(note.read_text("utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found
