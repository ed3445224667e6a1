"""What several verbs share: printing results and reading comma-separated options."""

import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from silverprint.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from silverprint.data.table import Dataset

Number = TypeVar("Number", int, float)
Refused = Sequence[tuple[str, str]]  # files and why each could not be read
REFUSED = 10  # of them that are named
WIDEST = 1_000_000  # characters of a line that nobody looks at


def fail(text: str) -> None:
    """Print one error to stderr."""
    print(f"error: {text}", file=sys.stderr)


def print_json(value: Any) -> None:
    """Print exactly one JSON value to stdout, escaped where stdout cannot hold its letters."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, allow_nan=False)
    print(text)


def print_any_letter() -> None:
    """Let letters that stdout cannot hold be printed as their numbers."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


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
    """Print a table to stdout; in a file or a pipe a row is one line, whatever its length."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in header:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell.replace("\n", r"\n")) for cell in row))
    Console(width=None if sys.stdout.isatty() else WIDEST).print(shown)


def refused_as_json(refused: Refused) -> list[dict[str, str]]:
    """Return the files that could not be read, with their reasons."""
    return [{"file": file, "reason": reason} for file, reason in refused]


def seconds_as_json(seconds: Mapping[str, float]) -> dict[str, float]:
    """Return the seconds of each stage and in all."""
    rounded = {name: round(value, 3) for name, value in seconds.items()}
    return {**rounded, "total": round(sum(seconds.values()), 3)}


def print_refused(refused: Refused, rest: str) -> None:
    """Print the first files that could not be read, and where the rest are named."""
    for file, reason in refused[:REFUSED]:
        typer.echo(f"refused: {file}: {reason}")
    if len(refused) > REFUSED:
        typer.echo(f"refused: {len(refused) - REFUSED:,} more; {rest}")


def percent(share: float) -> str:
    """Write 0.875 as "87.5 %"."""
    return f"{100 * share:.1f} %"


def need_extra() -> None:
    """Refuse to begin without what training needs."""
    try:
        import onnx
        import safetensors
        import torch

        del onnx, safetensors, torch
    except ImportError as error:
        raise MissingExtraError("training", "train") from error


def pairs(texts: list[str], name: str) -> tuple[tuple[str, str], ...]:
    """Read KEY=VALUE, any number of times."""
    found = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise ConfigError(f"{name} is written KEY=VALUE; got {text!r}.")
        found.append((key, value))
    return tuple(found)


def once(found: tuple[tuple[str, str], ...], name: str) -> tuple[tuple[str, str], ...]:
    """Refuse a key that is given twice."""
    keys = [key for key, _ in found]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"{name} {key} is given twice; give it once, with all its values.")
    return found


def settings_of(options: list[str] | None) -> dict[str, Any]:
    """Read what --set gives, each key once."""
    return {key: plain(value) for key, value in once(pairs(options or [], "--set"), "--set")}


def read_data(data: str, *, class_names: str | None, **options: Any) -> "Dataset":
    """Read a dataset as the options of `train` describe it."""
    from silverprint.data.read import read

    names = class_names.split(",") if class_names is not None else None
    return read(data, class_names=names, **options)


def read_pictures(data: str, **options: Any) -> "Dataset":
    """Read a dataset for what needs no labels; see `data.audit.unlabelled.read_pictures`."""
    from silverprint.data.audit.unlabelled import read_pictures as read_any

    return read_any(data, **options)
