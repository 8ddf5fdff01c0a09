"""A server for each module, and for each test projects of its own on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import misbehaving
import pytest
import serving
from asking import Asker
from misbehaving import Misbehaving
from serving import Standpipe

from standpipe.store import Project, Store
from standpipe.store.tokens import new_token
from standpipe.wire.ids import new_id

ROUTES = """
[routes.mine]
targets = [{ provider = "openai", model = "chunks:2" }]

[routes.fixed]
targets = [{ provider = "openai", model = "status:503" }]
fallback = [{ provider = "openai", model = "ok", parameters = { user = "operator", x_more = 1 } }]
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Misbehaving]:
    with misbehaving.running() as provider:
        yield provider


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Misbehaving) -> Iterator[Standpipe]:
    home = tmp_path_factory.mktemp("api") / "home"
    provider = serving.provider("openai", upstream.url, api_key='"sk-upstream"', models='["ok"]')
    with serving.serving(home, provider + ROUTES, SERVER_LOCAL_TESTING="true") as running:
        yield running


@pytest.fixture(scope="module")
def store(server: Standpipe) -> Iterator[Store]:
    with closing(Store.open(f"sqlite:///{server.home / 'standpipe.db'}")) as opened:
        yield opened


@pytest.fixture
def project(store: Store) -> Project:
    return store.add_project(new_id())


@pytest.fixture
def client(server: Standpipe, store: Store, project: Project) -> Asker:
    """Ask with a key of the test's own project."""
    return asker(server, store, project)


@pytest.fixture
def reader(server: Standpipe, store: Store, project: Project) -> Asker:
    """Ask with a read-only key of the same project."""
    return asker(server, store, project, read_only=True)


@pytest.fixture
def stranger(server: Standpipe, store: Store) -> Asker:
    """Ask with a key of another project."""
    return asker(server, store, store.add_project(new_id()))


def asker(server: Standpipe, store: Store, owner: Project, *, read_only: bool = False) -> Asker:
    _, token = new_token()
    key = store.add_key(owner.id, name="test", read_only=read_only, token=token)
    return Asker(server, token, key.id)
