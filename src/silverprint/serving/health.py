"""Is it alive, is it ready, what has it counted: for those who look after the server."""

from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.responses import Response

from silverprint.serving.refusals import json_response
from silverprint.serving.state import State


class Live(BaseModel):
    """The process runs."""

    status: str


class ModelHealth(BaseModel):
    """How a model fares: whether its pictures drift, and why a new bundle was not taken."""

    drift: str
    trouble: str | None = None


class Ready(BaseModel):
    """Whether requests are answered, and how each model fares."""

    status: str
    models: dict[str, ModelHealth]


def routes(state: State) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["health"])

    @router.get("/health/live", response_model=Live)
    async def live() -> Response:
        """Say that the process runs; restart it where this fails."""
        return json_response({"status": "live"})

    async def ready() -> Response:
        """Say whether requests are answered; send none where this fails."""
        models = {served.name: _health(state, served.name, served.drift.sentence())
                  for served in state.models}  # fmt: skip
        body = {"status": "stopping" if state.stopping else "ready", "models": models}
        return json_response(body, 503 if state.stopping else 200)

    stopping: dict[int | str, dict[str, Any]] = {
        503: {"model": Ready, "description": "The server is stopping"}
    }
    for path in ("/health", "/health/ready"):
        router.add_api_route(path, ready, response_model=Ready, responses=stopping)

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Return all measures in Prometheus' text format."""
        for served in state.models:
            for finding in served.drift.findings():
                labels = served.name, finding.measure
                state.metrics.drift_index.labels(*labels).set(finding.index)
                state.metrics.drift_limit.labels(*labels).set(finding.limit)
        return Response(state.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router


def _health(state: State, name: str, drift: str) -> dict[str, Any]:
    trouble = state.models.troubles.get(name)
    return {"drift": drift, **({"trouble": trouble} if trouble else {})}
