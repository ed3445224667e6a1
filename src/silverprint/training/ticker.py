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
        self, advance: Advance, state: RunState, epochs: int, shown: Sequence[str] = ACCURACIES
    ) -> None:
        """Speak through `advance`; `shown` names the curves whose latest value is told."""
        self._advance, self._state, self._epochs = advance, state, epochs
        self._shown = shown
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
            line += f", loss {state.losses[: state.step][-RECENT:].mean().item():.4f}"
        for name in self._shown:
            if name in state.curves:
                line += f", {name} {state.curves[name][-1]:.4f}"
        self._advance(self._unsaid, line)
        self._unsaid, self._said = 0, time.monotonic()
