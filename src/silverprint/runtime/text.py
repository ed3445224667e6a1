"""Use a character model: write on from a few words, or judge a text. ONNX Runtime, no torch.

step.onnx takes one character of each of n texts and what the network remembers of them, and returns
the logits of the next ones and what it remembers now.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.errors import BundleError, ConfigError
from silverprint.runtime.bundle import MANIFEST, need
from silverprint.runtime.characters import decode, encode, one_line_end
from silverprint.runtime.generative import STEP, read_generative

INPUTS = ("characters", "hidden", "cell")
OUTPUTS = ("logits", "hidden_after", "cell_after")
READERS = 64  # a text is judged in so many parts at once,
RUN_UP = 256  # each of them read from so many characters earlier on

Floats = NDArray[np.float32]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Taste:
    """How the next character is drawn from the probabilities.

    Attributes:
        temperature: by which logits are divided; 0 takes the likeliest always.
        top_k: draw among so many of the likeliest; 0 for all.
        top_p: draw among the likeliest that together hold this share of the probability.
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        _check("temperature", self.temperature, 0 <= self.temperature <= 100, "0..100")
        _check("top_k", self.top_k, self.top_k >= 0, "0 and up")
        _check("top_p", self.top_p, 0 < self.top_p <= 1, "0..1, 0 excluded")

    def draw(self, logits: Floats, random: np.random.Generator) -> int:
        """Return the place of a character, drawn with logits (characters,)."""
        if self.temperature == 0:
            return int(logits.argmax())
        order = np.argsort(-logits, kind="stable")[: self.top_k or None]
        behind = logits[order].astype(np.float64) - logits[order[0]]
        with np.errstate(over="ignore"):  # what is infinitely far behind is never drawn
            likely = np.exp(behind / self.temperature).cumsum()
        likely /= likely[-1]
        kept = int(np.searchsorted(likely, self.top_p)) + 1 if self.top_p < 1 else len(likely)
        return int(order[np.searchsorted(likely[:kept], random.random() * likely[kept - 1])])


class TextModel:
    """A character model, ready to write.

    Attributes:
        characters: those it knows, by code point.
        manifest: the content of bundle.json; empty for a model that is not shipped yet.
    """

    def __init__(self, session: Any, characters: str, manifest: dict[str, Any]) -> None:
        self.characters = characters
        self.manifest = manifest
        self._session = session
        layers, _, width = session.get_inputs()[1].shape
        self._shape = (int(layers), int(width))

    def __repr__(self) -> str:
        layers, width = self._shape
        return f"<TextModel of {len(self.characters):,} characters: {layers} x {width} units>"

    def sample(
        self, prime: str = "", length: int = 500, taste: Taste | None = None, seed: int = 0
    ) -> str:
        """Return what it writes on from a prime text, without that.

        Args:
            prime: to begin with; empty begins as if after the end of a line.
            length: how many characters to write.
            taste: how each is drawn.
            seed: of the drawing; the same one writes the same on the same machine.

        Raises:
            ConfigError: it does not know a character of the prime, or a number is out of range.
        """
        return "".join(self.stream(prime, length, taste or Taste(), seed))

    def stream(self, prime: str, length: int, taste: Taste, seed: int) -> Iterator[str]:
        """Give the characters of `sample` one by one, as they are written."""
        _check("length", length, 1 <= length <= 10_000_000, "1..10000000")
        _check("seed", seed, seed >= 0, "0 and up")
        places = encode(one_line_end(prime), self.characters)
        if not places.size:
            places = np.array([max(self.characters.find("\n"), 0)])
        return self._written(places, length, taste, np.random.default_rng(seed))

    def nats(self, text: str) -> float:
        """Return the mean negative log-likelihood of a text's characters after the first.

        The text is read in up to 64 parts side by side; each reader begins 256 characters before
        its part, so that it remembers what stands there. The first begins with nothing.

        Raises:
            ConfigError: it does not know a character, or there are fewer than two.
        """
        places = encode(one_line_end(text), self.characters)
        _check("the text's length", len(places), len(places) > 1, "2 and up")
        given, expected, counted = side_by_side(places)
        total, memory, start = 0.0, self._nothing(given.shape[1]), run_up(counted)
        for row in range(len(given)):
            if row == start:
                for part in memory:
                    part[:, 0] = 0.0
            logits, *memory = self._step(given[row], memory)
            if (judged := counted[row]).any():
                total -= _log_likelihood(logits[judged], expected[row, judged])
        return total / int(counted.sum())

    def _written(
        self, places: Places, length: int, taste: Taste, random: np.random.Generator
    ) -> Iterator[str]:
        memory = self._nothing(1)
        for place in places:
            logits, *memory = self._step(np.array([place]), memory)
        for left in reversed(range(length)):
            place = taste.draw(logits[0], random)
            yield decode([place], self.characters)
            if left:
                logits, *memory = self._step(np.array([place]), memory)

    def _nothing(self, rows: int) -> list[Floats]:
        layers, width = self._shape
        return [np.zeros((layers, rows, width), np.float32) for _ in range(2)]

    def _step(self, places: Places, memory: list[Floats]) -> list[Floats]:
        given = dict(zip(INPUTS, (places, *memory), strict=True))
        found: list[Floats] = self._session.run(OUTPUTS, given)
        return found


def side_by_side(places: Places) -> tuple[Places, Places, NDArray[np.bool_]]:
    """Lay a text out for several readers.

    Args:
        places: (n,) of the characters, n > 1.

    Returns:
        Three arrays (steps, readers): what is read, what comes after it, and whether that counts.
        Every character but the first counts once. In the first `run_up` steps nothing counts, and
        what the first reader remembers of them has to be forgotten: its part is the beginning.
    """
    asked = len(places) - 1
    part = max(-(-asked // READERS), min(asked, RUN_UP))
    readers = -(-asked // part)
    before = RUN_UP if readers > 1 else 0
    rows = np.arange(-before, part)[:, None] + part * np.arange(readers)
    inside = (rows >= 0) & (rows < asked)
    safe = np.where(inside, rows, 0)
    counted = inside & (np.arange(-before, part) >= 0)[:, None]
    return places[safe], places[safe + 1], counted


def run_up(counted: NDArray[np.bool_]) -> int:
    """Return how many steps come before the first that counts."""
    return int(counted[:, 0].argmax())


def read_text_model(path: str | os.PathLike[str]) -> TextModel:
    """Read and verify the folder that `silverprint write train` made.

    Raises:
        BundleError: it is missing, damaged, of another version, or no text model.
    """
    bundle = read_generative(path, ("text",))
    need(Path(path), bundle.manifest, ("characters",))
    characters, session = bundle.manifest["characters"], bundle.session(STEP)
    answers = session.get_outputs()[0].shape[-1]
    if not isinstance(characters, str) or len(characters) != answers:
        known = len(characters) if isinstance(characters, str) else "no"
        raise BundleError(
            f"{path}: {MANIFEST} lists {known} characters, but {STEP} tells {answers} apart; they "
            "are not of one model. Train it again."
        )
    return TextModel(session, characters, bundle.manifest)


def _log_likelihood(logits: Floats, expected: Places) -> float:
    exact = logits.astype(np.float64)
    exact -= exact.max(1, keepdims=True)
    chosen = exact[np.arange(len(expected)), expected]
    return float((chosen - np.log(np.exp(exact).sum(1))).sum())


def _check(name: str, value: float, fine: bool, words: str) -> None:
    if not fine:
        raise ConfigError(f"{name} must lie within {words}; got {value!r}.")
