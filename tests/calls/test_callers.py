"""Keys in memory: what is known of them, for how long, and what is told of the others."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from standpipe.calls.callers import Callers, _caller
from standpipe.calls.remembered import Remembered
from standpipe.errors import StoreUnavailable, Unauthorized, Unavailable
from standpipe.store import Key, Store, new_token

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


def test_no_more_keys_are_remembered_than_wanted_and_each_works(
    store: Store, leave: Callable[[], None]
) -> None:
    keys = [token(store) for _ in range(7)]

    async def run() -> None:
        callers = Callers(store, grace=3600, most=2)
        found = [await callers.check(bearer(key)) for key in keys]
        assert [await callers.check(bearer(key)) for key in keys] == found
        leave()
        # Those who called last are known, and the first has to be looked up again.
        assert await callers.check(bearer(keys[-1])) == found[-1]
        assert await callers.check(bearer(keys[-2])) == found[-2]
        with pytest.raises(Unavailable):
            await callers.check(bearer(keys[0]))

    asyncio.run(run())


def test_key_that_was_revoked_is_forgotten_wherever_it_is_remembered(store: Store) -> None:
    keys = [token(store) for _ in range(3)]

    async def run() -> None:
        callers = Callers(store, grace=3600, most=2)
        for key in keys:
            await callers.check(bearer(key))
        for key in keys[1:]:
            store.revoke_key(key.split("_")[1])
        await callers._look()
        for key in keys[1:]:
            with pytest.raises(Unauthorized):
                await callers.check(bearer(key))
        await callers.check(bearer(keys[0]))

    asyncio.run(run())


def test_a_remembered_key_takes_no_more_than_500_bytes() -> None:
    limits = '{"requests_per_minute":60,"dollars_per_month":"5"}'
    count = 10_000

    def remember() -> Remembered[object]:
        known: Remembered[object] = Remembered(count)
        for number in range(count):
            row = Key(
                id=f"{number:010}",
                project=f"0199f0a0-0000-7000-8000-{number % 100:012}",
                name="",
                token_hash=b"%032d" % number,
                read_only=False,
                created_at=0,
                updated_at=0,
                limits=limits,
                project_limits=limits,
            )
            known.put(row.token_hash, _caller(row))
        return known

    tracemalloc.start()
    try:
        known = remember()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert known
    assert held / count <= 500
