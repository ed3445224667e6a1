"""A page on which a person labels pictures, one after another, by keyboard.

It is for the person at this computer: it answers only requests that name this computer, changes
something only for its own page, and only for the page of this very run.
"""

import io
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol
from urllib.parse import urlsplit

from fastapi import FastAPI
from PIL import Image
from pydantic import BaseModel, ConfigDict
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from silverprint.errors import ImageError, SilverprintError
from silverprint.runtime.images import decode
from silverprint.serving.refusals import Refusal, json_response
from silverprint.serving.static import PAGE, SAFE, TYPES

FILES = {
    name: Path(__file__).parent / "label" / name for name in ("index.html", "label.css", "label.js")
} | {name: PAGE / name for name in ("page.css", "icon.svg")}
SIDES = {"large": 1400, "small": 160}  # pixels of a picture's longer side
BODY = 4096  # bytes of a request's body
KEPT = 64  # pictures that are kept as they were sent
OURS = {**SAFE, "cross-origin-resource-policy": "same-origin", "permissions-policy": "camera=()"}


class Labels(Protocol):
    """Where labels go; both ways raise a SilverprintError where it cannot be done."""

    def put(self, picture: Path, label: str) -> None:
        """Give a picture its label."""

    def remove(self, picture: Path) -> None:
        """Take its label back."""


@dataclass(frozen=True)
class Offered:
    """A picture to be labelled.

    Attributes:
        name: what to call it.
        source: the file.
        guesses: the likeliest classes with their probabilities, highest first.
    """

    name: str
    source: Path
    guesses: tuple[tuple[str, float], ...]


@dataclass
class Session:
    """One sitting.

    Attributes:
        pictures: what is offered, in this order.
        classes: names to choose from; new ones join at the end.
        labels: where labels go.
        file: what to call that.
        advice: gives what to do with the file now: a command, and what speaks against it.
        given: labels by picture's number, in the order in which they were given.
        key: names this sitting, so that the page of an earlier one cannot label in it.
    """

    pictures: Sequence[Offered]
    classes: list[str]
    labels: Labels
    file: str
    advice: Callable[[], tuple[str, str]]
    given: dict[int, str] = field(default_factory=dict)
    key: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def to_json(self) -> dict[str, Any]:
        """Return all that the page shows."""
        command, trouble = self.advice()
        pictures = [
            {"name": one.name, "guesses": [[label, round(p, 4)] for label, p in one.guesses]}
            for one in self.pictures
        ]
        given = [[number, label] for number, label in self.given.items()]
        return {"key": self.key, "classes": self.classes, "file": self.file, "command": command,
                "trouble": trouble, "pictures": pictures, "given": given}  # fmt: skip

    def give(self, number: int, label: str | None) -> str | None:
        """Label a picture, or take its label back; return the label as it was written."""
        picture = self.picture(number).source
        with self.lock:
            if label is None:
                self.labels.remove(picture)
                self.given.pop(number, None)
                return None
            label = self._known(" ".join(label.split()))
            self.labels.put(picture, label)
            self.given.pop(number, None)
            self.given[number] = label
            if label not in self.classes:
                self.classes.append(label)
            return label

    def picture(self, number: int) -> Offered:
        """Return a picture by its number."""
        if not 0 <= number < len(self.pictures):
            raise Refusal(404, f"There is no picture {number} here.")
        return self.pictures[number]

    def _known(self, label: str) -> str:
        """Return the class that differs in capitals only, so that nobody makes two of one."""
        if label in self.classes:
            return label
        alike = (name for name in self.classes if name.casefold() == label.casefold())
        return next(alike, label)


class Label(BaseModel):
    """What a PUT brings."""

    model_config = ConfigDict(extra="forbid", strict=True)
    label: str


def create_app(session: Session, hosts: Sequence[str]) -> FastAPI:
    """Return the application.

    Args:
        session: what is labelled.
        hosts: names and ports by which it may be called, such as "127.0.0.1:8001".
    """
    app = FastAPI(
        docs_url=None, redoc_url=None, openapi_url=None,
        exception_handlers={Refusal: _refused, SilverprintError: _refused},
    )  # fmt: skip
    app.state.serving = SimpleNamespace(stopping=False)  # which the server sets
    app.add_middleware(Door, hosts=frozenset(hosts))
    sent = lru_cache(KEPT)(_jpeg)

    def check(key: str) -> None:
        if key != session.key:
            raise Refusal(410, "This page is of an earlier run; reload it.")

    @app.get("/")
    def page() -> Response:
        return FileResponse(FILES["index.html"], 200, OURS, TYPES[".html"])

    @app.get("/page/{name}")
    def part(name: str) -> Response:
        if name not in FILES:
            raise Refusal(404, f"There is no page {name[:80]!r} here.")
        return FileResponse(FILES[name], 200, OURS, TYPES[FILES[name].suffix])

    @app.get("/session")
    def state() -> Response:
        with session.lock:
            return json_response(session.to_json(), headers={**OURS, "cache-control": "no-store"})

    @app.get("/pictures/{key}/{number}/{size}")
    def picture(key: str, number: int, size: str) -> Response:
        check(key)
        if size not in SIDES:
            raise Refusal(404, f"A picture is {' or '.join(SIDES)}, not {size[:80]!r}.")
        kept = {**OURS, "cache-control": "private, max-age=86400"}
        content = sent(session.picture(number).source, SIDES[size])
        return Response(content, 200, kept, "image/jpeg")

    @app.put("/labels/{key}/{number}")
    def put(key: str, number: int, given: Label) -> Response:
        check(key)
        return json_response({"label": session.give(number, given.label)}, headers=OURS)

    @app.delete("/labels/{key}/{number}")
    def delete(key: str, number: int) -> Response:
        check(key)
        return json_response({"label": session.give(number, None)}, headers=OURS)

    return app


class Door:
    """Lets in whoever calls this computer by its name; changes only from our own page."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "http" and (refusal := self._refusal(scope)):
            await refusal.response(scope["path"])(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host not in self._hosts:  # else another site could point its own name at this computer
            return Refusal(403, f"This page is at {min(self._hosts)}, not at {host[:80]!r}.")
        if scope["method"] in ("GET", "HEAD"):
            return None
        if urlsplit(headers.get("origin", "")).netloc != host:
            return Refusal(403, "Labels are taken from this server's own page only.")
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal() or int(length) > BODY:
            return Refusal(413, f"A request here has at most {BODY:,} bytes, and says so.")
        return None


def _jpeg(source: Path, side: int) -> bytes:
    image = Image.fromarray(decode(source, min_side=side))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=88)
    return content.getvalue()


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, Refusal):
        return error.response(request.url.path)
    status = 404 if isinstance(error, ImageError) else 409
    return json_response({"detail": str(error)}, status, OURS)
