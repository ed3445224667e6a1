"""Running the application: the socket, clients that dawdle, and the end."""

import asyncio
import functools
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from silverprint.errors import ConfigError
from silverprint.serving.settings import Settings
from silverprint.serving.state import State

BACKLOG = 512  # connections accepted in one go
FILES = 8192  # that may be open, a connection being one; where the system lets us
OTHER_FILES = 64
HEAD_SECONDS = 10.0  # for a request's headers, or for the rest of a body that was refused


@functools.cache
def most_connections() -> int:
    """Return how many connections may be open; without a bound, accepting would fail at last."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        soft = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, soft - BACKLOG - OTHER_FILES)


class Connection(H11Protocol):
    """uvicorn's connection, which by itself waits for ever for the headers of a first request."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the first request's headers their time."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            transport.abort()
        else:
            self._wait()

    def handle_events(self) -> None:
        """Stop the clock when a request's headers are complete."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Give the next request its time, and a refused body the time to end."""
        self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


class Server(uvicorn.Server):
    """uvicorn's server; on a signal it says that it is stopping, and ends with exit code 0."""

    def __init__(self, config: uvicorn.Config, state: State, ready: Callable[[], Any]) -> None:
        super().__init__(config)
        self._state, self._ready = state, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        most_connections()  # before it matters
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's names
        """Finish what was taken on and stop; stop at once when Ctrl-C comes twice."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self._state.stopping = self.should_exit = True


def bind(host: str, port: int, options: str = "--host and --port") -> socket.socket:
    """Return a listening socket; port 0 stands for any that is free, `options` say it otherwise.

    Raises:
        ConfigError: the address is unknown or taken.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"port must lie within 0 to 65535; got {port}.")
    listening = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With its protocol named, asyncio sends small answers without waiting for more.
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        if listening is not None:
            listening.close()
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(
            f"{host}:{port} cannot be served on: {reason}; choose another with {options}."
        ) from None
    return listening


def address_of(listening: socket.socket) -> str:
    """Return the socket's address for a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_server(app: FastAPI, settings: Settings, ready: Callable[[], Any]) -> Server:
    """Return a server; its `run(sockets=[...])` serves until a signal comes.

    Args:
        app: what create_app returned.
        settings: as given to create_app.
        ready: called once requests are taken.
    """
    config = uvicorn.Config(
        app, http=Connection, ws="none", lifespan="on", log_config=None, access_log=False,
        server_header=False, backlog=BACKLOG, proxy_headers=False,
        timeout_graceful_shutdown=round(2 * settings.timeout) + 1,
    )  # fmt: skip
    return Server(config, app.state.serving, ready)
