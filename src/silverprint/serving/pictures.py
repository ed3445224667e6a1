"""Finding a request's pictures: a form's files, a body that is a picture, or base64 in JSON."""

import base64
import binascii
import io
import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field as FormField
from python_multipart.multipart import File, FormParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from silverprint.serving.refusals import Refusal

FIELD = "files"
HOW = (
    "send a form with files (multipart/form-data), one picture as it is (image/* or "
    'application/octet-stream), or JSON {"images": [{"data": BASE64}]}'
)
LONG = 1 << 20  # bytes of JSON that are worth a thread
IN_MEMORY = {"MAX_MEMORY_FILE_SIZE": math.inf}  # the gate bounds bodies; the disk may be read-only
Named = tuple[str, bytes]


class Base64Picture(BaseModel):
    """One picture in JSON."""

    model_config = ConfigDict(extra="forbid")
    data: str = Field(description="A picture file in base64; a data: URL is taken too.")
    file: str | None = Field(default=None, description="What to call it in the answer.")


class Base64Pictures(BaseModel):
    """Pictures in JSON."""

    model_config = ConfigDict(extra="forbid")
    images: list[Base64Picture] = Field(min_length=1)


async def read_pictures(request: Request, most: int) -> list[Named]:
    """Return the names and bytes of a request's pictures; at most so many.

    Raises:
        Refusal: it holds none, or is malformed.
    """
    kind = request.headers.get("content-type", "application/octet-stream")
    kind = kind.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _from_form(request, most)
    if kind == "application/json":
        body = await request.body()
        return await run_in_threadpool(_from_json, body) if len(body) > LONG else _from_json(body)
    if kind == "application/octet-stream" or kind.startswith("image/"):
        return [(_name(None, 0), await request.body())]
    raise Refusal(415, f"Content-Type {kind[:80]!r} is not taken; {HOW}.")


async def _from_form(request: Request, most: int) -> list[Named]:
    found: list[Named] = []
    others: set[str] = set()
    ended: list[bool] = []

    def on_file(file: File) -> None:
        name = _text(file.field_name)
        if name != FIELD:
            others.add(name)
            return
        if len(found) == most:
            raise Refusal(413, f"A request holds at most {most} pictures; this has more.")
        assert isinstance(file.file_object, io.BytesIO)
        found.append((_name(_text(file.file_name), len(found)), file.file_object.getvalue()))

    def on_field(field: FormField) -> None:
        others.add(_text(field.field_name))

    kind, options = parse_options_header(request.headers["content-type"])
    try:
        parser = FormParser(
            kind.decode(), on_field, on_file, lambda: ended.append(True),
            boundary=options.get(b"boundary"), config=IN_MEMORY,
        )  # fmt: skip
        async for chunk in request.stream():
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise Refusal(422, f"The form cannot be read: {str(error).rstrip('.')}.") from None
    if not ended:
        raise Refusal(422, "The form ends before its last boundary; send it whole.")
    if not found:
        has = ", ".join(sorted(others)[:5]) or "nothing"
        raise Refusal(422, f"The form has no file in the field {FIELD!r}; it has {has[:200]}.")
    return found


def _from_json(body: bytes) -> list[Named]:
    try:
        pictures = Base64Pictures.model_validate_json(body)
    except ValidationError as error:
        raise Refusal(422, f"The JSON is not what is taken: {_first(error)}; {HOW}.") from None
    return [
        (_name(picture.file, i), _decoded(picture.data, i))
        for i, picture in enumerate(pictures.images)
    ]


def _decoded(text: str, number: int) -> bytes:
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(
            422, f"images[{number}].data is not base64; encode the file's bytes."
        ) from None


def _first(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def _text(name: bytes | None) -> str:
    return "" if name is None else name.decode("utf-8", "replace")


def _name(name: str | None, number: int) -> str:
    return name or f"picture {number}"
