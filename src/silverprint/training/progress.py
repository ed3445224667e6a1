"""Progress on stderr, so that stdout stays free for results."""

import contextlib
import importlib.util
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PAUSE = 30.0  # seconds between the bars that tell a log file how far a stage is


class Advance(Protocol):
    """Called with the number of items done since the last call, and what to say of them."""

    def __call__(self, count: int, note: str = "") -> None:
        """Show it."""


class Progress:
    """Shows what a job is doing, and keeps the time each stage took.

    Attributes:
        seconds: stage -> seconds, in order; a stage that ran twice has the sum.
        quiet: whether nothing is shown.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.seconds: dict[str, float] = {}

    def say(self, line: str) -> None:
        """Print one line, unless quiet."""
        if not self.quiet:
            self._console().print(line, markup=False, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None, text: str = "") -> Iterator[Advance]:
        """Time a stage and show a bar; gives a function to call with the number of items done."""
        began = time.perf_counter()
        try:
            if self.quiet or total is None:
                yield lambda count, note="": None  # noqa: ARG005 - called by name
            else:
                with self._bar(text or name, total) as advance:
                    yield advance
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    @contextlib.contextmanager
    def _bar(self, text: str, total: int) -> Iterator[Advance]:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bar
        from rich.text import Text

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
        )

        class Noted(Bar):  # under the bar, for which 80 columns would leave no room beside it
            def get_renderables(self) -> "Iterator[RenderableType]":
                yield from super().get_renderables()
                notes = [task.fields["note"] for task in self.tasks]
                yield from (Text(f"  {note}") for note in notes if note)

        console = self._console()
        drawn = console.is_terminal or console.is_jupyter  # elsewhere only at the end
        with Noted(*columns, console=console, transient=False) as bar:
            task = bar.add_task(text, total=total, speed="", note="")
            told = time.monotonic()

            def advance(count: int, note: str = "") -> None:
                nonlocal told
                speed = bar.tasks[0].speed
                shown = "" if speed is None else f"{speed:,.0f}/s"
                bar.update(task, advance=count, speed=shown, note=note)
                if not drawn and time.monotonic() - told >= PAUSE:
                    told = time.monotonic()
                    console.print(bar)

            yield advance
            bar.update(task, completed=total)

    def _console(self) -> "Console":
        from rich.console import Console

        console = Console(stderr=True)
        if console.is_jupyter and importlib.util.find_spec("ipywidgets") is None:
            # It would be shown a warning and no bar; as a terminal it would keep every frame.
            return Console(stderr=True, force_jupyter=False, force_terminal=False)
        return console
