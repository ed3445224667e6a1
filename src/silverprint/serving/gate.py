"""Every request passes here first: who may come in, how much, for how long; and what is noted.

Written on ASGI itself, because a body is counted while it arrives and a slow one is cut off.
"""

import asyncio
import hmac
import logging
from time import perf_counter
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from silverprint.serving.refusals import Refusal, busy
from silverprint.serving.state import State

log = logging.getLogger(__name__)
OPEN = ("/page/", "/health", "/v2/health/", "/docs", "/openapi.json")  # to everyone, always
GONE = 499  # what is noted where the client went away; it is never sent


class Gate:
    """The layer around all routes."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app, self._state = app, state
        self._settings, self._metrics = state.settings, state.metrics
        self._held = 0
        state.metrics.held_bytes.set_function(lambda: self._held)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        body = _Body(self, receive, self._settings.timeout)
        try:
            self._admit(scope)
            await self._app(scope, body.receive, exchange.send)
        except Refusal as refusal:
            await refusal.response(scope["path"])(scope, receive, exchange.send)
        except ClientDisconnect:
            exchange.status = GONE
        finally:
            self._held -= body.size
            self._note(exchange, body.size)

    def take(self, count: int, size: int) -> None:
        """Count bytes that arrived for a body that is now of this size.

        Raises:
            Refusal: the body, or all bodies together, are too large.
        """
        self._held += count
        if size > self._settings.max_bytes:
            raise self._too_large()
        if self._held > self._settings.held_bytes:
            raise busy("The server holds as many uploads as it can")

    def _admit(self, scope: Scope) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        if self._state.stopping and not path.startswith(OPEN):
            raise Refusal(503, "The server is stopping; ask another.", {"connection": "close"})
        if not (path == "/" or path.startswith(OPEN)):
            self._check_key(headers)
        coding = headers.get("content-encoding", "identity")
        if coding != "identity":
            raise Refusal(415, f"Content-Encoding {coding[:40]!r} is not taken; send it as it is.")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._settings.max_bytes:
            raise self._too_large()

    def _check_key(self, headers: Headers) -> None:
        key = self._settings.api_key
        if key is None:
            return
        given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), key.encode()):
            what = "is not the right one" if given else "is missing"
            raise Refusal(
                401,
                f"The API key {what}; send it as X-API-Key, or as Authorization: Bearer KEY.",
                {"www-authenticate": "Bearer"},
            )

    def _too_large(self) -> Refusal:
        return Refusal(
            413,
            f"The body is above the limit of {self._settings.max_bytes:,} bytes; send fewer or "
            "smaller pictures.",
        )

    def _note(self, exchange: "_Exchange", size: int) -> None:
        seconds = perf_counter() - exchange.began
        route = getattr(exchange.scope.get("route"), "path", "other")
        self._metrics.requests.labels(route, exchange.status).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        noted = {
            "method": exchange.scope["method"],
            "path": exchange.scope["path"][:200],
            "status": exchange.status,
            "milliseconds": round(1000 * seconds, 1),
            "bytes": size,
            "client": (exchange.scope.get("client") or ("",))[0],
            **exchange.scope.get("silverprint.noted", {}),
        }
        log.info("request", extra=noted)


class _Exchange:
    """What is remembered of a request until it is noted."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.began = perf_counter()
        self.status = 500
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


class _Body:
    """A body as it arrives: counted, and cut off when it takes too long."""

    def __init__(self, gate: Gate, receive: Receive, timeout: float) -> None:
        self.size = 0
        self._gate, self._receive, self._timeout = gate, receive, timeout
        self._deadline: float | None = None
        self._complete = False

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()  # which waits for the client to go away
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self._timeout
        try:
            async with asyncio.timeout_at(self._deadline):
                message: dict[str, Any] = dict(await self._receive())
        except TimeoutError:
            raise Refusal(
                408,
                f"The body did not arrive within {self._timeout:g} s; send it faster, or less.",
                {"connection": "close"},
            ) from None
        if message["type"] == "http.request":
            self._complete = not message.get("more_body", False)
            self.size += (count := len(message.get("body", b"")))
            self._gate.take(count, self.size)
        return message
