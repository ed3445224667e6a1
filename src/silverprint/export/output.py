"""Where an export goes: written under a temporary name, renamed when it is right."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from silverprint.errors import ConfigError


def check_place(out: Path) -> None:
    """Refuse a place where something is already; an empty folder is nothing.

    Raises:
        ConfigError: something is there.
    """
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise ConfigError(f"--out {out} exists already; remove it, or give another name.")


@contextlib.contextmanager
def writing(out: Path) -> Iterator[Path]:
    """Give a path to write a file or folder at; on leaving without an error it becomes `out`.

    It has the name of `out`, in a hidden folder beside it, of which nothing is left behind.

    Raises:
        ConfigError: something is there already, or nothing can be written there.
    """
    check_place(out)
    given, out = out, out.absolute()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished = tempfile.TemporaryDirectory(
            prefix=f".{out.name}-unfinished-", dir=out.parent, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise ConfigError(
            f"--out {given} cannot be written: {(error.strerror or str(error)).lower()}."
        ) from None
    with unfinished as folder:
        made = Path(folder) / out.name
        yield made
        check_place(given)  # someone else may have come first
        if out.is_dir():
            out.rmdir()
        made.rename(out)
