"""A character model against the usual course network; prints a Markdown section.

    python benchmarks/text.py anna.txt --rounds 5
    python benchmarks/text.py anna.txt --model DIR     also judge what `write train` made of it

The course network is two layers of 512 units: one-hot input, torch's LSTM in float32, dropout 0.5,
Adam at 1e-3, gradients clipped at 5, batches of 128 sequences of 100 characters. Its loop is the
plain one. All ways run in one process with the same threads, a few steps each, in turns.
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from common import guarded, interleaved, spread, table
from silverprint.data.text import Text, read_text
from silverprint.models.char_lstm import CharLSTM, Memory
from silverprint.recipes.char_lm import (
    Lesson,
    Reader,
    TextSettings,
    _network,
    _state,
    evaluate,
    learn_for_an_epoch,
)
from silverprint.runtime.text import Taste, read_text_model
from silverprint.training.fabric import start_fabric
from silverprint.training.memory import kept_memory
from silverprint.training.ticker import Ticker

WIDTH, LAYERS, BATCH, LENGTH = 512, 2, 128, 100


class Course(nn.Module):
    """The network of the courses."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(characters, WIDTH, LAYERS, dropout=0.5, batch_first=True)
        self.dropout = nn.Dropout(0.5)
        self.last = nn.Linear(WIDTH, characters)

    def forward(self, one_hot: Tensor, memory: Memory | None) -> tuple[Tensor, Memory]:
        values, memory = self.lstm(one_hot, memory)
        return self.last(self.dropout(values).reshape(-1, WIDTH)), memory


def course(text: Text, steps: int, bf16: bool) -> Callable[[], float]:
    """Return a function that takes some steps and returns characters a second."""
    characters = len(text.characters)
    network = Course(characters)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    each = len(text.content) // BATCH
    strips = torch.from_numpy(text.places(text.content)[: each * BATCH].reshape(BATCH, each))
    cast = torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext()

    def run() -> float:
        memory, began = None, time.perf_counter()
        for step in range(steps):
            start = step * LENGTH
            one_hot = F.one_hot(strips[:, start : start + LENGTH], characters).float()
            expected = strips[:, start + 1 : start + LENGTH + 1]
            optimiser.zero_grad()
            with cast:
                logits, memory = network(one_hot, memory)
            memory = tuple(part.detach() for part in memory)
            F.cross_entropy(logits.float(), expected.reshape(-1)).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5)
            optimiser.step()
        return steps * BATCH * LENGTH / (time.perf_counter() - began)

    return run


def ours(text: Text, steps: int, settings: TextSettings, folder: Path) -> Callable[[], float]:
    """Return a function that learns for a short epoch and returns characters a second."""
    rows = settings.batch_size or BATCH
    needed = steps * rows * settings.length + 1
    settings = replace(settings, batch_size=rows)
    part = Text(text.name, text.content[: needed + 1000], needed)
    fabric = start_fabric(settings.device, settings.precision)
    lesson = Lesson.of(part, settings, fabric)
    reader = Reader(_network(part, settings), rows, settings.forget)
    state = _state(reader, settings, lesson, folder)

    def run() -> float:
        state.step = 0
        ticker = Ticker(silent, state, settings.epochs)
        with kept_memory():  # as `train_char_lm` does
            told = learn_for_an_epoch(reader, state, lesson, settings, ticker)
        return told["characters per second"]

    return run


def silent(count: int, note: str = "") -> None:
    """Say nothing."""


def speeds(text: Text, rounds: int, steps: int) -> str:
    same = TextSettings(width=WIDTH, layers=LAYERS, batch_size=BATCH, length=LENGTH, dropout=0.5)
    with tempfile.TemporaryDirectory() as folder:
        ways = {
            "course network, plain loop, f32": course(text, steps, bf16=False),
            "the same under bf16 autocast": course(text, steps, bf16=True),
            "`write train`, same shape, f32": ours(
                text, steps, replace(same, precision="f32"), Path(folder)
            ),
            "`write train`, same shape": ours(text, steps, same, Path(folder)),
            "`write train`, default settings": ours(text, steps, TextSettings(), Path(folder)),
        }
        for way in ways.values():
            way()
        found = interleaved(ways, rounds)
    first = next(iter(found.values()))
    rows = [
        [name, spread(values, 0), spread([a / b for a, b in zip(values, first, strict=True)], 2)]
        for name, values in found.items()
    ]
    same = [a / b for a, b in zip(found["`write train`, same shape"], first, strict=True)]
    told = table(["training, characters/s", "", "times the course loop"], rows)
    return f"{told}\n\n{guarded('write train / course loop', same)}"


def quality(text: Text, folder: Path) -> str:
    """Judge a model on all that was held out: side by side, and in one go from its beginning."""
    model = read_text_model(folder)
    began = time.perf_counter()
    side_by_side = model.nats(text.validation)
    seconds = time.perf_counter() - began
    told = model.manifest["settings"]
    network = CharLSTM(
        len(text.characters), width=told["width"], layers=told["layers"],
        embedding=told["embedding"] or 0,
    )  # fmt: skip
    network.load_state_dict(load_file(folder / "weights.safetensors"))
    places = torch.from_numpy(text.places(text.validation))[:, None]
    laid_out = (places[:-1], places[1:], torch.ones_like(places[1:], dtype=torch.bool))
    in_one_go = evaluate(network, laid_out, start_fabric("cpu", "f32"))
    began = time.perf_counter()
    passage = model.sample("Happy families are", 500, Taste(0.8), seed=1)
    writing = 500 / (time.perf_counter() - began)
    rows = [
        ["exported file, 64 readers with a run-up of 256", f"{side_by_side:.4f}",
         f"{np.exp(side_by_side):.3f}"],
        ["network, one reader from the beginning", f"{in_one_go:.4f}", f"{np.exp(in_one_go):.3f}"],
    ]  # fmt: skip
    count = len(text.validation) - 1
    return "\n\n".join([
        table([f"validation, {count:,} characters", "nats a character", "perplexity"], rows),
        f"Judging the file took {seconds:.1f} s; it writes {writing:,.0f} characters a second.",
        "```text\nHappy families are" + passage + "\n```",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    text = read_text(options.text)
    parts = [f"{torch.get_num_threads()} threads."]
    if options.rounds:
        parts.append(speeds(text, options.rounds, options.steps))
    if options.model:
        parts.append(quality(text, options.model))
    print("\n\n".join(parts))


if __name__ == "__main__":
    main()
