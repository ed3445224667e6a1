"""Where an export goes: written under a temporary name, renamed when it is right."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from silverprint.errors import ConfigError
from silverprint.runtime.disk import writing_to


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

    It has the name of `out`, in a hidden folder beside it, of which nothing is left behind. What a
    process that was killed left there is removed by the next that writes to the same place.

    Raises:
        ConfigError: something is there already, nothing can be written there, or another process is
            at it.
    """
    from filelock import FileLock, Timeout

    check_place(out)
    given, out = out, out.absolute()
    hidden = out.with_name(f".{out.name}-unfinished")
    unfinished = hidden / "new"
    lock = FileLock(hidden / "lock", timeout=0)  # the system lets go of it when its process dies
    try:
        hidden.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise ConfigError(
            f"--out {given} is being written by another process; wait for it, or give another name."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"--out {given} cannot be written: {(error.strerror or str(error)).lower()}."
        ) from None
    try:
        made = unfinished / out.name
        with writing_to(f"--out {given}"):
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            yield made
        check_place(given)  # someone else may have come first
        if out.is_dir():
            out.rmdir()
        made.rename(out)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
        lock.release()
