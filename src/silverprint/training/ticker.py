"""Says how far a training is."""

import time
from collections.abc import Sequence

from silverprint.training.progress import Advance
from silverprint.training.run_state import RunState

SECONDS_BETWEEN_NOTES = 0.2
RECENT = 50  # steps whose mean loss is shown
ACCURACIES = ("training accuracy", "validation accuracy")


class Ticker:
    """Says how far a training is, a few times a second; stops it where the loss is no number."""

    def __init__(
        self, advance: Advance, state: RunState, epochs: int, shown: Sequence[str] = ACCURACIES,
        parts: Sequence[str] = ("loss",),
    ) -> None:  # fmt: skip
        """Speak through `advance`.

        Args:
            advance: says it.
            state: whose losses and curves are told.
            epochs: in all.
            shown: names the curves whose latest value is told.
            parts: names the first columns of the losses.
        """
        self._advance, self._state, self._epochs = advance, state, epochs
        self._shown, self._parts = shown, parts
        self._unsaid, self._said = 0, 0.0

    def tell(self, done: int, learning_rate: float = 0.0, now: bool = False) -> None:
        """Count what was learned from, and speak if it is time."""
        self._unsaid += done
        if not now and time.monotonic() - self._said < SECONDS_BETWEEN_NOTES:
            return
        state = self._state
        state.refuse_non_finite(learning_rate)
        line = f"epoch {min(state.epoch + 1, self._epochs)}/{self._epochs}"
        if state.step:
            losses = state.losses[: state.step][-RECENT:].mean(dim=0).reshape(-1).tolist()
            for name, loss in zip(self._parts, losses, strict=False):
                line += f", {name} {loss:.4f}"
        for name in self._shown:
            if name in state.curves:
                line += f", {name} {state.curves[name][-1]:.4f}"
        self._advance(self._unsaid, line)
        self._unsaid, self._said = 0, time.monotonic()
