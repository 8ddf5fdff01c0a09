"""Keys in memory: what is known of them, for how long, and what is told of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from standpipe.calls.callers import Callers
from standpipe.errors import StoreUnavailable, Unauthorized, Unavailable
from standpipe.store import Store, new_token

HOUR_US = 3_600_000_000


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'standpipe.db'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with closing(Store.open(url)) as opened:
        opened.migrate()
        yield opened


@pytest.fixture
def change(url: str) -> Iterator[Callable[[str], None]]:
    """Return what changes the database behind the store's back."""
    engine = create_engine(url)

    def run(statement: str) -> None:
        with engine.begin() as connection:
            connection.execute(text(statement))

    yield run
    engine.dispose()


@pytest.fixture
def leave(change: Callable[[str], None]) -> Callable[[], None]:
    """Return what takes the keys' table away."""
    return lambda: change("ALTER TABLE api_keys RENAME TO elsewhere")


def token(store: Store) -> str:
    _, made = new_token()
    project = store.add_project(made)
    store.add_key(project.id, name="k", read_only=False, token=made)
    return made


def bearer(key: str) -> bytes:
    return f"Bearer {key}".encode()


def test_known_key_goes_on_and_no_other_is_called_unknown_while_the_store_is_away(
    store: Store, leave: Callable[[], None]
) -> None:
    known, other, wrong = token(store), token(store), "sp_0000000000_" + "x" * 43

    async def run() -> None:
        callers = Callers(store, grace=3600)
        caller = await callers.check(bearer(known))
        with pytest.raises(Unauthorized):
            await callers.check(bearer(wrong))
        leave()
        # The wrong one was unknown a moment ago, which nobody can say any more.
        for key in (other, wrong):
            with pytest.raises(Unavailable, match="not those of this version"):
                await callers.check(bearer(key))
        assert callers.away is not None
        assert await callers.check(bearer(known)) == caller

    asyncio.run(run())


def test_known_key_is_looked_up_again_once_the_grace_is_over(
    store: Store, leave: Callable[[], None], change: Callable[[str], None]
) -> None:
    key = token(store)

    async def run() -> None:
        callers = Callers(store, grace=0)
        await callers.check(bearer(key))
        leave()
        with pytest.raises(Unavailable):
            await callers.check(bearer(key))
        change("ALTER TABLE elsewhere RENAME TO api_keys")
        await callers.check(bearer(key))
        store.revoke_key(key.split("_")[1])
        with pytest.raises(Unauthorized):
            await callers.check(bearer(key))

    asyncio.run(run())


def test_revocation_is_learnt_of_however_long_the_store_was_away(
    store: Store, leave: Callable[[], None], change: Callable[[str], None]
) -> None:
    key, stays = token(store), token(store)

    async def run() -> None:
        callers = Callers(store, grace=24 * 3600)
        for each in (key, stays):
            await callers.check(bearer(each))
        callers._told_at -= 2 * HOUR_US
        store.revoke_key(key.split("_")[1])
        change(f"UPDATE api_keys SET updated_at = updated_at - {HOUR_US}")
        leave()
        with pytest.raises(StoreUnavailable):
            await callers._look()
        await callers.check(bearer(key))
        change("ALTER TABLE elsewhere RENAME TO api_keys")
        await callers._look()
        with pytest.raises(Unauthorized):
            await callers.check(bearer(key))
        await callers.check(bearer(stays))

    asyncio.run(run())
