"""The application: what is put together to serve bundles."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from silverprint import __version__
from silverprint.serving import health, predict, protocol_v2, static
from silverprint.serving.gate import Gate
from silverprint.serving.metrics import Metrics
from silverprint.serving.models import Models
from silverprint.serving.refusals import Refusal, json_response
from silverprint.serving.settings import Settings
from silverprint.serving.state import State
from silverprint.serving.workers import Workers

DESCRIPTION = "Send pictures, get answers. Everything a bundle says is computed on this server."


def create_app(
    bundles: Mapping[str, str | os.PathLike[str]], settings: Settings | None = None
) -> FastAPI:
    """Load bundles and return the application that serves them.

    Args:
        bundles: folders by name; the first answers where a request names no model.
        settings: limits and options.

    Raises:
        BundleError: a bundle is missing, damaged or of another version.
    """
    settings = settings or Settings()
    metrics = Metrics()
    models = Models(bundles, metrics, settings.accept, settings.coverage)
    workers = Workers(settings.cores, settings.queue, settings.batch, settings.max_pixels, metrics)
    state = State(settings, models, workers, metrics)
    app = FastAPI(
        title="Silverprint", version=__version__, description=DESCRIPTION,
        docs_url=None, redoc_url=None, lifespan=_lifespan,
        exception_handlers={
            HTTPException: _http_error,
            RequestValidationError: _invalid,
            Exception: _our_fault,
        },
    )  # fmt: skip
    app.state.serving = state
    for router in (
        predict.routes(state), protocol_v2.routes(state), health.routes(state), static.routes()
    ):  # fmt: skip
        app.include_router(router)
    app.add_middleware(Gate, state=state)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.cors), allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-api-key"],
        )  # fmt: skip
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state: State = app.state.serving
    state.workers.start()
    watching = asyncio.create_task(state.models.watch())
    yield
    watching.cancel()
    await asyncio.to_thread(state.workers.stop)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path[:200]
    sentences = {
        404: f"There is no {path} here; /docs lists what there is.",
        405: f"{path} does not take {request.method}; /docs says what it takes.",
    }
    refusal = Refusal(
        error.status_code, sentences.get(error.status_code, str(error.detail)), error.headers
    )
    return refusal.response(path)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    sentence = f"{where}: {first['msg']}; got {str(first.get('input'))[:80]!r}."
    return Refusal(422, sentence).response(request.url.path)


async def _our_fault(request: Request, _: Exception) -> Response:
    sentence = "This is our fault, not yours; the server's log says more. Please report it."
    key = "error" if request.url.path.startswith("/v2") else "detail"
    return json_response({key: sentence}, 500)
