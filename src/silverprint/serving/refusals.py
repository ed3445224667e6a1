"""Saying no: a status and one sentence of JSON."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

MEANINGS = {
    401: "The API key is missing or wrong",
    404: "No such model",
    408: "The body arrived too slowly",
    413: "Too many bytes, pixels or pictures",
    415: "Content that is not taken",
    422: "Content that cannot be read",
    429: "Too much to do; Retry-After says when to come again",
    503: "The server is stopping",
}


def documented(body: type[BaseModel], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI is told of refusals, all of them if none are named."""
    return {
        status: {"model": body, "description": MEANINGS[status]} for status in statuses or MEANINGS
    }


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault
    """A request that is answered with an error.

    Attributes:
        status: the HTTP status.
        sentence: what is wrong, and what to do.
        headers: to send with it.
        answers: one for each picture, where pictures were the reason.
    """

    def __init__(
        self,
        status: int,
        sentence: str,
        headers: Mapping[str, str] | None = None,
        answers: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers
        self.answers = answers

    def response(self, path: str) -> Response:
        """Return the answer in the form that the path's callers expect."""
        body: dict[str, Any] = {"error" if path.startswith("/v2") else "detail": self.sentence}
        if self.answers is not None:
            body["answers"] = self.answers
        return json_response(body, self.status, self.headers)


def busy(why: str) -> Refusal:
    """Return what a server with too much to do says."""
    return Refusal(429, f"{why}; try again in a moment.", {"retry-after": "1"})


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a value as JSON."""
    body = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return Response(body, status, headers, "application/json")
