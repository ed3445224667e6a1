"""What a network is made of: its layers in the order they run, shapes, parameters, operations.

Operations are counted by torch itself while one picture runs (torch.utils.flop_counter), so what a
network does between its layers counts too, as attention does. On torch's "meta" device nothing is
computed or kept: a network of any size takes a moment.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

UNFOLDED = ("trunk", "encoder", "decoder", "generator", "discriminator")


@dataclass
class Layer:
    """One layer, or a block of them.

    Attributes:
        name: as in torch; its parts have names that begin with it and a dot.
        kind: the class's name.
        detail: of a convolution or pool, its window and stride: "3×3 /2".
        shape: of what it gives for one picture, without the first dimension; of several things the
            first's.
        parameters: all within it.
        learning: those of them that training changed, or would.
        multiply_adds: of one picture, all within it.
        leaf: whether it has no parts.
    """

    name: str
    kind: str
    detail: str = ""
    shape: tuple[int, ...] = ()
    parameters: int = 0
    learning: int = 0
    multiply_adds: int = 0
    leaf: bool = True


@dataclass(frozen=True)
class Architecture:
    """A network on paper.

    Attributes:
        title: what to call it.
        given: shape of its input (C, S, S).
        layers: in the order in which they run, a block before its parts.
        parameters: in all.
        learning: those that training changed, or would.
        multiply_adds: of one picture.
        blocks: those of the layers that a drawing shows as one.
        gives: shape of its output.
        each: what goes through it once: "picture" or "character".
    """

    title: str
    given: tuple[int, ...]
    layers: tuple[Layer, ...]
    parameters: int
    learning: int
    multiply_adds: int
    blocks: tuple[Layer, ...] = field(default=())
    gives: tuple[int, ...] = ()
    each: str = "picture"

    @property
    def parts(self) -> tuple[Layer, ...]:
        """What it falls into, such as trunk and head, or encoder and decoder."""
        return tuple(one for one in self.layers if "." not in one.name and not one.leaf)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "name": self.title,
            "input": list(self.given),
            "output": list(self.gives),
            "for_one": self.each,
            "parameters": self.parameters,
            "learning": self.learning,
            "multiply_adds": self.multiply_adds,
            "flops": 2 * self.multiply_adds,
            "layers": [
                {
                    "name": layer.name,
                    "kind": layer.kind,
                    "detail": layer.detail,
                    "shape": list(layer.shape),
                    "parameters": layer.parameters,
                    "learning": layer.learning,
                    "multiply_adds": layer.multiply_adds,
                    "leaf": layer.leaf,
                }
                for layer in self.layers
            ],
        }


def describe(
    network: nn.Module, example: Tensor, title: str, learning: Collection[str] = (),
    *more: Any, each: str = "picture",
) -> Architecture:  # fmt: skip
    """Run one picture through a network and note what it is made of.

    Args:
        network: in evaluation mode, on the example's device.
        example: (1, C, S, S), or whatever else it takes.
        title: what to call it.
        learning: names of the parameters that learn.
        more: what it takes besides the example.
        each: what an example is.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layers, gives = _watch(network, (example, *more), counter.get_total_flops)
        total = counter.get_total_flops() // 2
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    for layer in layers:
        mine = [name for name in sizes if name.startswith(f"{layer.name}.")]
        layer.parameters = sum(sizes[name] for name in mine)
        layer.learning = sum(sizes[name] for name in mine if name in learning)
    return Architecture(
        title, tuple(example.shape[1:]), tuple(layers), sum(sizes.values()),
        sum(size for name, size in sizes.items() if name in learning), total,
        tuple(layer for layer in layers if layer.name in _block_names(network)),
        gives, each,
    )  # fmt: skip


def _watch(
    network: nn.Module, given: tuple[Any, ...], flops: Callable[[], int]
) -> tuple[list[Layer], tuple[int, ...]]:
    """Return each layer that ran, with its shape and operations, and the output's shape."""
    layers: dict[str, Layer] = {}
    began: dict[str, int] = {}
    handles = []
    for name, module in network.named_modules():
        if not name or isinstance(module, nn.Identity):
            continue

        def enter(module: nn.Module, _: Any, name: str = name) -> None:
            leaf = not any(True for _ in module.children())
            layers.setdefault(name, Layer(name, type(module).__name__, _detail(module), leaf=leaf))
            began[name] = flops()

        def leave(_: nn.Module, __: Any, result: Any, name: str = name) -> None:
            layers[name].multiply_adds += (flops() - began[name]) // 2
            layers[name].shape = _shape_of(result)

        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        gives = _shape_of(network(*given))
    finally:
        for handle in handles:
            handle.remove()
    return list(layers.values()), gives


def _shape_of(result: Any) -> tuple[int, ...]:
    first = result[0] if isinstance(result, tuple) and result else result
    return tuple(first.shape[1:]) if isinstance(first, Tensor) else ()


def _detail(module: nn.Module) -> str:
    """Return "3×3 /2" for a window of 3 x 3 that moves by 2."""
    window = getattr(module, "kernel_size", None)
    if window is None or isinstance(module, nn.Linear):
        return ""
    height, width = (window, window) if isinstance(window, int) else (window[0], window[-1])
    stride = getattr(module, "stride", 1)
    step = stride if isinstance(stride, int) else stride[0]
    groups = getattr(module, "groups", 1)
    deep = " depthwise" if groups > 1 and groups == getattr(module, "in_channels", 0) else ""
    return f"{height}×{width}{f' /{step}' if step > 1 else ''}{deep}"


def _block_names(network: nn.Module, prefix: str = "") -> set[str]:
    """Return what stands in a drawing as one: a network's children, chains of them unfolded."""
    names: set[str] = set()
    for name, child in network.named_children():
        path = f"{prefix}{name}"
        parts = len(list(child.children()))
        chain = type(child).forward is nn.Sequential.forward or isinstance(child, nn.ModuleList)
        unfolded = parts and (chain or path in UNFOLDED)
        names |= _block_names(child, f"{path}.") if unfolded else {path}
    return names
