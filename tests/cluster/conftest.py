"""Ray in one process: two nodes, what comes back out of order, and what it is told to go wrong."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class RayError(Exception):
    """As ray.exceptions.RayError; `cause` is what it wraps."""

    cause: BaseException | None = None


class FakeRay:
    """Stands in for ray and ray.data.

    Attributes:
        options: what the last `map_batches` was told.
        nodes: as ray.nodes() gives them.
        fails: raised once that many chunks are done.
    """

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.nodes = [_node(CPU=8), _node(CPU=4), _node(alive=False, CPU=4), _node(GPU=1)]
        self.fails: tuple[int, BaseException] | None = None
        self.actors: list[Any] = []

    def module(self) -> ModuleType:
        ray = ModuleType("ray")
        vars(ray).update(
            is_initialized=lambda: True, nodes=lambda: self.nodes, put=lambda value: value,
            get=lambda value: value, exceptions=SimpleNamespace(RayError=RayError),
            remote=lambda **_: lambda function: SimpleNamespace(remote=function),
        )  # fmt: skip
        return ray

    def data(self) -> ModuleType:
        data = ModuleType("ray.data")
        vars(data).update(
            from_items=lambda items, **_: _Blocks(self, items),
            ActorPoolStrategy=lambda size: size,
            DataContext=SimpleNamespace(get_current=SimpleNamespace),
        )
        return data


class _Blocks:
    def __init__(self, ray: FakeRay, items: list[dict[str, Any]]) -> None:
        self.ray, self.items = ray, items

    def map_batches(self, actor: Any, fn_constructor_args: Any, **options: Any) -> "_Blocks":
        self.ray.options = options
        self.ray.actors = [actor(*fn_constructor_args) for _ in range(options["compute"])]
        return self

    def iter_rows(self) -> Any:
        import pyarrow

        numbers = list(range(len(self.items)))
        # Each pair the other way round, and each actor in turn.
        for done, place in enumerate(sorted(numbers, key=lambda number: number ^ 1)):
            if self.ray.fails and self.ray.fails[0] == done:
                raise self.ray.fails[1]
            actor = self.ray.actors[done % len(self.ray.actors)]
            yield actor(pyarrow.Table.from_pylist([self.items[place]])).to_pylist()[0]


def _node(*, alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"Alive": alive, "Resources": resources}


@pytest.fixture
def fake_ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    pytest.importorskip("pyarrow")
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake.module())
    monkeypatch.setitem(sys.modules, "ray.data", fake.data())
    return fake
