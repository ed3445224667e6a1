"""The benchmarks' guard: ratios that fell are named, and noise is let pass."""

import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "common.py"


@pytest.fixture(scope="module")
def common():
    specification = importlib.util.spec_from_file_location("benchmarks_common", PATH)
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    yield module
    del sys.modules[specification.name]


@pytest.mark.parametrize(
    ("now", "lost"),
    [
        ([3.9, 4.0, 4.1], False),
        ([3.0, 3.5, 3.85], False),  # one round was as good as ever
        ([3.62, 3.63, 3.64], False),  # under a tenth
        ([3.0, 3.1, 3.2], True),
        ([5.0, 5.1, 5.2], False),
    ],
)
def test_a_ratio_that_fell_beyond_noise_is_a_loss(common, now, lost) -> None:
    before = f"text\n{common.guarded('plain / ours', [3.8, 4.0, 4.2])}\nmore"
    found = common.losses(before, common.guarded("plain / ours", now))
    assert bool(found) == lost
    if lost:
        assert found == ["plain / ours: 3.1 (3 to 3.2), before 4 (3.8 to 4.2)"]


def test_a_new_ratio_is_no_loss(common) -> None:
    assert common.losses("", common.guarded("warm / cold", [1, 2, 3])) == []


def test_names_may_hold_what_ratios_are_written_with(common) -> None:
    name = "usual loop: 2 (or 3) / ours, 512, 512"
    before, after = (common.guarded(name, [value]) for value in (2.0, 1.0))
    assert common.losses(before, after) == [f"{name}: 1 (1 to 1), before 2 (2 to 2)"]
