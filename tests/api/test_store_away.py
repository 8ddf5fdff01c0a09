"""The store away, held, locked, full or without its tables: calls go on, reading must wait."""

from __future__ import annotations

import contextlib
import resource
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import postgres
import psutil
import pytest
import serving
from asking import CHAT, HI, Asker, until
from misbehaving import Misbehaving
from serving import Answer, Standpipe

from standpipe.store import Store, new_token

NEVER_MADE = "sp_0000000000_" + "x" * 43
#: Words that name the database, none of which a caller may read.
HIDDEN = (postgres.PASSWORD, postgres.USER + "@", postgres.HOST, "psycopg", "sqlite3", "SELECT")


@pytest.fixture(scope="module")
def database() -> Iterator[postgres.Server]:
    with postgres.running() as server:
        yield server


def configuration(upstream: Misbehaving) -> str:
    return serving.provider("openai", upstream.url, api_key='"sk-upstream"', models='["ok"]')


def without_tables(server: postgres.Server, database: str, *, away: bool) -> None:
    names = ("records", "records_elsewhere")
    old, new = names if away else reversed(names)
    keys = ("api_keys", "keys_elsewhere")
    old_keys, new_keys = keys if away else reversed(keys)
    with server.connect(database) as connection:
        connection.execute(f"ALTER TABLE {old} RENAME TO {new}".encode())
        connection.execute(f"ALTER TABLE {old_keys} RENAME TO {new_keys}".encode())


@dataclass(frozen=True)
class Way:
    """A way for the store to be away, and back; what it does to a PostgreSQL and a database."""

    leave: Callable[[postgres.Server, str], None]
    come: Callable[[postgres.Server, str], None]


WAYS = {
    "killed": Way(lambda server, _: server.kill(), lambda server, _: server.start()),
    "held": Way(lambda server, _: server.pause(), lambda server, _: server.go_on()),
    "migrating": Way(
        lambda server, database: without_tables(server, database, away=True),
        lambda server, database: without_tables(server, database, away=False),
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_calls_go_on_and_reading_waits_while_the_store_is_away(
    tmp_path: Path, upstream: Misbehaving, database: postgres.Server, way: str
) -> None:
    url = database.create(way)
    with serving.serving(tmp_path, configuration(upstream), STORE_URL=url) as server:
        known, late, revoked = (key_of(url) for _ in range(3))
        seen = [call(server, known), call(server, revoked)]
        WAYS[way].leave(database, way)
        with coming_back(WAYS[way], database, way):
            until(lambda: health(server).get("store") == "unavailable")
            # More than there are threads: none of them may stand in the way of a call.
            with ThreadPoolExecutor(24) as others:
                asking = [
                    others.submit(Asker(server, key).ask, method, CHAT, body)
                    for key in (late, NEVER_MADE, *[known] * 10)
                    for method, body in (("GET", None), ("POST", {"model": "ok", "messages": HI}))
                    if key != known or body is None
                ]
                seen += [call(server, known) for _ in range(20)]
            answers = [answer.result() for answer in asking]
            assert [answer.status for answer in answers] == [503] * len(answers)
            assert all(says_when_and_hides_where(answer) for answer in answers)
            assert health(server)["store_away_since"].endswith("Z")
        with closing(Store.open(url)) as store:
            store.revoke_key(public_id(revoked))
            until(lambda: Asker(server, revoked).ask("GET", "/models").status == 401)
            until(lambda: Asker(server, NEVER_MADE).ask("GET", "/models").status == 401)
            seen.append(call(server, late))
            until(lambda: len(rows(store)) == len(seen))
            assert sorted(rows(store)) == sorted(seen)
        assert "store_away_since" not in health(server)
        assert Asker(server, known).ask("GET", CHAT).status == 200


@contextlib.contextmanager
def coming_back(way: Way, server: postgres.Server, database: str) -> Iterator[None]:
    try:
        yield
    finally:
        way.come(server, database)


def test_known_keys_work_no_longer_than_the_grace(
    tmp_path: Path, upstream: Misbehaving, database: postgres.Server
) -> None:
    settings = {"STORE_URL": database.create("grace"), "STORE_KEY_GRACE": "3"}
    with serving.serving(tmp_path, configuration(upstream), **settings) as server:
        asker = Asker(server, serving.KEY)
        call(server, serving.KEY)
        database.stop()
        try:
            until(lambda: asker.ask("GET", "/models").status == 503)
            answer = asker.ask("POST", CHAT, {"model": "ok", "messages": HI})
            assert answer.status == 503
            assert says_when_and_hides_where(answer)
        finally:
            database.start()
        until(lambda: asker.ask("GET", "/models").status == 200)
        call(server, serving.KEY)


def test_server_starts_while_the_store_is_away_and_serves_when_it_is_there(
    tmp_path: Path, upstream: Misbehaving, database: postgres.Server
) -> None:
    url = database.create("late")
    database.stop()
    try:
        server = serving.start(tmp_path, configuration(upstream), STORE_URL=url, API_KEY="")
        server.wait()
        until(lambda: "Stop with Ctrl-C" in server.log.read_text())
        assert "the store is away" in server.log.read_text()
        assert Asker(server, NEVER_MADE).ask("GET", "/models").status == 503
    finally:
        database.start()
    try:
        until(lambda: "the store is there now" in server.log.read_text())
        # Other processes may have said something behind it.
        said = server.log.read_text().rpartition("shown this once: ")[2].split()[0]
        seen = [call(server, said)]
        with closing(Store.open(url)) as store:
            until(lambda: rows(store) == seen)
        assert postgres.PASSWORD not in server.log.read_text()
    finally:
        assert server.stop() == 0


def test_calls_go_on_while_another_process_has_locked_the_file(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    with serving.serving(tmp_path, configuration(upstream)) as server:
        file = tmp_path / "standpipe.db"
        late = key_of(f"sqlite:///{file}")
        seen = [call(server, serving.KEY)]
        until(lambda: count(file) == 1)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            seen += [call(server, key) for key in (serving.KEY, late) for _ in range(3)]
            changed = Asker(server, serving.KEY).ask(
                "POST", "/logs/update-metadata", {"filters": [], "metadata": {"a": "b"}}
            )
            assert changed.status == 503
            assert "locked" in changed.json["message"]
            assert says_when_and_hides_where(changed)
            other.execute("ROLLBACK")
        with closing(Store.open(f"sqlite:///{file}")) as store:
            until(lambda: sorted(rows(store)) == sorted(seen))


def test_calls_go_on_while_the_disk_of_the_database_is_full(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    with serving.serving(tmp_path, configuration(upstream)) as server:
        seen = [call(server, serving.KEY)]
        until(lambda: count(tmp_path / "standpipe.db") == 1)
        drain = server.child("standpipe.drain")
        before = drain.rlimit(psutil.RLIMIT_FSIZE)
        drain.rlimit(psutil.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        seen += [call(server, serving.KEY) for _ in range(20)]
        until(lambda: "records wait in the spool" in server.log.read_text())
        assert Asker(server, serving.KEY).ask("GET", CHAT).status == 200
        drain.rlimit(psutil.RLIMIT_FSIZE, before)
        with closing(Store.open(f"sqlite:///{tmp_path / 'standpipe.db'}")) as store:
            until(lambda: sorted(rows(store)) == sorted(seen))


def key_of(url: str) -> str:
    """Make a key that no worker has seen."""
    with closing(Store.open(url)) as store:
        _, token = new_token()
        store.add_key(store.projects()[0].id, name="test", read_only=False, token=token)
    return token


def public_id(token: str) -> str:
    return token.split("_")[1]


def call(server: Standpipe, key: str) -> str:
    """Make a call that must be answered; return its id."""
    return str(Asker(server, key).chat()["request_id"])


def health(server: Standpipe) -> dict[str, str]:
    answer = serving.call(server, "GET", "/health", root=True)
    assert answer.status == 200
    found: dict[str, str] = answer.json
    return found


def says_when_and_hides_where(answer: Answer) -> bool:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    assert int(headers["retry-after"]) >= 1
    assert answer.json["code"] == "SERVICE_UNAVAILABLE"
    assert "the store is away: it" in answer.json["message"]
    return not any(word in answer.body.decode() for word in HIDDEN)


def rows(store: Store) -> list[str]:
    return [row.id for row in store.each_log(None)]


def count(file: Path) -> int:
    with closing(Store.open(f"sqlite:///{file}")) as store:
        return len(rows(store))
