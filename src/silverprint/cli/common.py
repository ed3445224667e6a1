"""What several verbs share: printing results and reading comma-separated options."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from silverprint.errors import ConfigError

Number = TypeVar("Number", int, float)


def fail(text: str) -> None:
    """Print one error to stderr."""
    print(f"error: {text}", file=sys.stderr)


def print_json(value: Any) -> None:
    """Print exactly one JSON value to stdout."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))


def numbers(text: str | None, name: str, kind: Callable[[str], Number]) -> tuple[Number, ...]:
    """Read "10,100,1000".

    Raises:
        ConfigError: a part is not a number of that kind.
    """
    if text is None:
        return ()
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        word = "whole numbers" if kind is int else "numbers"
        raise ConfigError(f"--{name} takes {word} with commas between; got {text!r}.") from None


def plain(text: str) -> Any:
    """Read one value as a number, true, false or none where it looks like it, else as text."""
    words: dict[str, Any] = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return tuple(map(plain, text.split(","))) if "," in text else text


def size_in_bytes(text: str) -> int:
    """Read "20GB", "500MB" or a number of bytes.

    Raises:
        ConfigError: it is neither.
    """
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    number, unit = text.upper().strip(), 1
    for name, factor in units.items():
        if number.endswith(name):
            number, unit = number[: -len(name)], factor
    try:
        value = float(number) * unit
    except ValueError:
        value = -1.0
    if not 0 <= value < 2**63:
        raise ConfigError(f"--cache-limit takes bytes, or a size such as 20GB; got {text!r}.")
    return int(value)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table to stdout."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in header:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(cell.replace("[", r"\[") for cell in row))
    Console(width=None if sys.stdout.isatty() else 200).print(shown)


def percent(share: float) -> str:
    """Write 0.875 as "87.5 %"."""
    return f"{100 * share:.1f} %"
