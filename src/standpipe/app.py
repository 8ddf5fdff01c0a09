"""The composition root: settings in, ASGI application out. The only place that knows everything."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from standpipe.api import docs
from standpipe.api.call import CallRoute
from standpipe.api.endpoints import CALLS, ENDPOINTS, PREFIXES, ROOT_ENDPOINTS, Endpoint
from standpipe.api.freshness import Freshness
from standpipe.api.health import Health
from standpipe.api.http import RequestIds, error_response, on_bug, on_error
from standpipe.api.logs import Logs
from standpipe.api.messages import MessagesRoute
from standpipe.api.models import Models
from standpipe.api.report import Reports
from standpipe.api.stored import Stored
from standpipe.calls.attempts import Upstream
from standpipe.calls.callers import Callers
from standpipe.calls.chat import Chat
from standpipe.calls.embedded import Absent, Embedded
from standpipe.calls.passthrough import Passthrough
from standpipe.calls.routes import Routes, Target
from standpipe.config import Provider as ProviderSettings
from standpipe.config import Settings, Timeouts
from standpipe.errors import ApiError, ConfigError, MethodNotAllowed, NotFound, StoreUnavailable
from standpipe.providers.dialect import Quirks
from standpipe.providers.local import Local
from standpipe.providers.table import DIALECTS, Provider
from standpipe.spool.writer import Spool
from standpipe.store.store import Store
from standpipe.upstream.pool import Pool
from standpipe.upstream.proxy import proxy_for
from standpipe.upstream.transport import Origin, Transport
from standpipe.wire import passthrough

Handler = Callable[[Request], Awaitable[Response]]

#: How long the engine may take: a long answer on one core takes minutes.
ENGINE_TIMEOUTS = Timeouts(connect=5.0, first_byte=600.0, idle=600.0, total=600.0)


class Engine(msgspec.Struct, frozen=True):
    """Where the embedded model answers, or what it lacks; decided by who starts the processes."""

    port: int = 0
    key: str = ""
    #: What to do to have it, None if it is there.
    missing: str | None = None

    @override
    def __repr__(self) -> str:
        return f"Engine(port={self.port}, missing={self.missing!r})"


class App:
    """The ASGI application: the calls' routes in front, a router behind them."""

    def __init__(self, calls: Mapping[str, ASGIApp], rest: ASGIApp) -> None:
        #: Paths under both prefixes; a POST of one never comes to the router.
        self._calls = calls
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] == "http":
            path = _plain(scope["path"])
            prefix = next((p for p in PREFIXES if path.startswith(p + "/")), None)
            if scope["method"] == "POST" and prefix:
                route = self._calls.get(path[len(prefix) :])
                if route is not None:
                    await route(scope, receive, send)
                    return
            scope = {**scope, "path": path, "standpipe.prefix": prefix}
        await self._rest(scope, receive, send)


def build(settings: Settings, *, store: Store, spool: Spool, engine: Engine | None) -> App:
    """Return the application; `engine` None leaves the embedded model out altogether."""
    upstreams = _upstreams(settings, engine)
    routes = routing(settings, {name: each.provider for name, each in upstreams.items()})
    callers = Callers(store)
    calls = _calls(settings, callers, routes, upstreams, spool)
    handlers = _handlers(settings, callers, routes, store, spool)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(callers.watch())
        yield
        watching.cancel()
        for upstream in upstreams.values():
            await upstream.transport.close()

    rest = Starlette(
        routes=_router(settings, handlers),
        lifespan=lifespan,
        exception_handlers={
            ApiError: on_error,
            StoreUnavailable: on_error,
            HTTPException: _on_http_error,
            Exception: on_bug,
        },
    )
    rest.router.redirect_slashes = False
    return App(calls, RequestIds(rest))


def providers(settings: Settings) -> dict[str, Provider]:
    """Return the configured providers, the embedded one last."""
    found = {name: _provider(name, row) for name, row in settings.providers.items()}
    if settings.local.enabled:
        # The default system message and sampling are what the default model needs, no other.
        dialect = Local(system=None, sampling={}) if settings.local.gguf else DIALECTS["local"]
        models = (settings.local.model,)
        found["local"] = Provider("local", dialect, models=models, retries=0)
    return found


def routing(settings: Settings, known: dict[str, Provider]) -> Routes:
    """Return the resolver of model names."""
    named = {
        name: Target(route.targets[0].provider, route.targets[0].model, route.retries)
        for name, route in settings.routes.items()
    }
    return Routes(known, named)


def _provider(name: str, row: ProviderSettings) -> Provider:
    dialect = DIALECTS.get(row.dialect)
    if dialect is None or row.dialect == "local":
        offered = ", ".join(sorted(set(DIALECTS) - {"local"}))
        raise ConfigError(f"providers.{name}.dialect = {row.dialect!r}: known are {offered}")
    quirks = Quirks(forward_store=row.forward_store, stream_usage=row.stream_usage)
    return Provider(name, dialect, models=row.models, quirks=quirks)


def _upstreams(settings: Settings, engine: Engine | None) -> dict[str, Upstream]:
    found: dict[str, Upstream] = {}
    for name, provider in providers(settings).items():
        if name in settings.providers:
            found[name] = _upstream(provider, settings.providers[name], settings.proxies)
        elif engine is not None:
            found[name] = _embedded(provider, engine)
    return found


def _upstream(provider: Provider, row: ProviderSettings, proxies: dict[str, str]) -> Upstream:
    transport = Pool(
        Origin.parse(row.base_url),
        timeouts=row.timeouts,
        max_connections=row.max_connections,
        ca_file=Path(row.ca_file) if row.ca_file else None,
        proxy=proxy_for(row.base_url, proxies),
    )
    key = row.api_key.reveal() if row.api_key else None
    headers = provider.dialect.headers(key)
    return Upstream(provider, transport, headers, key.encode() if key else None)


def _embedded(provider: Provider, engine: Engine) -> Upstream:
    if engine.missing is not None:
        return Upstream(provider, Absent(engine.missing), ())
    origin = Origin.parse(f"http://127.0.0.1:{engine.port}/v1")
    transport: Transport = Embedded(Pool(origin, timeouts=ENGINE_TIMEOUTS))
    key = engine.key.encode()
    return Upstream(provider, transport, provider.dialect.headers(engine.key), key)


def _calls(
    settings: Settings,
    callers: Callers,
    routes: Routes,
    upstreams: Mapping[str, Upstream],
    spool: Spool,
) -> dict[str, ASGIApp]:
    """Return what answers a POST of each path that calls a model."""
    default = settings.logging.default
    chat = Chat(routes, upstreams, spool, logging_default=default)
    found: dict[str, ASGIApp] = {
        "/chat/completions": CallRoute(callers, chat.answer),
        "/messages": MessagesRoute(callers, chat),
    }
    for route in passthrough.ROUTES.values():
        passed = Passthrough(route, routes, upstreams, spool, logging_default=default)
        found[route.path] = CallRoute(callers, passed.answer)
    return found


def _handlers(
    settings: Settings, callers: Callers, routes: Routes, store: Store, spool: Spool
) -> dict[str, Handler]:
    """Return the handler of each operation that does not call a model."""
    freshness = Freshness(settings.spool_dir, store)
    stored = Stored(callers, store, freshness)
    reports = Reports(callers, spool)
    logs = Logs(callers, store, freshness)
    models = Models(callers, routes, since=int(time.time()))
    return {
        "listChatCompletions": stored.list,
        "getChatCompletion": stored.retrieve,
        "updateChatCompletion": stored.update,
        "deleteChatCompletion": stored.delete,
        "getChatCompletionMessages": stored.messages,
        "report": reports.report,
        "reportAnthropic": reports.report_anthropic,
        "checkCache": reports.check_cache,
        "updateLogMetadata": logs.update_metadata,
        "updateLogTags": logs.update_tags,
        "localTestingOnlyGetLatestLoggedCall": logs.latest,
        "listModels": models.list,
        "getModel": models.retrieve,
        "health": Health(store, spool).health,
        "openapi": docs.openapi,
        "docs": docs.page,
    }


def _router(settings: Settings, handlers: dict[str, Handler]) -> list[Route]:
    routes = [_route("", endpoint, handlers) for endpoint in ROOT_ENDPOINTS]
    for prefix in PREFIXES:
        routes += [
            _route(prefix, endpoint, handlers)
            for endpoint in ENDPOINTS
            if endpoint.operation in handlers
            and (settings.server.local_testing or not endpoint.testing)
        ]
    return routes


def _route(prefix: str, endpoint: Endpoint, handlers: dict[str, Handler]) -> Route:
    # A model's name may have slashes in it.
    path = endpoint.path.replace("/models/{id}", "/models/{id:path}")
    return Route(prefix + path, handlers[endpoint.operation], methods=[endpoint.method])


_SLASHES = re.compile(r"/{2,}")


def _plain(path: str) -> str:
    """Return the path without doubled or trailing slashes (spec 5.6)."""
    if "//" in path:
        path = _SLASHES.sub("/", path)
    return path.rstrip("/") or "/" if path.endswith("/") else path


async def _on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the router found no handler for."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    allowed = _allowed(request)
    if status == 405 or allowed:
        answer = error_response(MethodNotAllowed(f"{request.method} is not offered here"))
        answer.headers["allow"] = ", ".join(sorted(allowed))
        return answer
    if request.method == "HEAD":
        return Response(status_code=204)
    return error_response(NotFound(_not_found(request)))


def _not_found(request: Request) -> str:
    """Return a message that names what there is, where a client of an API has asked."""
    prefix = request.scope["standpipe.prefix"]
    if prefix is None:
        return "Not found"
    there = ", ".join(f"{each.method} {each.path}" for each in ENDPOINTS if not each.testing)
    return f"Not found; under {prefix} there is {there}"


def _allowed(request: Request) -> set[str]:
    """Return the methods that the path has; the router itself tells those of one route alone."""
    prefix, path = request.scope["standpipe.prefix"], request.scope["path"]
    called = {"POST"} if prefix and path.removeprefix(prefix) in CALLS else set()
    matching = (
        route.methods or set()
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
    )
    return called.union(*matching)
