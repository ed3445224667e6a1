"""Checkpoints: what goes in comes out, whole or not at all, and nothing in them runs."""

import math
import os
import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from silverprint.errors import ConfigError
from silverprint.training.checkpoint import load_checkpoint, load_optimiser, save_checkpoint

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
KEYS = st.text() | st.integers(-5, 5)
TREES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=4))
def test_plain_values_come_back_as_they_were(tmp_path, state) -> None:
    save_checkpoint(tmp_path / "x.safetensors", state)
    assert load_checkpoint(tmp_path / "x.safetensors") == state


def test_tensors_keep_type_shape_and_bits(tmp_path) -> None:
    path = tmp_path / "x.safetensors"
    generator = torch.Generator().manual_seed(3)
    base = torch.randn(4, 6)
    state = {
        "half": base.bfloat16(),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 2),
        "window": base[1:3, ::2],
        "twice": [base, base],
        "random": generator.get_state(),
        3: {"nested": torch.arange(3)},
    }
    save_checkpoint(path, state)
    found = load_checkpoint(path)
    for name in ("half", "scalar", "empty", "window", "random"):
        assert found[name].dtype == state[name].dtype
        assert torch.equal(found[name], state[name])
    assert torch.equal(found["twice"][1], base)
    assert found[3]["nested"].tolist() == [0, 1, 2]


def test_infinite_and_undefined_numbers_survive(tmp_path) -> None:
    save_checkpoint(tmp_path / "x", {"a": math.inf, "b": -math.inf, "c": math.nan})
    found = load_checkpoint(tmp_path / "x")
    assert (found["a"], found["b"]) == (math.inf, -math.inf)
    assert math.isnan(found["c"])


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", {(1, 2): 3}])
def test_anything_else_is_refused_and_nothing_is_written(tmp_path, value) -> None:
    with pytest.raises(TypeError, match="a checkpoint"):
        save_checkpoint(tmp_path / "x.safetensors", {"value": value})
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, {"epoch": 1})

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(ConfigError, match=r"cannot be written: .*No space left.* Make room"):
        save_checkpoint(path, {"epoch": 2})
    monkeypatch.undo()
    assert load_checkpoint(path) == {"epoch": 1}
    save_checkpoint(path, {"epoch": 3})
    assert load_checkpoint(path) == {"epoch": 3}
    assert list(tmp_path.iterdir()) == [path]


def test_damaged_foreign_and_missing_files_are_named(tmp_path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "last.safetensors"
    message = rf"checkpoint {re.escape(str(path))} cannot be read: .* Give --fresh to begin"
    with pytest.raises(ConfigError, match=message):
        load_checkpoint(path)
    save_checkpoint(path, {"weights": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ConfigError, match=message):
        load_checkpoint(path)
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(ConfigError, match="layout None, expected 'silverprint checkpoint 1'"):
        load_checkpoint(path)


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD])
def test_a_fused_optimiser_goes_on_exactly_with_channels_last_weights(tmp_path, kind) -> None:
    """Its moments have to lie in memory as its weights do, which no file keeps."""

    def made():
        torch.manual_seed(0)
        layer = nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)
        options = {"momentum": 0.9} if kind is torch.optim.SGD else {}
        return layer, kind(layer.parameters(), lr=0.1, fused=True, **options)

    def step(layer, optimiser, seed):
        pictures = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
        optimiser.zero_grad()
        layer(pictures).square().mean().backward()
        optimiser.step()

    layer, optimiser = made()
    step(layer, optimiser, 1)
    save_checkpoint(tmp_path / "x", {"o": optimiser.state_dict(), "n": layer.state_dict()})
    step(layer, optimiser, 2)

    again, its_optimiser = made()
    found = load_checkpoint(tmp_path / "x")
    again.load_state_dict(found["n"])
    load_optimiser(its_optimiser, found["o"])
    step(again, its_optimiser, 2)
    assert torch.equal(layer.weight, again.weight)
