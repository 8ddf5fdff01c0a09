"""The API described: the OpenAPI document and a page for a browser. Both are open to all.

What describes is imported with the first who asks: few workers are ever asked.
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from standpipe.api.http import Json

#: A name, an IPv4 or a bracketed IPv6 address, and a port. The header may hold much else, none of
#: which belongs into a command that somebody will paste into a shell.
_HOST = re.compile(r"([A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
_UNKNOWN_HOST = "localhost"


async def openapi(_: Request) -> Response:
    """GET /openapi.json."""
    from standpipe.api.openapi import document

    return Json(document())


async def page(request: Request) -> Response:
    """GET /docs, GET /."""
    from standpipe.api.page import HEADERS, render

    host = request.headers.get("host", "")
    shown = host if _HOST.fullmatch(host) else _UNKNOWN_HOST
    return HTMLResponse(render(f"{request.url.scheme}://{shown}"), headers=HEADERS)
