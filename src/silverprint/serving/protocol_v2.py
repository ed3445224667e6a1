"""The open inference protocol, version 2, over HTTP, so that its clients work here as they are."""

from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from silverprint import __version__
from silverprint.errors import ImageError
from silverprint.serving.documentation import inlined
from silverprint.serving.models import Served
from silverprint.serving.refusals import Refusal, documented, json_response
from silverprint.serving.state import State, until_gone
from silverprint.serving.tensors import DATATYPES, HEADER_LENGTH, INPUT, read_images, write_outputs

VERSION = "1"
LONG = 1 << 16  # bytes of a body that are worth a thread


class V2Problem(BaseModel):
    """What is wrong, in a sentence."""

    error: str


class Tensor(BaseModel):
    """A tensor of a request."""

    model_config = ConfigDict(extra="allow")
    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None


class InferRequest(BaseModel):
    """A request; with the binary extension, the tensors' bytes follow it."""

    model_config = ConfigDict(extra="allow")
    id: str | None = None
    inputs: list[Tensor]


BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": inlined(InferRequest)},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}


def routes(state: State) -> APIRouter:
    """Return the routes; a model may be named with its version, of which there is one."""
    router = APIRouter(
        prefix="/v2", tags=["open inference protocol"], responses=documented(V2Problem)
    )

    @router.get("")
    async def server() -> Response:
        """Say what this server is."""
        known = ["binary_tensor_data"]
        return json_response({"name": "silverprint", "version": __version__, "extensions": known})

    @router.get("/health/live")
    async def live() -> Response:
        """Say that the server runs."""
        return json_response({"live": True})

    @router.get("/health/ready")
    async def ready() -> Response:
        """Say whether all models are ready."""
        return json_response({"ready": not state.stopping}, 503 if state.stopping else 200)

    async def metadata(name: str, version: str = VERSION) -> Response:
        """Describe a model's tensors."""
        return json_response(_described(_served(state, name, version)))

    async def model_ready(name: str, version: str = VERSION) -> Response:
        """Say whether a model is ready."""
        served = _served(state, name, version)
        return json_response({"name": served.name, "ready": True})

    async def infer(request: Request, name: str, version: str = VERSION) -> Response:
        """Run a model on tensors."""
        served = _served(state, name, version)
        body, length = await request.body(), request.headers.get(HEADER_LENGTH)
        arguments = (body, length, state.settings.max_pixels)
        if len(body) > LONG:
            given, images = await run_in_threadpool(read_images, *arguments)
        else:
            given, images = read_images(*arguments)
        request.scope["silverprint.noted"] = {"model": served.name, "pictures": len(images)}
        pictures = [(f"picture {i}", image) for i, image in enumerate(images)]
        running = state.workers.run(served, pictures, state.settings.timeout)
        outcomes = []
        for outcome in await until_gone(request, running):
            if isinstance(outcome, ImageError):
                raise Refusal(422, str(outcome))
            outcomes.append(outcome)
        state.metrics.pictures.labels(served.name, "answered").inc(len(outcomes))
        outputs = {"probabilities": np.stack([outcome.probabilities for outcome in outcomes])}
        if outcomes[0].distance is not None:
            outputs["distance"] = np.array([outcome.distance for outcome in outcomes], np.float32)
        answer, header = write_outputs(given, served.name, outputs)
        if header is None:
            return Response(answer, media_type="application/json")
        return Response(answer, 200, {HEADER_LENGTH: str(header)}, "application/octet-stream")

    for prefix in ("/models/{name}", "/models/{name}/versions/{version}"):
        router.add_api_route(prefix, metadata)
        router.add_api_route(f"{prefix}/ready", model_ready)
        router.add_api_route(
            f"{prefix}/infer", infer, methods=["POST"], openapi_extra={"requestBody": BODY}
        )
    return router


def _served(state: State, name: str, version: str) -> Served:
    served = state.models.get(name)
    if version != VERSION:
        raise Refusal(404, f"Model {name!r} has version {VERSION} alone; got {version[:40]!r}.")
    return served


def _described(served: Served) -> dict[str, Any]:
    shapes = {"probabilities": [-1, len(served.bundle.classes)], "distance": [-1]}
    outputs = [
        {"name": name, "datatype": DATATYPES[name], "shape": shapes[name]}
        for name in served.predictor.outputs
    ]
    return {
        "name": served.name,
        "versions": [VERSION],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, -1, -1, 3]}],
        "outputs": outputs,
    }
