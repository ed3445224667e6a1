"""The page and the documentation: files of ours, and no request to anyone else."""

from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, HTMLResponse, Response

from silverprint.serving.documentation import render
from silverprint.serving.refusals import Refusal

HERE = Path(__file__).parent
PAGE = HERE / "page"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; worker-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SAFE = {
    "content-security-policy": POLICY,
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
READ = ["GET", "HEAD"]
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
}


def routes() -> APIRouter:
    """Return the routes."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=READ)
    async def page() -> Response:
        return _file("index.html")

    @router.api_route("/page/{name}", methods=READ)
    async def part(name: str) -> Response:
        return _file(name)

    @router.api_route("/docs", methods=READ)
    async def documentation(request: Request) -> Response:
        return HTMLResponse(render(request.app.openapi()), headers=SAFE)

    @router.api_route("/docs/style.css", methods=READ)
    async def style() -> Response:
        return FileResponse(HERE / "documentation.css", 200, SAFE, TYPES[".css"])

    return router


def _file(name: str) -> Response:
    path = PAGE / name
    # The folder is flat, so a name with a way out of it is none of its files.
    if path.parent != PAGE or path.suffix not in TYPES or not path.is_file():
        raise Refusal(404, f"There is no page {name[:80]!r} here.")
    return FileResponse(path, 200, SAFE, TYPES[path.suffix])
