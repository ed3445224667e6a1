"""What a training needs to go on, as one safetensors file: tensors, and JSON in its metadata.

A checkpoint is written under another name, forced to the disk, and renamed: whenever the process
dies, the file of that name is whole. Nothing in it is code; no pickle is read or written.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from silverprint.errors import ConfigError

LAYOUT = "silverprint checkpoint 1"
TENSOR, ITEMS, TUPLE = "$tensor", "$items", "$tuple"


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write nested dicts, lists and tuples of tensors, numbers, strings, booleans and None.

    Tensors keep their values, types and shapes, not their devices or strides.

    Raises:
        TypeError: the state holds anything else.
        ConfigError: it cannot be written, as where the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_described(state, tensors))
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        save_file(tensors, unfinished, metadata={"layout": LAYOUT, "state": tree})
        _force_to_disk(unfinished)
        unfinished.replace(path)
        _force_to_disk(path.parent)
    except (OSError, SafetensorError) as error:
        unfinished.unlink(missing_ok=True)
        raise ConfigError(
            f"checkpoint {path} cannot be written: {error}. Make room, then give the same command: "
            "it goes on from the checkpoint before."
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote; tensors are on the processor.

    Raises:
        ConfigError: the file is missing, damaged, or something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("layout") != LAYOUT:
                raise ValueError(f"layout {metadata.get('layout')!r}, expected {LAYOUT!r}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return cast(dict[str, Any], _restored(json.loads(metadata["state"]), tensors))
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ConfigError(
            f"checkpoint {path} cannot be read: {type(error).__name__}: {error}. "
            "Give --fresh to begin anew."
        ) from error


def load_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load an optimiser's state, each tensor with the strides of the parameter it belongs to.

    Fused optimisers walk a parameter and its moments side by side in memory. A checkpoint keeps no
    strides, so without this a network in channels_last would go on with shuffled moments.
    """
    optimiser.load_state_dict(state)
    for parameter, moments in optimiser.state.items():
        for name, value in moments.items():
            if torch.is_tensor(value) and value.shape == parameter.shape and value.dim() > 0:
                moments[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _described(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the value as JSON, with its tensors replaced by their names."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        # A copy: safetensors refuses tensors that share memory, as averages may with weights.
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {TENSOR: name}
    if isinstance(value, Mapping):
        return {ITEMS: [[_key(key), _described(part, tensors)] for key, part in value.items()]}
    if isinstance(value, tuple):
        return {TUPLE: [_described(part, tensors) for part in value]}
    if isinstance(value, list):
        return [_described(part, tensors) for part in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a checkpoint holds tensors and plain values; got {type(value).__name__}")


def _key(key: object) -> object:
    if isinstance(key, (str, int)):
        return key
    raise TypeError(f"a checkpoint's keys are strings and integers; got {type(key).__name__}")


def _restored(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_restored(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    if TENSOR in value:
        return tensors[value[TENSOR]]
    if TUPLE in value:
        return tuple(_restored(part, tensors) for part in value[TUPLE])
    return dict(_pairs(value[ITEMS], tensors))


def _pairs(items: list[Any], tensors: Mapping[str, Tensor]) -> Iterator[tuple[Any, Any]]:
    for key, part in items:
        yield key, _restored(part, tensors)


def _force_to_disk(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
