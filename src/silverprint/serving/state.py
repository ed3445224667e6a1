"""What the routes of one application share."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from silverprint.serving.metrics import Metrics
from silverprint.serving.models import Models
from silverprint.serving.settings import Settings
from silverprint.serving.workers import Workers

Result = TypeVar("Result")


@dataclass
class State:
    """One application's settings, models, threads and measures.

    Attributes:
        stopping: whether the server is going down, and takes on nothing new.
    """

    settings: Settings
    models: Models
    workers: Workers
    metrics: Metrics
    stopping: bool = False


async def until_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Return what the work gives; stop it if the client goes away, for nobody would hear it.

    Raises:
        ClientDisconnect: it went away.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()
