"""What administrators see of the whole: routes, providers, and the usage of all projects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from standpipe.api.admin import AdminHandler
from standpipe.api.freshness import Freshness
from standpipe.api.http import Json
from standpipe.api.usage import MOST, query, reported
from standpipe.calls.callers import Caller
from standpipe.calls.upstreams import providers
from standpipe.config import Provider, Route, Settings, Target
from standpipe.store.store import Store
from standpipe.store.usage import UsageQuery

_PROJECT = "project"


class AdminViews:
    """The handlers; `settings` are completed ones."""

    def __init__(self, settings: Settings, store: Store, freshness: Freshness) -> None:
        self._settings = settings
        self._store = store
        self._freshness = freshness

    def handlers(self) -> dict[str, AdminHandler]:
        """Return them by the names of their operations; they are to be guarded."""
        return {
            "listRoutes": self._list_routes,
            "listProviders": self._list_providers,
            "usageOfAll": self._usage,
        }

    async def _list_routes(self, _: Request, __: Caller) -> Response:
        data = [_route(name, row) for name, row in self._settings.routes.items()]
        return Json({"object": "list", "data": data})

    async def _list_providers(self, _: Request, __: Caller) -> Response:
        rows = self._settings.providers
        data = [
            _provider(name, each.dialect.name, each.models, rows.get(name))
            for name, each in providers(self._settings).items()
        ]
        return Json({"object": "list", "data": data})

    async def _usage(self, request: Request, _: Caller) -> Response:
        given = dict(request.query_params)
        project = given.pop(_PROJECT, None)
        asked = _by_project(given, self._settings.usage.metadata)
        await self._freshness.wait()
        rows = await self._freshness.ask(self._store.usage, project, asked, limit=MOST + 1)
        return Json(reported(rows, asked))


def _by_project(given: dict[str, str], names: Iterable[str]) -> UsageQuery:
    """Return what a query asks for that may have `project` in its groups."""
    words = given.get("group", "").split(",")
    others = ",".join(word for word in words if word != _PROJECT)
    asked = query({**given, "group": others}, tuple(names))
    return replace(asked, by_project=_PROJECT in words)


def _route(name: str, row: Route) -> dict[str, Any]:
    return {
        "name": name,
        "targets": [_target(each) for each in row.targets],
        "fallback": [_target(each) for each in row.fallback],
        "retries": row.retries,
        "choice": row.choice,
        "sticky": row.sticky,
        "max_in_flight": row.max_in_flight,
        "failures": row.failures,
        "rest": row.rest,
    }


def _target(row: Target) -> dict[str, Any]:
    return {
        "provider": row.provider,
        "model": row.model,
        "weight": row.weight,
        "max_in_flight": row.max_in_flight,
        # Their names alone: a value may be anything.
        "parameters": list(row.parameters),
    }


def _provider(
    name: str, dialect: str, models: Iterable[str], row: Provider | None
) -> dict[str, Any]:
    """Return a provider; one without a row is on this machine."""
    return {
        "name": name,
        "dialect": dialect,
        "base_url": row and _bare(row.base_url),
        "has_key": bool(row and _has_key(row)),
        "models": list(models),
    }


def _has_key(row: Provider) -> bool:
    secrets = (row.api_key, *row.api_keys, row.access_key_id)
    return any(each is not None and each.reveal() for each in secrets)


def _bare(url: str) -> str:
    """Return a URL without what may be a secret in it: user, password and query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()
