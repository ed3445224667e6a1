"""Memory that a training loop gets back instead of asking the system for it at every step."""

import contextlib
import ctypes
import sys
from collections.abc import Iterator

# Parameters of glibc's mallopt (malloc.h). Setting any ends glibc's own adjusting of thresholds, so
# what they are set to afterwards is where it ends once large blocks were freed.
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
USUAL = {MMAP_MAX: 65536, MMAP_THRESHOLD: 2**25, TRIM_THRESHOLD: 2**26}
KEEPING = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1}


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Let freed memory be used again while the block runs; what is left over goes back after it.

    glibc asks the system for every block over 32 MiB anew and returns it when it is freed, so each
    large activation of each step is written to fresh pages, each of which the system has to clear
    and map first. In the fine-tuning of EfficientNet-Lite0 that was a quarter of a step. Elsewhere
    than with glibc nothing is changed.
    """
    library = _glibc()
    if library is None:
        yield
        return
    for parameter, value in KEEPING.items():
        library.mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter, value in USUAL.items():
            library.mallopt(parameter, value)
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    if not all(hasattr(library, name) for name in ("gnu_get_libc_version", "mallopt")):
        return None
    return library
