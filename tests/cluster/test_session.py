import subprocess
import sys
from types import SimpleNamespace

import pytest

from silverprint.cluster import session
from silverprint.cluster.session import ask, check_place, connect, run
from silverprint.errors import ConfigError, DataError, MissingExtraError, ServerError

from .conftest import FakeRay, RayError


class Doubler:
    """Adds what is shared to twice a chunk; refuses 13, and breaks at 99."""

    def __init__(self, shared: int) -> None:
        self.shared = shared

    def work(self, chunk: int) -> int:
        if chunk == 13:
            raise DataError("13 is no number for us.")
        return 2 * chunk + self.shared // (chunk != 99)


@pytest.mark.parametrize("on", ["ray", "auto", "head:6379", "10.0.0.1:6379", "ray://head:10001",
                                "ray://[::1]:10001"])  # fmt: skip
def test_places(on: str) -> None:
    check_place(on)


@pytest.mark.parametrize(
    "on", ["", "Ray", "ray://", "head", "http://head:80", "ray://head", "a b:1"]
)
def test_what_is_no_place(on: str) -> None:
    with pytest.raises(ConfigError, match=r"on must be ray \(this machine\), auto or HOST:PORT"):
        check_place(on)


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'pip install "silverprint\[cluster\]"'):
        connect("ray")


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_nobody_is_there(scheme: str, fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["ray"], "is_initialized", lambda: False)
    on = f"{scheme}127.0.0.1:9"
    with pytest.raises(ServerError, match=f"no Ray cluster can be used at {on}: .*refused"):
        connect(on)
    assert fake_ray.options == {}


def test_ray_tells_nobody_that_it_is_used(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["ray"], "is_initialized", lambda: False)
    told = {}
    vars(sys.modules["ray"])["init"] = lambda **options: told.update(options)
    monkeypatch.setitem(sys.modules, "ray._private.worker", SimpleNamespace())
    connect("ray")
    assert session.os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert told["address"] == "local"
    assert told["include_dashboard"] is False
    assert fake_ray.nodes


def test_each_chunk_comes_once_with_its_number(fake_ray: FakeRay) -> None:
    found = list(run("ray", Doubler, 1000, range(5, 12)))
    assert sorted(found) == [(i, 2 * chunk + 1000) for i, chunk in enumerate(range(5, 12))]
    assert found != sorted(found)
    assert fake_ray.options["compute"] == 2  # the nodes that live and have processors
    assert fake_ray.options["num_cpus"] == 2  # half of the smaller one


def test_only_some_are_read_ahead(fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "AT_ONCE", 4)
    read = []
    chunks = (read.append(i) or i for i in range(10))
    found = run("ray", Doubler, 1000, chunks)
    next(found)
    assert read == [0, 1, 2, 3]
    assert sorted(number for number, _ in found) == [0, 2, 3, 4, 5, 6, 7, 8, 9]
    assert fake_ray.options["compute"] == 2


def test_one_worker_a_gpu(fake_ray: FakeRay) -> None:
    fake_ray.nodes = [session_node(CPU=8, GPU=2), session_node(CPU=8)]
    list(run("ray", Doubler, 0, range(9), gpu=True))
    assert fake_ray.options["compute"] == 2
    assert fake_ray.options["num_gpus"] == 1


def session_node(**resources: float) -> dict:
    return {"Alive": True, "Resources": resources}


def test_a_cluster_without_nodes(fake_ray: FakeRay) -> None:
    fake_ray.nodes = []
    with pytest.raises(ServerError, match="the Ray cluster at auto has no node with a CPU"):
        list(run("auto", Doubler, 0, range(3)))


def test_what_a_user_can_put_right_comes_back_as_it_was(fake_ray: FakeRay) -> None:
    with pytest.raises(DataError, match=r"^13 is no number for us\.$"):
        list(run("ray", Doubler, 0, [12, 13]))
    with pytest.raises(DataError, match="13 is no number"):
        ask("ray", Doubler(0).work, 13)
    assert ask("ray", Doubler(1).work, 2) == 5
    assert fake_ray.actors


def test_another_release_on_a_node(fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run("ray", Doubler, 0, range(3))
    monkeypatch.setattr(session, "_outcome", lambda *_: session.pickle.dumps(("0.0.9", b"")))
    with pytest.raises(ServerError, match=r"a node of the cluster has silverprint 0\.0\.9, this"):
        list(found)
    assert fake_ray.actors


def wrapped(cause: BaseException | None, text: str = "worker\nTraceback") -> RayError:
    error = RayError(text)
    error.cause = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (wrapped(ZeroDivisionError("ours")), ZeroDivisionError, "^ours$"),
        (wrapped(wrapped(KeyError("ours"))), KeyError, "ours"),
        (wrapped(None, "actor died.\nmore"), ServerError, r"was lost, .*: actor died\. Run again:"),
        (
            ConnectionError("gone"),
            ServerError,
            "the Ray cluster at ray was lost, .*gone. Run again",
        ),
        (
            wrapped(ModuleNotFoundError("No module named 'silverprint'")),
            ServerError,
            "a node of the cluster at ray has no silverprint; install it there: pip install",
        ),
    ],
)
def test_errors_of_ray_in_words(
    fake_ray: FakeRay, error: Exception, kind: type[Exception], text: str
) -> None:
    fake_ray.fails = (1, error)
    found = run("ray", Doubler, 0, range(3))
    next(found)
    with pytest.raises(kind, match=text):
        list(found)


def test_the_command_line_loads_no_ray() -> None:
    heavy = "{'ray', 'pyarrow', 'fsspec', 'silverprint.cluster'}"
    code = f"import silverprint.cli.app, sys; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
