"""The composition root: settings in, ASGI application out. The only place that knows everything."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from standpipe.api import docs, worker_state
from standpipe.api.admin import Admin, guarded
from standpipe.api.admin_views import AdminViews
from standpipe.api.alignment import AlignmentReports
from standpipe.api.call import CallRoute
from standpipe.api.criteria import Criteria
from standpipe.api.endpoints import CALLS, ENDPOINTS, PREFIXES, ROOT_ENDPOINTS, Endpoint
from standpipe.api.freshness import Freshness
from standpipe.api.health import Health
from standpipe.api.http import ErrorAnswers, RequestIds
from standpipe.api.judge import JudgeRoute
from standpipe.api.labels import Labels
from standpipe.api.logs import Logs
from standpipe.api.messages import MessagesRoute
from standpipe.api.metrics import Metrics
from standpipe.api.models import Models
from standpipe.api.presence import Presence
from standpipe.api.report import Reports
from standpipe.api.store_state import StoreState
from standpipe.api.stored import Stored
from standpipe.api.usage import UsageReports
from standpipe.calls.cache.cache import opened
from standpipe.calls.callers import Callers
from standpipe.calls.content import contents
from standpipe.calls.dispatch import Dispatch
from standpipe.calls.engine_states import EngineStates
from standpipe.calls.in_flight import InFlight
from standpipe.calls.keeping import Keeper
from standpipe.calls.passthrough import Passthrough
from standpipe.calls.routes import Routes
from standpipe.calls.upstreams import pools, routing, speech, upstreams
from standpipe.config import Settings
from standpipe.criteria.judged import JudgedChat
from standpipe.criteria.judging import Judging
from standpipe.criteria.library import Library
from standpipe.drain.prices import Prices
from standpipe.engine.address import Engines
from standpipe.errors import ApiError, MethodNotAllowed, NotFound, StoreUnavailable
from standpipe.limits.address import SOCKET
from standpipe.limits.client import Limiter
from standpipe.server.refusals import Refusals
from standpipe.spool.writer import Spool
from standpipe.store.store import Store
from standpipe.wire import passthrough

Handler = Callable[[Request], Awaitable[Response]]


class App:
    """The ASGI application: the calls' routes in front, a router behind them."""

    def __init__(self, calls: Mapping[str, CallRoute], rest: ASGIApp, presence: Presence) -> None:
        #: Wants to be told of the traffic, and when another takes its place.
        self.presence = presence
        #: Paths under both prefixes; a POST of one never comes to the router.
        self._calls = calls
        self._rest = rest
        #: The same, for a server that answers without ASGI what is asked for as it is written here.
        self.direct = {
            (prefix + path).encode(): route.direct
            for prefix in PREFIXES
            for path, route in calls.items()
        }

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


def build(
    settings: Settings, *, store: Store, spool: Spool, engines: Engines, worker: int = 0
) -> App:
    """Return the application of a worker; `engines` says where those of this machine answer."""
    places = upstreams(settings, engines)
    routes = routing(settings, {name: each.provider for name, each in places.items()})
    run = worker_state.directory(settings.home)
    dispatch = Dispatch(routes, places, workers=InFlight(run / "in-flight"))
    callers = Callers(store, grace=settings.store.key_grace)
    keeper = Keeper(spool, contents(settings), when_full=settings.spool.when_full)
    default, content = settings.logging.default, settings.logging.content
    limiter = Limiter(run / SOCKET, spool.writer)
    chat = JudgedChat(
        *(dispatch, keeper),
        library=Library(store),
        prices=Prices(settings.prices, {n: row.base_url for n, row in settings.providers.items()}),
        limiter=limiter,
        logging_default=default,
        content=content,
        speech=speech(engines),
        cache=opened(settings.cache, store),
    )
    passed = {
        route.path: Passthrough(
            *(route, dispatch, keeper), limiter=limiter, logging_default=default, content=content
        )
        for route in passthrough.ROUTES.values()
    }
    presence = Presence(run, f"worker-{worker}", keeper, pools(places), chat.cache)
    states = EngineStates(engines)
    handlers = _handlers(settings, callers, routes, store, keeper, presence, chat.judging)
    handlers["metrics"] = _metrics(settings, presence, callers, states).metrics

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(callers.watch())
        telling = asyncio.create_task(presence.keep_telling())
        yield
        watching.cancel()
        telling.cancel()
        presence.forget()
        await chat.close()
        limiter.close()
        await states.close()
        for upstream in places.values():
            await upstream.transport.close()

    answers = ErrorAnswers(presence.refusals)
    rest = Starlette(
        routes=_router(settings, handlers),
        lifespan=lifespan,
        exception_handlers={
            ApiError: answers.on_error,
            StoreUnavailable: answers.on_error,
            HTTPException: functools.partial(_on_http_error, answers),
            Exception: answers.on_bug,
        },
    )
    rest.router.redirect_slashes = False
    calls = _calls(callers, presence.refusals, chat, passed)
    return App(calls, RequestIds(rest), presence)


def _calls(
    callers: Callers, refusals: Refusals, chat: JudgedChat, passed: Mapping[str, Passthrough]
) -> dict[str, CallRoute]:
    """Return what answers a POST of each path that calls a model."""
    judge = JudgeRoute(chat.judging, chat.library)
    return {
        "/chat/completions": CallRoute(callers, refusals, chat.answer),
        "/messages": MessagesRoute(callers, refusals, chat),
        "/criteria/judge": CallRoute(callers, refusals, judge.answer),
        **{path: CallRoute(callers, refusals, each.answer) for path, each in passed.items()},
    }


def _handlers(
    settings: Settings,
    callers: Callers,
    routes: Routes,
    store: Store,
    keeper: Keeper,
    presence: Presence,
    judging: Judging,
) -> dict[str, Handler]:
    """Return the handler of each operation that does not call a model."""
    freshness = Freshness(settings.spool_dir, store)
    labels = Labels(keeper.contents, content=settings.logging.content)
    stored = Stored(callers, store, freshness, labels)
    reports = Reports(callers, keeper, content=settings.logging.content)
    logs = Logs(callers, store, freshness, labels)
    usage = UsageReports(callers, store, freshness, names=settings.usage.metadata)
    models = Models(callers, routes, since=int(time.time()))
    admin = Admin(store, freshness).handlers() | AdminViews(settings, store, freshness).handlers()
    health = Health(StoreState(store, callers), callers, settings.spool_dir, presence)
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
        "deleteLogs": logs.delete,
        "usage": usage.report,
        "localTestingOnlyGetLatestLoggedCall": logs.latest,
        "listModels": models.list,
        "getModel": models.retrieve,
        "health": health.health,
        "live": health.live,
        "ready": health.ready,
        **Criteria(callers, store, freshness, judging).handlers(),
        **AlignmentReports(callers, store, freshness).handlers(),
        "openapi": docs.openapi,
        "docs": docs.page,
        **{name: guarded(callers, handle) for name, handle in admin.items()},
    }


def _metrics(
    settings: Settings, presence: Presence, callers: Callers, engines: EngineStates
) -> Metrics:
    # Behind a proxy, or in a page, whoever comes from this machine may come from anywhere.
    server = settings.server
    is_open = server.is_loopback and not (server.trusted_proxies or server.cors_origins)
    return Metrics(settings.spool_dir, presence, callers, engines, is_open=is_open)


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


async def _on_http_error(answers: ErrorAnswers, request: Request, error: Exception) -> Response:
    """Answer what the router found no handler for."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    allowed = _allowed(request)
    if status == 405 or allowed:
        answer = answers.answer(MethodNotAllowed(f"{request.method} is not offered here"))
        answer.headers["allow"] = ", ".join(sorted(allowed))
        return answer
    if request.method == "HEAD":
        return Response(status_code=204)
    return answers.answer(NotFound(_not_found(request)))


def _not_found(request: Request) -> str:
    """Return a message that names what there is, where a client of an API has asked."""
    prefix = request.scope["standpipe.prefix"]
    if prefix is None:
        return "Not found"
    offered = [each for each in ENDPOINTS if not each.testing and each.auth != "admin"]
    there = ", ".join(f"{each.method} {each.path}" for each in offered)
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
