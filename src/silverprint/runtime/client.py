"""Asking a `silverprint serve` instead of a bundle: the same calls, the same answers."""

import contextlib
import http.client
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlencode, urlsplit

import numpy as np
from numpy.typing import NDArray

from silverprint.errors import ImageError, RefusedError, ServerError
from silverprint.runtime.images import read_file
from silverprint.runtime.predictor import CHUNK, Picture, Prediction

CONNECTIONS = 4  # pictures on their way at once
TRIES = 30  # of a request that a busy server puts off
LONGEST_WAIT = 10.0  # seconds between them
TIMEOUT = 60.0  # seconds without a sign from the server


def is_address(text: str) -> bool:
    """Say whether this is a server's address rather than a path."""
    return text.startswith(("http://", "https://"))


class RemoteModel:
    """One model of a server.

    Attributes:
        address: where the server is, without the query.
        name: of the model; ?model=NAME in the address chooses it, else it is the first.
        classes: class names in the order of the probabilities.

    Raises:
        ServerError: there is no such server or model, or it refuses.
    """

    def __init__(self, address: str, api_key: str | None = None) -> None:
        self._parts = _split(address)
        self.address = self._parts._replace(query="", fragment="").geturl()
        self._headers = {} if api_key is None else {"X-API-Key": api_key}
        self._idle: list[http.client.HTTPConnection] = []
        try:
            models = self._models()
        finally:
            self._close()
        wanted = parse_qs(self._parts.query).get("model", [models[0]["name"]])[-1]
        known = {model["name"]: model for model in models}
        if wanted not in known:
            raise ServerError(f"{self.address} serves {', '.join(known)}, not {wanted!r}.")
        self.name = wanted
        self.classes = tuple(known[wanted]["classes"])
        self._max_bytes = known[wanted]["limits"]["bytes"]

    def predict(
        self, pictures: Sequence[Picture], *, names: Sequence[str], top: int = 3
    ) -> Iterator[Prediction]:
        """Yield one answer a picture, in order; a picture that cannot be read answers so."""
        for name, answer in self._answers(pictures, names, top):
            if isinstance(answer, ImageError):
                yield Prediction(name, error=answer.reason)
            else:
                likeliest = tuple((label, value) for label, value in answer["top"])
                unknown, labels = answer.get("unknown") is True, answer.get("labels")
                yield Prediction(
                    name, answer["label"], answer["probability"], likeliest, unknown,
                    None if labels is None else tuple(labels),
                )  # fmt: skip

    def stream(
        self, pictures: Iterable[Picture], names: Iterable[str]
    ) -> Iterator[tuple[str, NDArray[np.float32] | ImageError]]:
        """Yield each picture's name and its (classes,) probabilities, or why it cannot be read."""
        index = {label: i for i, label in enumerate(self.classes)}
        for name, answer in self._answers(pictures, names, len(self.classes)):
            if isinstance(answer, ImageError):
                yield name, answer
                continue
            probabilities = np.zeros(len(index), np.float32)
            for label, value in answer["top"]:
                probabilities[index[label]] = value
            yield name, probabilities

    def _answers(
        self, pictures: Iterable[Picture], names: Iterable[str], top: int
    ) -> Iterator[tuple[str, dict[str, Any] | ImageError]]:
        pairs = zip(pictures, names, strict=False)
        try:
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                while chunk := list(islice(pairs, CHUNK)):
                    outcomes = pool.map(lambda pair: self._answer(pair[0], pair[1], top), chunk)
                    yield from zip((name for _, name in chunk), outcomes, strict=True)
        finally:
            self._close()

    def _answer(self, picture: Picture, name: str, top: int) -> dict[str, Any] | ImageError:
        try:
            data = self._bytes(picture)
        except RefusedError as refused:
            return ImageError(name, str(refused))
        query = urlencode({"model": self.name, "top": top})
        status, told = self._ask("POST", f"/predict?{query}", data)
        if status == 200 and isinstance(told, list) and told:
            answer: dict[str, Any] = told[0]
            return answer
        if status in (413, 415, 422) and isinstance(told, dict) and "detail" in told:
            reason = told["answers"][0]["error"] if "answers" in told else told["detail"]
            return ImageError(name, reason)
        raise self._refused(status, told)

    def _bytes(self, picture: Picture) -> bytes:
        if isinstance(picture, np.ndarray):
            raise TypeError("a server takes files, not arrays")
        data = picture if isinstance(picture, bytes) else read_file(picture)
        if len(data) > self._max_bytes:
            raise RefusedError(
                f"is {len(data):,} bytes, above the server's limit of {self._max_bytes:,}"
            )
        return data

    def _models(self) -> Any:
        status, told = self._ask("GET", "/info", None)
        if status != 200:
            raise self._refused(status, told)
        models = told.get("models") if isinstance(told, dict) else None
        if not models:
            raise ServerError(f"{self.address} is not a Silverprint server; check the address.")
        return models

    def _refused(self, status: int, told: Any) -> ServerError:
        detail = told.get("detail") if isinstance(told, dict) else None
        if status == 401:
            return ServerError(
                f"{self.address} wants an API key: {detail} Set SILVERPRINT_API_KEY."
            )
        if detail is None:
            return ServerError(
                f"{self.address} answered {status}, as no Silverprint server does; "
                "check the address."
            )
        return ServerError(f"{self.address} answered {status}: {detail}")

    # ---- HTTP ----

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, Any]:
        """Return status and JSON; a busy server, or one that is going down, is asked again."""
        status, told = 0, None
        for _ in range(TRIES):
            status, wait, content = self._exchange(method, path, body)
            try:
                told = json.loads(content)
            except ValueError:
                told = None
            if status not in (429, 503):
                break
            time.sleep(wait)
        return status, told

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, float, bytes]:
        while True:
            # Taking from a list and putting back are atomic, so threads may share it.
            try:
                kept = self._idle.pop()
            except IndexError:
                kept = None
            connection = kept or self._connect()
            try:
                answer = self._once(connection, method, path, body)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if kept is None:
                    raise self._unreachable(error) from None
                continue  # it may have been closed while it was idle
            self._idle.append(connection)
            return answer

    def _once(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> tuple[int, float, bytes]:
        headers = {**self._headers, "Content-Type": "application/octet-stream"}
        # A server may answer, and close, before it has read all.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, self._parts.path.rstrip("/") + path, body, headers)
        response = connection.getresponse()
        return response.status, _seconds(response.getheader("Retry-After")), response.read()

    def _connect(self) -> http.client.HTTPConnection:
        https = self._parts.scheme == "https"
        kind = http.client.HTTPSConnection if https else http.client.HTTPConnection
        connection = kind(self._parts.hostname or "", self._parts.port, timeout=TIMEOUT)
        try:
            connection.connect()
        except OSError as error:
            raise self._unreachable(error) from None
        return connection

    def _close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _unreachable(self, error: Exception) -> ServerError:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return ServerError(
            f"no server answers at {self.address}: {reason.lower()}; start `silverprint serve`."
        )


def _split(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ServerError(f"{address} is not an address; write http://HOST:PORT.")
    return parts


def _seconds(text: str | None) -> float:
    """Read Retry-After; a date, or nothing, counts as a second."""
    seconds = float(text) if text is not None and text.isdecimal() else 1.0
    return min(seconds, LONGEST_WAIT)
