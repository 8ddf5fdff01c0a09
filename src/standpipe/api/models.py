"""GET /models: what a key may call. OpenPipe's shape and OpenAI's in one object (spec 2.8, 5.6)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from standpipe.api.http import Json, reader
from standpipe.calls.callers import Callers
from standpipe.calls.routes import OPENPIPE, Routes
from standpipe.errors import NotFound

#: How each prefix writes a time: OpenPipe a string, OpenAI whole seconds.
CREATED: dict[str, Callable[[int], str | int]] = {
    "/api/v1": lambda second: datetime.fromtimestamp(second, UTC).isoformat(),
    "/v1": lambda second: second,
}


class Models:
    """The handlers. `since` is when this server started: it did not make these models."""

    def __init__(self, callers: Callers, routes: Routes, *, since: int) -> None:
        self._callers = callers
        self._routes = routes
        self._since = since

    async def list(self, request: Request) -> Response:
        """GET /models."""
        caller = await reader(request, self._callers)
        created = CREATED[request.scope["standpipe.prefix"]](self._since)
        names = [each for each in self._routes.names() if caller.may_ask_for(each[0])]
        data = [_model(name, owner, created) for name, owner in names]
        return Json({"object": "list", "data": data})

    async def retrieve(self, request: Request) -> Response:
        """GET /models/{id}; the id may be written with `openpipe:` before it."""
        caller = await reader(request, self._callers)
        created = CREATED[request.scope["standpipe.prefix"]](self._since)
        asked = str(request.path_params["id"])
        for name, owner in self._routes.names() if caller.may_ask_for(asked) else ():
            if name in (asked, asked.removeprefix(OPENPIPE)):
                return Json(_model(name, owner, created))
        raise NotFound(
            f"The model `{asked}` does not exist", param="model", openai_code="model_not_found"
        )


def _model(name: str, owner: str, created: str | int) -> dict[str, Any]:
    """Return a model that is not a fine-tune; 0 stands for a figure its provider does not tell."""
    return {
        "id": name,
        "name": name,
        "object": "model",
        "description": None,
        "created": created,
        "updated": created,
        "openpipe": {
            "baseModel": name,
            "hyperparameters": None,
            "status": "DEPLOYED",
            "datasetId": "",
            "errorMessage": None,
        },
        "contextWindow": 0,
        "maxCompletionTokens": 0,
        "capabilities": ["chat"],
        "pricing": {"chatIn": 0, "chatOut": 0},
        "owned_by": owner,
    }
