"""Saying no: a status and one sentence of JSON."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response


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
