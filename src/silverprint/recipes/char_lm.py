"""Train a character model on a text.

    silverprint write train BOOK.txt --out DIR

The text that teaches is cut into `batch_size` strips, which are read side by side, `length`
characters a step. What the network remembers is carried from step to step through the whole strip;
gradients go back to the beginning of the step (truncated backpropagation through time). Now and
then a strip forgets everything: a network that seldom began with nothing in the middle of a text
may, when it has to, fall into a state from which it never recovers.

Cells that add up character after character grow beyond where tanh has a slope: then no gradient
passes, and what lies further back than a few words is never learned from. So the loss holds them
small (`cell_penalty`): docs/text.md says how much that is worth.

The end of the text only judges: after each epoch all of it is read, and so is as much of what was
learned from, with the same averaged weights and without dropout. All losses are nats a character.

The same call with the same folder takes a stopped run up where its last checkpoint left it, in the
middle of the strips; on a processor the result is the same to the last bit.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from silverprint.data.text import Text
from silverprint.errors import ConfigError, DataError
from silverprint.models.char_lstm import CharLSTM
from silverprint.recipes.char_lm_settings import TextSettings
from silverprint.runtime.text import run_up, side_by_side
from silverprint.training.averaging import WeightAverage
from silverprint.training.fabric import start_fabric
from silverprint.training.journal import Journal
from silverprint.training.memory import kept_memory
from silverprint.training.optimisers import AdamW, clip, decay_groups
from silverprint.training.progress import Advance
from silverprint.training.randomness import own_randomness
from silverprint.training.run_state import RunState
from silverprint.training.schedule import set_learning_rate
from silverprint.training.ticker import Ticker

LOSSES = ("training loss", "validation loss")
ONE_HOT = 256  # up to so many characters; more are embedded in so many numbers
JUDGED_TOGETHER = 256  # steps
STRIPS, STEPS = (8, 64), 256  # fewest and most strips; steps an epoch that are wished for


@dataclass(frozen=True)
class FittedText:
    """What came of a training.

    Attributes:
        network: of the best epoch, on the processor.
        curves: measures by epoch.
        best_epoch: from 1.
        epochs: how many there were.
        resumed: how many of them an earlier process had finished.
        seconds: of this process.
    """

    network: CharLSTM
    curves: dict[str, list[float]]
    best_epoch: int
    epochs: int
    resumed: int
    seconds: float


def train_char_lm(
    text: Text, settings: TextSettings, folder: Path, *,
    advance: Advance = lambda count, note="": None,  # noqa: ARG005
) -> FittedText:  # fmt: skip
    """Train, and return the network of the epoch with the least validation loss.

    Args:
        text: to learn from and to judge by.
        settings: how to train.
        folder: of this very run; holds the last and the best checkpoint and `metrics.jsonl`. What
            an earlier, stopped call with the same text and settings left there is taken up.
        advance: called with the number of characters read since the last call, and a line.

    Raises:
        DataError: the text is too short for the settings.
        ConfigError: the loss is no longer finite, or the folder belongs to another run.
    """
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    fabric = start_fabric(settings.device, settings.precision)
    if fabric.world_size > 1:
        raise ConfigError("a text is read by one process; start `write train` without torchrun.")
    with kept_memory(), own_randomness(settings.seed):
        lesson = Lesson.of(text, settings, fabric)
        reader = Reader(_network(text, settings), lesson.rows, settings.forget).to(fabric.device)
        state = _state(reader, settings, lesson, folder)
        state.take_up()
        resumed = state.epoch
        journal = Journal(folder, after=resumed)
        ticker = Ticker(advance, state, settings.epochs, LOSSES)
        ticker.tell(lesson.characters * resumed + lesson.batch(0)[0].numel() * state.step)

        while state.epoch < settings.epochs and not state.out_of_patience():
            told = learn_for_an_epoch(reader, state, lesson, settings, ticker)
            with state.averaged():
                measures = judge(reader.network, lesson)
                state.finish_epoch(measures, (measures["validation loss"],))
            journal.write(state.epoch, {**measures, **told})
            state.save()

        state.load_best()
        journal.close()
    return FittedText(
        network=reader.network.cpu().eval().requires_grad_(False),
        curves=state.curves,
        best_epoch=state.best_epoch,
        epochs=state.epoch,
        resumed=resumed,
        seconds=time.perf_counter() - began,
    )


def learn_for_an_epoch(
    reader: "Reader", state: RunState, lesson: "Lesson", settings: TextSettings, ticker: Ticker
) -> dict[str, float]:
    """Read all strips once, from the step on where an earlier run stopped.

    Returns:
        What the journal should know: the mean loss of the steps, with dropout; the last learning
        rate; seconds, and characters a second.
    """
    steps, skipped, read, rate = len(state.losses), state.step, 0, 0.0
    started = time.perf_counter()
    reader.train()
    if not skipped:
        reader.forget()
    for step in range(skipped, steps):
        rate = set_learning_rate(
            state, settings.learning_rate, settings.epochs, warm_up=settings.warm_up,
            shape=settings.schedule,
        )  # fmt: skip
        given, expected = lesson.batch(step)
        with lesson.fabric.autocast():
            logits, cell = reader(given)
        loss = F.cross_entropy(logits.flatten(0, 1).float(), expected.flatten())
        (loss + settings.cell_penalty * cell.float().square().mean()).backward()
        state.losses[step] = loss.detach()
        clip(reader.parameters(), settings.clip)
        state.optimiser.step()
        reader.zero_grad()
        state.finish_step()
        read += given.numel()
        ticker.tell(given.numel(), rate)
        state.save_now_and_then()
    ticker.tell(0, rate, now=True)
    seconds = time.perf_counter() - started
    return {
        "loss in the loop": state.losses.mean().item(),
        "learning rate": rate,
        "seconds": seconds,
        "characters per second": read / seconds,
    }


class Reader(nn.Module):
    """A network, and what it remembers of the strips; both belong into a checkpoint."""

    hidden: Tensor
    cell: Tensor

    def __init__(self, network: CharLSTM, rows: int, chance: float) -> None:
        super().__init__()
        self.network, self.chance = network, chance
        for name, part in zip(("hidden", "cell"), network.nothing(rows), strict=True):
            self.register_buffer(name, part)

    def forget(self) -> None:
        """Remember nothing: the strips begin again."""
        self.hidden.zero_()
        self.cell.zero_()

    def forward(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Read on: places (steps, rows) -> logits (steps, rows, characters), cells at the end."""
        hidden, cell = self.hidden, self.cell
        if self.training and self.chance:
            kept = torch.rand(places.shape[1], 1, device=hidden.device) >= self.chance
            hidden, cell = hidden * kept, cell * kept
        logits, (hidden, cell) = self.network(places, (hidden, cell))
        # New tensors, not copies into the old ones, which the backward pass still needs.
        self.hidden, self.cell = hidden.detach().float(), cell.detach().float()
        return logits, cell


@dataclass(frozen=True)
class Lesson:
    """What is learned, and how it is judged.

    Attributes:
        strips: (n + 1, rows) places of the text that teaches; the last row of one strip is the
            first of the next.
        length: characters of each strip a step.
        sample: as much of the beginning of what is learned from as is held out; laid out by
            `side_by_side`, as is what is held out.
        held: what is held out.
        fabric: where all this takes place.
    """

    strips: Tensor
    length: int
    sample: tuple[Tensor, ...]
    held: tuple[Tensor, ...]
    fabric: Fabric

    @classmethod
    def of(cls, text: Text, settings: TextSettings, fabric: Fabric) -> "Lesson":
        """Bring the text to the device.

        Raises:
            DataError: it is too short for the settings.
        """
        teaches, judges = text.places(text.training), text.places(text.validation)
        fewest, most = STRIPS
        fitting = min(max(len(teaches) // (settings.length * STEPS), fewest), most)
        rows = settings.batch_size or fitting
        least = rows * settings.length + 1
        if len(teaches) < least or len(judges) < 2:
            raise DataError(
                f"{text.name} is too short: {len(teaches):,} characters to learn from and "
                f"{len(judges):,} to judge by, but {rows} strips of {settings.length} characters "
                f"need {least:,} and 2; name a longer text, or give --batch-size 1 --set length=16 "
                "or the like."
            )
        each = (len(teaches) - 1) // rows
        starts = torch.arange(rows) * each
        strips = torch.from_numpy(teaches)[starts + torch.arange(each + 1)[:, None]]
        sample, held = (
            tuple(torch.from_numpy(part).to(fabric.device) for part in side_by_side(places))
            for places in (teaches[: len(judges)], judges)
        )
        return cls(strips.to(fabric.device), settings.length, sample, held, fabric)

    @property
    def rows(self) -> int:
        """Strips that are read side by side."""
        return self.strips.shape[1]

    @property
    def steps(self) -> int:
        """Of an epoch; the last may be shorter."""
        return -(-(len(self.strips) - 1) // self.length)

    @property
    def characters(self) -> int:
        """Read in an epoch."""
        return self.strips[1:].numel()

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return what is read at a step and what comes after it, each (steps, rows)."""
        start = step * self.length
        stop = min(start + self.length, len(self.strips) - 1)
        return self.strips[start:stop], self.strips[start + 1 : stop + 1]


def judge(network: CharLSTM, lesson: Lesson) -> dict[str, float]:
    """Return the loss on the sample of the training text and on what is held out."""
    found = {
        name: evaluate(network, part, lesson.fabric)
        for name, part in zip(LOSSES, (lesson.sample, lesson.held), strict=True)
    }
    return {**found, "validation perplexity": math.exp(min(found["validation loss"], 700))}


@torch.no_grad()
def evaluate(network: CharLSTM, laid_out: tuple[Tensor, ...], fabric: Fabric) -> float:
    """Return the mean loss of a text that `side_by_side` laid out."""
    network.eval()
    given, expected, counted = laid_out
    start = run_up(counted.cpu().numpy())
    memory, losses = network.nothing(given.shape[1]), torch.zeros((), device=given.device)
    for rows in _pieces(start, len(given)):
        if rows.start == start:
            for part in memory:
                part[:, 0] = 0.0
        with fabric.autocast():
            logits, memory = network(given[rows], memory)
        memory = memory[0].float(), memory[1].float()
        each = F.cross_entropy(
            logits.flatten(0, 1).float(), expected[rows].flatten(), reduction="none"
        )
        losses += each[counted[rows].flatten()].sum()
    return losses.item() / int(counted.sum())


def _pieces(start: int, stop: int) -> Iterator[slice]:
    """Give the rows up to `start`, then the others, a few at a time."""
    for first, last in ((0, start), (start, stop)):
        for row in range(first, last, JUDGED_TOGETHER):
            yield slice(row, min(row + JUDGED_TOGETHER, last))


def _network(text: Text, settings: TextSettings) -> CharLSTM:
    characters, embedding = len(text.characters), settings.embedding
    if embedding is None:
        embedding = 0 if characters <= ONE_HOT else ONE_HOT
    return CharLSTM(
        characters, width=settings.width, layers=settings.layers, dropout=settings.dropout,
        embedding=embedding,
    )  # fmt: skip


def _state(reader: Reader, settings: TextSettings, lesson: Lesson, folder: Path) -> RunState:
    network = reader.network
    groups = decay_groups(network.parameters(), settings.weight_decay)
    return RunState(
        folder=folder,
        identity={**asdict(settings), "characters": lesson.characters},
        network=reader,
        optimiser=AdamW(groups, lr=1.0, fused=True),
        average=WeightAverage(network) if settings.average else None,
        chance=torch.Generator().manual_seed(settings.seed),
        losses=torch.zeros(lesson.steps, device=lesson.fabric.device),
        fabric=lesson.fabric,
        patience=settings.patience,
        cure="try a learning rate ten times smaller, or --set clip=0.1",
    )
