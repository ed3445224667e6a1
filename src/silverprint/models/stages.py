"""The stages of a network, found by watching it at work, and cutting it between two of them.

A network halves its picture several times on the way. A stage is what works at one resolution: a
new one begins with the first layer that gives at most SMALLER of the height that its stage began
with; layers without parameters that follow a stage, such as pooling, still belong to it. In a
transformer, which keeps one resolution, each block is a stage. Whatever comes after the last of
these layers (a last norm, the pooling) belongs to the last stage.

    VGG16            6: five groups of convolutions, and the fully connected layers
    DenseNet121      5: the stem, and four dense blocks, each with the transition after it
    Xception         5: stem; blocks 1; 2; 3 to 11; 12 with the last convolutions
    MobileNetV2      5: outputs at 1/2, 1/4, 1/8, 1/16 and 1/32 of the picture's side
    EfficientNet     5: likewise
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from silverprint.models.frozen_norms import agree, sharing_copy

SMALLER = 0.75  # a convolution without padding takes a little off too, which is no new stage


@dataclass(frozen=True)
class Stage:
    """Layers that work at one resolution.

    Attributes:
        layers: their names, in the order in which they run.
    """

    layers: tuple[str, ...]


@dataclass(frozen=True)
class _Layer:
    """What is seen of a layer while the network runs."""

    name: str
    learns: bool  # whether it has weights, not only gains and biases
    height: float
    tokens: bool


class _ReachedError(Exception):
    """Carries out of a network what its layer at the cut gave."""

    def __init__(self, activations: Tensor) -> None:
        super().__init__()
        self.activations = activations


class Front(nn.Module):
    """A network up to a layer: its input -> what that layer gives."""

    def __init__(self, network: nn.Module, layer: str) -> None:
        super().__init__()
        self.network = network
        self._layer = layer

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the activations at the cut; nothing behind it runs."""

        def stop(_: nn.Module, __: tuple[Any, ...], result: Tensor) -> None:
            raise _ReachedError(result)

        handle = self.network.get_submodule(self._layer).register_forward_hook(stop)
        try:
            self.network(pictures)
        except _ReachedError as reached:
            return reached.activations
        finally:
            handle.remove()
        raise RuntimeError(f"the network ran without its layer {self._layer}")


class _Constant(nn.Module):
    """Stands where a layer in front of the cut was, and gives what that gave for one picture."""

    def __init__(self, result: Tensor) -> None:
        super().__init__()
        self.register_buffer("result", result, persistent=False)

    def forward(self, _: Tensor) -> Tensor:
        return cast(Tensor, self.result).clone()  # what follows may work in place


class _Entry(nn.Module):
    """Stands where the last layer in front of the cut was, and gives the activations."""

    def __init__(self) -> None:
        super().__init__()
        self.activations: Tensor | None = None

    def forward(self, _: Tensor) -> Tensor:
        assert self.activations is not None
        return self.activations


class Back(nn.Module):
    """A network behind a layer: what that layer gives -> the network's output.

    The network's own code runs from the beginning, because only it knows what it does between its
    layers. In front of the cut it is given what each layer gave for one picture, which costs next
    to nothing; at the cut it is given the activations.
    """

    def __init__(self, network: nn.Module, picture: Tensor, given: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.network = sharing_copy(network)
        for name, result in given.items():
            self.network.set_submodule(name, _Constant(result))
        self.entry = _Entry()
        self.network.set_submodule(list(given)[-1], self.entry)
        self.register_buffer("picture", picture, persistent=False)

    def forward(self, activations: Tensor) -> Tensor:
        """Return the network's output."""
        self.entry.activations = activations
        try:
            output: Tensor = self.network(self.picture)
        finally:
            self.entry.activations = None
        return output


def find_stages(network: nn.Module, example: Tensor) -> list[Stage]:
    """Return the stages of a network, first to last.

    Args:
        network: pictures -> features, in evaluation mode.
        example: (n, 3, S, S) a few pictures; S decides the resolutions.
    """
    stages: list[list[str]] = []
    begun = float("inf")  # the height of what the present stage works on
    for layer in _layers(network, example):
        if layer.learns and (layer.tokens or layer.height <= SMALLER * begun):
            stages.append([])
            begun = layer.height
        if stages:
            stages[-1].append(layer.name)
    return [Stage(tuple(layers)) for layers in stages]


def parameters_by_stage(
    network: nn.Module, stages: Sequence[Stage]
) -> list[list[tuple[str, nn.Parameter]]]:
    """Return the named parameters of each stage; those of no layer belong to the first."""
    found: list[list[tuple[str, nn.Parameter]]] = [[] for _ in stages] or [[]]
    for name, parameter in network.named_parameters():
        found[_stage_of(name, stages)].append((name, parameter))
    return found


def _stage_of(name: str, stages: Sequence[Stage]) -> int:
    for number, stage in enumerate(stages):
        if any(name.startswith(f"{layer}.") for layer in stage.layers):
            return number
    return 0


def cut(
    network: nn.Module, stages: Sequence[Stage], number: int, example: Tensor
) -> tuple[Front, Back] | None:
    """Cut a network in front of a stage, counted from 0.

    Both parts share the network's parameters. Together they do what the whole does only if nothing
    passes the cut beside the activations, which is checked with the example.

    Args:
        network: pictures -> features, in evaluation mode.
        stages: of the network.
        number: of the first stage behind the cut.
        example: (n, 3, S, S), n > 1, pictures that differ much.

    Returns:
        The front (pictures -> activations) and the back (activations -> features), or None where
        the two together do not give what the whole gives.
    """
    names = [layer for stage in stages[:number] for layer in stage.layers]
    front = Front(network, names[-1])
    picture = example[:1].clone()
    with torch.no_grad():
        expected = network(example)
        try:
            back = Back(network, picture, _results(network, names, picture))
            found = back(front(example))
        except Exception:  # what a network's own code makes of layers that are no longer there
            return None
    return (front, back) if agree(expected, found) else None


def _results(network: nn.Module, names: Sequence[str], picture: Tensor) -> dict[str, Tensor]:
    """Return what each of these layers gives for a picture."""
    results: dict[str, Tensor] = {}
    handles = []
    for name in names:

        def note(_: nn.Module, __: Any, result: Tensor, name: str = name) -> None:
            results[name] = result.clone()

        handles.append(network.get_submodule(name).register_forward_hook(note))
    try:
        network(picture)
    finally:
        for handle in handles:
            handle.remove()
    return {name: results[name] for name in names}


def _height(result: Tensor) -> float:
    """Return the height in pixels; 1 for a vector, and for tokens the root of their number."""
    if result.ndim == 4:
        return float(result.shape[2])
    return float(result.shape[1]) ** 0.5 if result.ndim == 3 else 1.0


def _layers(network: nn.Module, example: Tensor) -> list[_Layer]:
    """Return the layers that run one after the other: the network's own children, in that order.

    A plain nn.Sequential is replaced by what is in it, and so on; a block stays whole.
    """
    found: list[_Layer] = []
    names = list(_unfolded("", network))
    handles = []
    for name in names:
        module = network.get_submodule(name)

        def note(module: nn.Module, _: Any, result: Any, name: str = name) -> None:
            if isinstance(result, Tensor):
                learns = any(parameter.ndim > 1 for parameter in module.parameters())
                found.append(_Layer(name, learns, _height(result), result.ndim == 3))

        handles.append(module.register_forward_hook(note))
    try:
        with torch.no_grad():
            network(example)
    finally:
        for handle in handles:
            handle.remove()
    times = Counter(layer.name for layer in found)
    return [layer for layer in found if times[layer.name] == 1]


def _unfolded(prefix: str, module: nn.Module) -> Iterator[str]:
    for name, child in module.named_children():
        if type(child).forward is nn.Sequential.forward and len(list(child.children())):
            yield from _unfolded(f"{prefix}{name}.", child)
        else:
            yield f"{prefix}{name}"
