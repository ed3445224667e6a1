"""Where and in which precision a network trains: one processor, a GPU, or many under torchrun.

    torchrun --nproc-per-node 2 ...    every process takes its share of the same global batch

Order and augmentation are drawn for the global batch with one generator, the same in all processes,
and then sliced; gradients are summed over all. So the loss curve does not depend on how many
processes there are, up to rounding, unless batch statistics or dropout are involved.
"""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from silverprint.errors import ConfigError
from silverprint.training.choices import Device, Precision


def start_fabric(device: Device = "auto", precision: Precision = "auto") -> Fabric:
    """Return Fabric, launched: in one process, or as one of torchrun's.

    Args:
        device: "auto" takes a CUDA GPU, else Apple's, else the processor.
        precision: of the network's products; weights stay float32. "auto" is bf16 where the device
            is fast at it.

    Raises:
        ConfigError: the device is not there, or torchrun started processes without naming them.
    """
    found = _found(device)
    if precision == "auto":
        precision = "bf16" if fast_bf16(found) else "f32"
    processes = _environment("WORLD_SIZE")
    local = _environment("LOCAL_WORLD_SIZE", processes)
    with _without_chatter():
        fabric = Fabric(
            accelerator=found,
            devices=local,
            num_nodes=processes // local,
            strategy="ddp" if processes > 1 else "auto",
            precision="bf16-mixed" if precision == "bf16" else "32-true",
        )
        fabric.launch()
    return fabric


def fast_bf16(device: str) -> bool:
    """Say whether the device multiplies bf16 faster than float32."""
    if device == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    supported: Any = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return device == "cpu" and bool(supported())


def share_of(rows: Tensor, fabric: Fabric) -> Tensor:
    """Return this process's part of what belongs to the global batch, cut along its first axis."""
    return rows.tensor_split(fabric.world_size)[fabric.global_rank]


def total(value: Tensor, fabric: Fabric) -> Tensor:
    """Return the sum over all processes; the value itself where there is one."""
    if fabric.world_size == 1:
        return value
    summed: Tensor = fabric.all_reduce(value, reduce_op="sum")  # type: ignore[assignment]
    return summed


def of_every_process(value: Tensor, fabric: Fabric) -> Tensor:
    """Return the values of all processes, stacked on the processor; all of them call it."""
    if fabric.world_size == 1:
        return value[None].cpu()
    own = value.to(fabric.device)
    parts = [torch.empty_like(own) for _ in range(fabric.world_size)]
    torch.distributed.all_gather(parts, own)
    return torch.stack(parts).cpu()


def share_file(path: Path, fabric: Fabric) -> None:
    """Give every host the newest file of this path that any has: hosts need not share a disk."""
    if fabric.world_size == 1:
        return
    written = path.stat().st_mtime if path.exists() else 0.0
    times = of_every_process(torch.tensor(written, dtype=torch.float64), fabric)
    newest = int(times.argmax())
    mine = fabric.global_rank == newest
    content = fabric.broadcast(path.read_bytes() if mine and written else None, src=newest)
    if content is not None and not mine and fabric.local_rank == 0:
        received = path.with_name(f"{path.name}.received")
        received.write_bytes(content)
        received.replace(path)
    fabric.barrier()


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep Fabric from announcing on stderr what was asked of it."""
    logger = logging.getLogger("lightning_fabric")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _found(device: Device) -> str:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return next((name for name, found in there.items() if found), "cpu")
    if not there.get(device, device == "cpu"):
        raise ConfigError(
            f"device {device!r} is not to be found here; use auto or cpu, "
            "or see `silverprint doctor`."
        )
    return device


def _environment(name: str, otherwise: int = 1) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() and int(value) > 0 else otherwise
