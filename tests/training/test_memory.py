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

    def loop():
        before = faults()
        for _ in range(10):
            torch.ones(16 * 2**20)  # 64 MiB, 16384 pages; glibc keeps blocks up to 32 MiB
        return faults() - before

    loop()
    outside = loop()
    with kept_memory():
        loop()
        inside = loop()
    after = loop()
    print(outside, inside, after)
"""


@pytest.mark.skipif(memory._glibc() is None, reason="only glibc has these settings")
def test_a_loop_touches_no_new_pages() -> None:
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    outside, inside, after = map(int, told.split())
    assert inside < 1000
    assert outside > 10 * max(inside, 100)
    assert after > 10 * max(inside, 100)


def test_elsewhere_nothing_is_changed(monkeypatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory._glibc() is None
    with kept_memory():
        pass
