"""Room on the disk, taken before it is needed: a mapped file on a full disk kills the process."""

import os
import shutil
from pathlib import Path

from silverprint.errors import ConfigError

GIB = 2**30


def take_room(file: Path, size: int, what: str, remedy: str) -> None:
    """Make a file of that size, whose room on the disk is really there.

    Args:
        file: its name; what it held is lost.
        size: bytes.
        what: the file is for, as in "4 views of 300 pictures".
        remedy: what else could be done than making room.

    Raises:
        ConfigError: there is too little.
    """
    free = shutil.disk_usage(file.parent).free
    try:
        if size > free:
            raise OSError
        with file.open("wb") as handle:
            handle.truncate(size)
            if size and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle.fileno(), 0, size)
    except OSError:
        file.unlink(missing_ok=True)
        raise ConfigError(
            f"{what} take {size / GIB:,.2f} GiB in {file.parent}, where {free / GIB:,.2f} GiB are "
            f"free; make room, {remedy}."
        ) from None
