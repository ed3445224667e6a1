"""`POST /predict`, and `GET /info` for the page and the client."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from silverprint.errors import ImageError
from silverprint.serving.documentation import inlined
from silverprint.serving.pictures import FIELD, Base64Pictures, read_pictures
from silverprint.serving.refusals import Refusal, documented, json_response
from silverprint.serving.state import State, until_gone
from silverprint.serving.workers import Outcome

BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "properties": {
                    FIELD: {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                    }
                },
            }
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "image/*": {"schema": {"type": "string", "format": "binary"}},
        "application/json": {"schema": inlined(Base64Pictures)},
    },
}


class Answer(BaseModel):
    """The answer for one picture; where it could not be read, `file` and `error` alone."""

    file: str
    label: str | None = None
    probability: float | None = None
    top: list[tuple[str, float]] | None = None
    labels: list[str] | None = Field(
        None, description="With --coverage: the set that holds the truth that often."
    )
    unknown: bool | None = None
    error: str | None = None


class Problem(BaseModel):
    """What is wrong, in a sentence; where all pictures are refused, their answers too."""

    detail: str
    answers: list[Answer] | None = None


class Limits(BaseModel):
    """What a request may hold."""

    bytes: int = Field(description="Of the body.")
    pixels: int = Field(description="Of each picture.")


class ModelInfo(BaseModel):
    """One model that is served."""

    name: str
    classes: list[str]
    task: str
    mode: str
    limits: Limits


class Info(BaseModel):
    """What is served; the first model answers where none is named."""

    models: list[ModelInfo]


def routes(state: State) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["pictures"])

    @router.post(
        "/predict",
        response_model=list[Answer],
        response_model_exclude_none=True,
        responses=documented(Problem),
        openapi_extra={"requestBody": BODY},
        summary="Say what is in pictures",
    )
    async def predict(
        request: Request,
        model: Annotated[str | None, Query(description="Which model; else the first.")] = None,
        top: Annotated[int, Query(ge=1, le=100_000, description="How many classes to name.")] = 3,
    ) -> Response:
        """Answer with one entry a picture, in order, as `silverprint predict --json` prints.

        A picture that cannot be read has an `error` instead; if that is so for all of them, the
        status says it too.
        """
        served = state.models.get(model)
        pictures = await read_pictures(request, state.workers.capacity)
        request.scope["silverprint.noted"] = {"model": served.name, "pictures": len(pictures)}
        running = state.workers.run(served, pictures, state.settings.timeout)
        outcomes = await until_gone(request, running)
        names = [name for name, _ in pictures]
        answers = [
            served.predictor.answer(name, *_plain(outcome, top)).to_json()
            for name, outcome in zip(names, outcomes, strict=True)
        ]
        refused = [outcome for outcome in outcomes if isinstance(outcome, ImageError)]
        state.metrics.pictures.labels(served.name, "refused").inc(len(refused))
        state.metrics.pictures.labels(served.name, "answered").inc(len(answers) - len(refused))
        if len(refused) == len(answers):
            raise Refusal(_status(refused), str(refused[0]), answers=answers)
        return json_response(answers)

    @router.get("/info", response_model=Info, responses=documented(Problem, 401))
    async def info() -> Response:
        """Say which models are served, and what a request may hold."""
        settings = state.settings
        limits = {"bytes": settings.max_bytes, "pixels": settings.max_pixels}
        models = [
            {
                "name": served.name,
                "classes": served.bundle.classes,
                "task": served.bundle.task,
                "mode": settings.mode,
                "limits": limits,
            }
            for served in state.models
        ]
        return json_response({"models": models})

    return router


def _plain(outcome: Outcome | ImageError, top: int) -> tuple[Any, int, float | None]:
    if isinstance(outcome, Outcome):
        return outcome.probabilities, top, outcome.distance
    return outcome, top, None


def _status(refused: Sequence[ImageError]) -> int:
    """Return the status that says why all pictures were refused; the decoder's words tell."""
    reasons = [error.reason for error in refused]
    if all("above the limit" in reason for reason in reasons):
        return 413
    if all("is not a picture" in reason or "not supported" in reason for reason in reasons):
        return 415
    return 422
