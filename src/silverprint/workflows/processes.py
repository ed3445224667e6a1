"""Of several processes that torchrun started, which does what, and what becomes of a lost one."""

import contextlib
import os
from collections.abc import Iterator

from silverprint.errors import ConfigError

LOST = ("gloo", "nccl", "connection", "peer", "socket", "timed out")  # in an error of the group


def main_process() -> bool:
    """Say whether this process writes and prints: the first of torchrun's, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def alone() -> bool:
    """Say whether there is no other process."""
    return os.environ.get("WORLD_SIZE", "1") == "1"


@contextlib.contextmanager
def main_process_first() -> Iterator[None]:
    """Let the main process do something before the others, who then find it in the cache."""
    if alone():
        yield
        return
    from silverprint.training.fabric import start_fabric

    fabric = start_fabric()
    if not main_process():
        fabric.barrier()
    yield
    if main_process():
        fabric.barrier()


@contextlib.contextmanager
def lost_processes_told() -> Iterator[None]:
    """Say in words that another process of the group is gone; gloo and NCCL say it in theirs.

    Raises:
        ConfigError: it is.
    """
    try:
        yield
    except RuntimeError as error:  # torch.distributed seldom raises one of its own
        if alone() or not any(sign in str(error).lower() for sign in LOST):
            raise
        raise ConfigError(
            "another process of this run is gone or no longer answers, so all of them stop; what "
            "it printed says why. Start the same command on every host again: it goes on from the "
            "last checkpoint."
        ) from error
