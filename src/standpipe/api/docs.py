"""The API described: the OpenAPI document and a page for a browser."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from standpipe import __version__
from standpipe.api.http import Json


async def openapi(_: Request) -> Response:
    """GET /openapi.json."""
    return Json({"openapi": "3.1.0", "info": {"title": "Standpipe", "version": __version__}})


async def page(_: Request) -> Response:
    """GET /docs."""
    return HTMLResponse("<title>Standpipe</title>")
