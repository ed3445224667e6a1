"""Freed memory is used again while a loop runs, and given back after it."""

import subprocess
import sys
import textwrap

import pytest

from silverprint.training import memory
from silverprint.training.memory import kept_memory

# Every page that a program touches for the first time is a fault.
PROGRAM = """
    import contextlib, resource, sys
    import torch
    from silverprint.training.memory import kept_memory

    def faults():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    def loop(mebibytes):
        before = faults()
        for _ in range(10):
            torch.ones(mebibytes * 2**18)  # 256 pages each
        return faults() - before

    loop(16)
    with kept_memory():
        loop(64)
        inside = loop(64)
    after = loop(64)
    loop(16)
    print(inside, after, loop(16))
"""


@pytest.mark.skipif(memory._glibc() is None, reason="only glibc has these settings")
def test_a_loop_touches_no_new_pages() -> None:
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    inside, after, small_after = map(int, told.split())
    assert inside < 1000
    assert after > 10 * max(inside, 100)  # blocks over 32 MiB go back, as glibc has it
    assert small_after < 1000  # and smaller ones are kept, as it would by itself after a while


def test_elsewhere_nothing_is_changed(monkeypatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory._glibc() is None
    with kept_memory():
        pass
