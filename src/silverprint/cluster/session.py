"""One Ray session, quiet and without telemetry; its faults in words.

ray                 this machine alone, in a session that ends with the command
auto, HOST:PORT     the cluster that this machine belongs to, or the one whose head is there
ray://HOST:PORT     a cluster, from outside, through its client server (port 10001)
"""

import contextlib
import itertools
import logging
import os
import pickle
import re
import socket
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any, Protocol, TypeVar

from silverprint import __version__
from silverprint.errors import ConfigError, MissingExtraError, ServerError, SilverprintError

LOCAL, CLIENT = "ray", "ray://"
PLACES = re.compile(r"ray|auto|(ray://)?([^\s/:]+|\[[^\s/]+\]):[0-9]+")
LOCAL_STORE = 512 * 2**20  # bytes of shared memory for what travels
AT_ONCE = 256  # chunks whose names Ray holds at a time
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # what its daemons think; errors reach us as such
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it warns of a future release
    "RAY_worker_niceness": "0",  # else, on a busy machine, the pass that is waited for stands still
}
_Result = TypeVar("_Result")


class Worker(Protocol):
    """What does the work, made once on each node from what all chunks share."""

    def work(self, chunk: Any) -> Any:
        """Return what comes of a chunk; the same again where its result was lost."""


def check_place(on: str) -> None:
    """Refuse what is no place.

    Raises:
        ConfigError: it is not written like one.
    """
    if not isinstance(on, str) or not PLACES.fullmatch(on):
        raise ConfigError(
            "on must be ray (this machine), auto or HOST:PORT (a cluster that this machine belongs "
            f"to), or ray://HOST:10001 (a cluster, from outside); got {on!r}."
        )


def connect(on: str) -> Any:
    """Return the ray module with a session; one that the caller's program began is used as it is.

    Raises:
        ConfigError: the place is written wrongly.
        MissingExtraError: Ray is not installed.
        ServerError: no cluster answers there, or one of another version.
    """
    check_place(on)
    os.environ.update(QUIET)  # before Ray is imported: it reads them then
    try:
        with _silence():
            ray = import_module("ray")
        import_module("pyarrow")
    except ImportError:
        raise MissingExtraError(f"--on {on}", "cluster") from None
    if ray.is_initialized():
        return ray
    options: dict[str, Any] = {"address": on}
    if on == LOCAL:
        options = {"address": "local", "include_dashboard": False, "num_cpus": os.cpu_count()}
        options["object_store_memory"] = LOCAL_STORE
    try:
        _knock(on)  # Ray itself would wait for minutes
        with _silence():
            ray.init(logging_level=logging.CRITICAL, log_to_driver=False, **options)
    except Exception as error:  # Ray raises a dozen kinds
        if on == LOCAL:
            raise ServerError(f"Ray does not start on this machine: {_words(error)}.") from error
        raise ServerError(
            f"no Ray cluster can be used at {on}: {_words(error)}. `ray start --head` starts one, "
            "and both sides need the same Ray, Python and RAY_AUTH_MODE; --on ray takes this "
            "machine alone."
        ) from error
    # Ray prints what its daemons report even with log_to_driver=False.
    vars(import_module("ray._private.worker"))["_worker_logs_enabled"] = False
    return ray


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Let neither Python nor Ray's own libraries write to stderr; what matters is raised."""
    sys.stderr.flush()
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def _knock(on: str) -> None:
    """Connect to what is written HOST:PORT, and hang up.

    Raises:
        OSError: nobody is there.
    """
    host, colon, port = on.removeprefix(CLIENT).rpartition(":")
    if colon:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def ask(on: str, function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Call a function on a node, one with a GPU if there is any, and return what it returns.

    Raises:
        SilverprintError: what the function raised, or as `connect`.
    """
    ray = connect(on)
    gpus = sum(node["Resources"].get("GPU", 0) >= 1 for node in _nodes(ray, "CPU", on))
    call = ray.remote(num_cpus=0, num_gpus=min(1, gpus))(_outcome)
    with _in_words(ray, on):
        answer: _Result = _opened(ray.get(call.remote(function, *arguments)))
        return answer


def run(
    on: str, kind: Callable[[Any], Worker], shared: Any, chunks: Iterable[Any], *, gpu: bool = False
) -> Iterator[tuple[int, Any]]:
    """Yield each chunk's number and result, in any order, each once.

    One worker a node takes all of its cores, or one a GPU. What a node had in work when it was lost
    is done again by another.

    Args:
        on: the place.
        kind: makes a worker of what is shared.
        shared: sent to each node once.
        chunks: what is to be done; at most AT_ONCE of them are read ahead.
        gpu: whether a worker needs a GPU.

    Raises:
        SilverprintError: what a worker raised, or the cluster is gone, or as `connect`.
    """
    ray = connect(on)
    with _in_words(ray, on):
        shared = [ray.put(shared)]  # in a list, or Ray would put what it stands for in its place
        begin, following = _calls(ray, on, _Pipeline, on, kind, shared, gpu)
        numbered = enumerate(chunks)
        while some := list(itertools.islice(numbered, AT_ONCE)):
            begin([{"number": number, "chunk": pickle.dumps(chunk)} for number, chunk in some])
            while (row := following()) is not None:
                yield row[0], _opened(row[1])


def _calls(
    ray: Any, on: str, pipeline: "type[_Pipeline]", *arguments: Any
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the two methods of a pipeline, which is here, or on the cluster for Ray's client.

    Ray Data does not run through the client.
    """
    if not on.startswith(CLIENT):
        here = pipeline(*arguments)
        return here.begin, here.following
    there = ray.remote(num_cpus=0)(pipeline).remote(*arguments)
    return (
        lambda items: ray.get(there.begin.remote(items)),
        lambda: ray.get(there.following.remote()),
    )


class _Pipeline:
    """Chunks go into Ray Data, and results come out, one at a time."""

    def __init__(
        self, on: str, kind: Callable[[Any], Worker], shared: list[Any], gpu: bool
    ) -> None:
        nodes = _nodes(import_module("ray"), "GPU" if gpu else "CPU", on)
        self._kind, self._shared = kind, shared
        self._workers = len(nodes)
        # Ray spreads them, one a node. Half of a node is asked for, so that it has room for the
        # worker of one that is lost.
        self._needs = {"num_cpus": min(node["Resources"]["CPU"] for node in nodes) / 2}
        if gpu:
            self._workers = sum(int(node["Resources"]["GPU"]) for node in nodes)
            self._needs = {"num_gpus": 1}
        self._data = import_module("ray.data")
        self._data.DataContext.get_current().enable_progress_bars = False  # we show progress
        logging.getLogger("ray.data").setLevel(logging.CRITICAL + 1)

    def begin(self, items: list[dict[str, Any]]) -> None:
        """Start to work on some chunks."""
        blocks = self._data.from_items(items, override_num_blocks=len(items))
        results = blocks.map_batches(
            _Actor, fn_constructor_args=(self._kind, self._shared), batch_size=1,
            batch_format="pyarrow", **self._needs,
            compute=self._data.ActorPoolStrategy(size=min(self._workers, len(items))),
        )  # fmt: skip
        self._rows = iter(results.iter_rows())

    def following(self) -> tuple[int, bytes] | None:
        """Return the number and the outcome of a chunk, when one is done; None after the last."""
        row = next(self._rows, None)
        return None if row is None else (int(row["number"]), row["result"])


class _Actor:
    """Lives on a node; makes the worker when the first chunk comes."""

    def __init__(self, kind: Callable[[Any], Worker], shared: list[Any]) -> None:
        self._kind, self._shared = kind, shared
        self._worker: Worker | None = None

    def __call__(self, batch: Any) -> Any:
        arrow = import_module("pyarrow")
        result = _outcome(self._work, batch["chunk"][0].as_py())
        columns = {"number": batch["number"], "result": arrow.array([result], arrow.large_binary())}
        return arrow.table(columns)

    def _work(self, chunk: bytes) -> Any:
        if self._worker is None:
            self._worker = self._kind(import_module("ray").get(self._shared[0]))
        return self._worker.work(pickle.loads(chunk))  # noqa: S301 - from our own driver


def _outcome(function: Callable[..., Any], *arguments: Any) -> bytes:
    """Return this release and, pickled, what a function returns or what a user can put right."""
    try:
        found = function(*arguments)
    except SilverprintError as error:
        found = error
    return pickle.dumps((__version__, pickle.dumps(found)))


def _opened(outcome: bytes) -> Any:
    release, content = pickle.loads(outcome)  # noqa: S301 - from our own nodes
    if release != __version__:
        raise ServerError(
            f"a node of the cluster has silverprint {release}, this machine {__version__}; install "
            "one and the same on all."
        )
    found = pickle.loads(content)  # noqa: S301
    if isinstance(found, SilverprintError):
        raise found
    return found


def count_nodes(on: str) -> int:
    """Return how many nodes can work."""
    return len(_nodes(connect(on), "CPU", on))


def _nodes(ray: Any, kind: str, on: str) -> list[dict[str, Any]]:
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get(kind, 0) >= 1]
    if not nodes:
        raise ServerError(f"the Ray cluster at {on} has no node with a {kind}; add one.")
    return nodes


@contextlib.contextmanager
def _in_words(ray: Any, on: str) -> Iterator[None]:
    """Turn Ray's errors into ours; a fault of our own code comes out as itself."""
    try:
        yield
    except (ray.exceptions.RayError, ConnectionError) as error:
        cause = _root(error)
        if isinstance(cause, ModuleNotFoundError) and "silverprint" in str(cause):
            raise ServerError(
                f"a node of the cluster at {on} has no silverprint; install it there: "
                f'pip install "silverprint[train,cluster]=={__version__}"'
            ) from error
        if not isinstance(cause, ray.exceptions.RayError | ConnectionError):
            raise cause from None
        raise ServerError(
            f"the Ray cluster at {on} was lost, or a node of it again and again (memory?): "
            f"{_words(cause)}. Run again: what was looked at is kept."
        ) from error


def _root(error: BaseException) -> BaseException:
    """Return what an error of Ray's wraps."""
    while inner := getattr(error, "cause", None) or error.__cause__:
        error = inner
    return error


def _words(error: BaseException) -> str:
    """Return the first line of a message, without its full stop."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(".")
