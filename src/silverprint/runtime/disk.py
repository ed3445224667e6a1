"""Disks that take no more: a full one, one that is only read, a quota, a folder of someone else."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from silverprint.errors import ConfigError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REFUSALS = {*FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}


@contextlib.contextmanager
def writing_to(place: str, elsewhere: str = "name another place") -> Iterator[None]:
    """Say in a sentence that a place takes no more, where a write within says it with an error.

    Args:
        place: as the user calls it, such as "--out bundle".
        elsewhere: how to write to another.

    Raises:
        ConfigError: the disk refused; any other error is left as it is.
    """
    try:
        yield
    except Exception as error:
        number = _number(error)
        if number not in REFUSALS:
            raise
        remedy = f"make room, or {elsewhere}" if number in FULL else elsewhere
        raise ConfigError(
            f"{place} cannot be written: {os.strerror(number).lower()}; {remedy}."
        ) from error


def writing_to_cache(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Return `writing_to` for a folder of the cache."""
    return writing_to(f"the cache {folder}", "let SILVERPRINT_CACHE name another folder")


def _number(error: Exception) -> int:
    """Return the system's number of an error; safetensors has it in its words alone."""
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"\(os error (\d+)\)$", str(error))
    return int(found.group(1)) if found and type(error).__name__ == "SafetensorError" else 0
