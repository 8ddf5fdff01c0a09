"""One server a module, with the local model on.

It stands in front of a provider that does as it is told, and of one of each dialect that obliges.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clients import obliging
from doubles import Double
from local_engine import gguf
from misbehaving import Misbehaving, running
from serving import PATIENCE, Standpipe, call, provider, serving

from standpipe.store import Store, new_token

#: Route names to models of the provider, each tried once.
ROUTES = {"busy": "status:429", "broken": "status:500", "locked": "status:401"}
ROUTE = '[routes.{}]\nretries = 0\ntargets = [{{ provider = "openai", model = "{}" }}]\n'


@pytest.fixture(scope="module")
def upstream() -> Iterator[Misbehaving]:
    with running() as state:
        yield state


@pytest.fixture(scope="module")
def obliged() -> Iterator[dict[str, Double]]:
    """Return the obliging providers by their dialects."""
    with obliging.running() as doubles:
        yield doubles


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, upstream: Misbehaving, obliged: dict[str, Double]
) -> Iterator[Standpipe]:
    models = '["ok", "echo", "tools"]'
    table = provider("openai", upstream.url, api_key='"sk-provider"', models=models)
    configuration = table + "".join(ROUTE.format(*pair) for pair in ROUTES.items())
    for dialect, model in obliging.MODELS.items():
        named = {"dialect": f'"{dialect}"', "models": f'["{model}"]'}
        place = {"api_key": f'"{obliging.KEY}"', **named}
        configuration += provider(f"obliging-{dialect}", obliged[dialect].url, **place)
    settings = {"SERVER_LOCAL_TESTING": "true", "LOCAL_ENABLED": "true", "LOCAL_GGUF": str(gguf())}
    with serving(tmp_path_factory.mktemp("home"), configuration, **settings) as started:
        _wait_for_model(started)
        yield started


def _wait_for_model(server: Standpipe) -> None:
    """Return once the local model is loaded; until then it is 503."""
    deadline = time.monotonic() + PATIENCE
    hi = [{"role": "user", "content": "Hi"}]
    body = {"model": "smollm2-135m-instruct", "messages": hi, "max_tokens": 1}
    while call(server, "POST", "/chat/completions", body).status == 503:
        assert time.monotonic() < deadline, server.log.read_text()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def read_only_key(server: Standpipe) -> str:
    """Return a key of the default project that may only read."""
    store = Store.open(f"sqlite:///{server.home / 'standpipe.db'}")
    _, token = new_token()
    first, *_ = store.keys(None)
    store.add_key(first.project, name="reader", read_only=True, token=token)
    store.close()
    return token


@pytest.fixture
def latest(server: Standpipe) -> Callable[[], Any]:
    """Return what asks the server for its newest logged call."""
    return lambda: call(server, "GET", "/local-testing-only-get-latest-logged-call").json


@pytest.fixture
def count(server: Standpipe) -> Callable[[], int]:
    """Return what counts the logged calls, without changing any."""
    nothing: dict[str, Any] = {"filters": [], "metadata": {}}
    return lambda: int(call(server, "POST", "/logs/update-metadata", nothing).json["matchedLogs"])
