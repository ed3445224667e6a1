"""What a server may be told, and the limits that it keeps to."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from silverprint.errors import ConfigError, closest

Mode = Literal["classify", "spell"]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
PRETRAINED = "imagenet"
ORIGIN = re.compile(r"https?://[^/\s*]+|\*")


@dataclass(frozen=True)
class Settings:
    """How to serve.

    Attributes:
        max_bytes: of a request's body.
        max_pixels: of a picture; a larger one is refused by its header.
        queue: pictures that may wait; one more is answered with 429.
        timeout: seconds that a request may take to arrive, and again to be answered.
        threads: pictures in work at once; 0 stands for one on each core.
        batch: pictures of one size that a thread runs through the model together, if they wait.
        api_key: what a request must bring; None lets everyone in.
        cors: origins whose pages may call the server; none by default.
        mode: what the page does: "classify", or "spell" answers out as text.
        accept: share of known pictures to answer, 0..1, the rest being "unknown"; None for each
            bundle's own.
        coverage: share of pictures for which a set of labels should hold the truth, 0..1; None for
            answers without sets.
    """

    max_bytes: int = 32 << 20
    max_pixels: int = 25_000_000
    queue: int = 256
    timeout: float = 30.0
    threads: int = 0
    batch: int = 1
    api_key: str | None = None
    cors: tuple[str, ...] = ()
    mode: Mode = "classify"
    accept: float | None = None
    coverage: float | None = None

    def __post_init__(self) -> None:
        _within("max-bytes", self.max_bytes, 1 << 10, 1 << 30)
        _within("max-pixels", self.max_pixels, 1 << 10, 1_000_000_000)
        _within("queue", self.queue, 1, 100_000)
        _within("timeout", self.timeout, 0.1, 3600)
        _within("threads", self.threads, 0, 1024)
        _within("batch", self.batch, 1, 256)
        if self.mode not in get_args(Mode):
            known = ", ".join(get_args(Mode))
            hint = closest(self.mode, get_args(Mode))
            raise ConfigError(f"mode must be one of {known}; got {self.mode!r}.{hint}")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.strip()):
            raise ConfigError("api-key must be ASCII characters, and not empty; set another.")
        for origin in self.cors:
            if not ORIGIN.fullmatch(origin):
                raise ConfigError(
                    f"cors takes an origin such as https://example.org, without a path; "
                    f"got {origin!r}."
                )

    @property
    def held_bytes(self) -> int:
        """How many bytes of requests' bodies are kept at once, so that memory is bounded."""
        return max(8 * self.max_bytes, 256 << 20)

    @property
    def cores(self) -> int:
        """Pictures in work at once."""
        if self.threads:
            return self.threads
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity else os.cpu_count() or 1


def named_bundles(arguments: list[str]) -> dict[str, str]:
    """Read "clothing" and "cats=runs/7/bundle" as names and paths; a folder's name is its own.

    Raises:
        ConfigError: a name is not fit for an address, or is there twice.
    """
    named: dict[str, str] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        if argument.partition(":")[0] == PRETRAINED and not Path(argument).exists():
            name, path = argument.replace(":", "-"), argument
        elif not equals or os.sep in name:
            name, path = Path(os.path.abspath(argument)).name, argument  # noqa: PTH100 - a link's name stays
        if not NAME.fullmatch(name):
            raise ConfigError(
                f"a model's name is of letters, digits, dots, dashes, underscores; got {name!r}. "
                f"Name it yourself: NAME={path}"
            )
        if name in named:
            raise ConfigError(
                f"two bundles are called {name!r}: {named[name]} and {path}. "
                f"Give one another name: NAME={path}"
            )
        named[name] = path
    return named


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigError(f"{name} must lie within {least:,} to {most:,}; got {value:,}.")
