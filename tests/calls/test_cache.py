"""The response cache by itself: its key, its memory, its shelves, and who waits for whom."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import redis_server
from typing_extensions import override

from standpipe.calls.cache import entry as entries
from standpipe.calls.cache import redis_shelf
from standpipe.calls.cache import shelf as shelves
from standpipe.calls.cache.cache import Cache, Place
from standpipe.calls.cache.entry import Entry
from standpipe.calls.cache.front import FRESH_S, Front
from standpipe.calls.cache.keys import Keys
from standpipe.calls.cache.looks import THREADS, Looks
from standpipe.calls.cache.redis_shelf import RedisShelf, forget_others
from standpipe.calls.cache.shelf import Away, Patient, StoreShelf
from standpipe.calls.call import Call
from standpipe.calls.callers import Caller
from standpipe.calls.dispatch import Dispatch
from standpipe.calls.incoming import CacheMode, Incoming
from standpipe.calls.routes import Route, Routes, Target
from standpipe.errors import StoreUnavailable
from standpipe.providers.openai import OpenAI
from standpipe.providers.table import Provider
from standpipe.store import Project, Store
from standpipe.store.cache import WEEK_US, CachedAnswer
from standpipe.wire import chat

BOTH = CacheMode(reads=True, writes=True)
PLACE = Place("p", b"k")
ENTRY = Entry(b"{}", "openai", "gpt-4o", "gpt-4o-2024", ("n=emulated",))
#: A guard against hangs, in seconds.
WITHIN_S = 30


def run(asked: Awaitable[None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(WITHIN_S):
            await asked

    asyncio.run(within())


class Shelf:
    """Keeps answers in a dictionary, or fails."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.looks = 0
        self.is_away = False

    async def get(self, project: str, key: bytes) -> bytes | None:
        self.looks += 1
        if self.is_away:
            raise Away("gone fishing")
        return self.kept.get(key)

    async def put(self, answers: list[CachedAnswer]) -> None:
        if self.is_away:
            raise Away("gone fishing")
        self.kept |= {each.hash: each.answer for each in answers}

    async def close(self) -> None: ...


class Telling:
    """What two calls do with what the cache tells them."""

    def __init__(self, made: Entry | None = ENTRY) -> None:
        self.made = made
        self.told: list[Entry] = []
        self.asked = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def tell(self, entry: Entry) -> None:
        self.told.append(entry)

    async def make(self) -> Entry | None:
        self.asked += 1
        await self.may_go_on.wait()
        return self.made


# --- the key --------------------------------------------------------------------------------------


def key(body: str, project: str = "p", **more: object) -> bytes:
    route = Route((Target("there", "m", parameters=more),), name="m")
    routes = Routes({"there": Provider("there", OpenAI())}, {"m": route})
    call = Call(Incoming(), Caller(project, "k", read_only=False), body.encode())
    return Keys(Dispatch(routes, {})).of(call, chat.parse(call.body))


def test_key_is_of_what_is_said_and_not_of_how_it_is_written() -> None:
    said = '{"model":"m","messages":[{"role":"user","content":"\\u00e4"}],"temperature":1}'
    written = (
        '{ "temperature" : 1, "user": null,\n"messages": [ {"content": "ä", "role":"user"} ],'
        ' "model": "m", "metadata": {"a":"b"} }'
    )
    assert key(said) == key(written)
    assert key(said) != key(said, project="q")
    assert key(said) != key(said, temperature=0.5)
    assert key(said) != key(said.replace("u00e4", "u00e5"))


def test_what_no_number_holds_is_told_apart_by_its_text() -> None:
    said = '{{"model":"m","messages":[{{"role":"user","content":"Hi"}}],"x_more":{}}}'
    numbers = [said.format(each) for each in ("1e999", "1e998", "null", '"1e999"')]
    assert len({key(each) for each in numbers}) == 4


def test_entry_is_read_again_and_one_of_another_form_is_none() -> None:
    assert entries.decode(entries.encode(ENTRY)) == ENTRY
    assert entries.decode(msgspec.msgpack.encode({"form": 2})) is None
    assert entries.decode(b"\xc1") is None


# --- memory ---------------------------------------------------------------------------------------


def test_memory_holds_the_newest_for_a_minute() -> None:
    now = 0.0
    front = Front(10_000, clock=lambda: now)
    for number in range(20):
        front.put(b"%d" % number, ENTRY)
    assert front.size <= 10_000
    assert front.find(b"0") is None
    assert front.find(b"19") == ENTRY
    now = FRESH_S + 1
    assert front.find(b"19") is None
    front.put(b"20", ENTRY)
    assert front.size < 1000


def test_memory_does_not_hold_what_would_take_most_of_it() -> None:
    front = Front(10_000)
    front.put(b"k", ENTRY)
    front.put(b"k", Entry(b"x" * 5000, "p", "m"))
    assert front.find(b"k") is None
    assert front.size == 0
    nothing = Front(0)
    nothing.put(b"k", ENTRY)
    assert nothing.find(b"k") is None


# --- who waits for whom ---------------------------------------------------------------------------


def test_calls_wait_for_the_one_that_has_the_answer_made() -> None:
    async def asked() -> None:
        caller, shelf = Telling(), Shelf()
        caller.may_go_on.clear()
        cache = Cache(shelf, memory=0)
        calls = [cache.serve(PLACE, BOTH, caller.tell, caller.make) for _ in range(5)]
        tasks = [asyncio.create_task(each) for each in calls]
        await asyncio.sleep(0)
        caller.may_go_on.set()
        await asyncio.gather(*tasks)
        await cache.close()
        assert (caller.asked, caller.told, shelf.looks) == (1, [ENTRY] * 4, 1)
        assert cache.counts["waited"] == 4
        assert entries.decode(shelf.kept[b"k"]) == ENTRY

    run(asked())


@pytest.mark.parametrize("made", [None, asyncio.CancelledError])
def test_when_it_comes_to_nothing_the_next_one_has_it_made(
    made: type[BaseException] | None,
) -> None:
    class Failing(Telling):
        @override
        async def make(self) -> Entry | None:
            entry = await super().make()
            if self.asked > 1:
                return entry
            if made is not None:
                raise made
            return None

    async def asked() -> None:
        caller = Failing()
        caller.may_go_on.clear()
        cache = Cache(Shelf(), memory=0)
        tasks = [
            asyncio.create_task(cache.serve(PLACE, BOTH, caller.tell, caller.make))
            for _ in range(4)
        ]
        await asyncio.sleep(0.01)
        caller.may_go_on.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        await cache.close()
        assert (caller.asked, len(caller.told)) == (2, 2)

    run(asked())


def test_nobody_waits_for_ever() -> None:
    async def asked() -> None:
        caller, other = Telling(), Telling()
        caller.may_go_on.clear()
        cache = Cache(Shelf(), memory=0, wait=0.01)
        first = asyncio.create_task(cache.serve(PLACE, BOTH, caller.tell, caller.make))
        await asyncio.sleep(0)
        await cache.serve(PLACE, BOTH, other.tell, other.make)
        assert other.asked == 1
        caller.may_go_on.set()
        await first
        await cache.close()

    run(asked())


# --- a shelf that is away -------------------------------------------------------------------------


def test_shelf_that_is_away_is_a_miss_and_is_left_alone_for_a_moment() -> None:
    async def asked() -> None:
        shelf = Shelf()
        shelf.is_away = True
        patient = Patient(shelf)
        assert await patient.get("p", b"k") is None
        assert await patient.get("p", b"k") is None
        assert shelf.looks == 1
        patient.put(CachedAnswer("p", b"k", b"a"))
        await patient.close()
        assert (patient.dropped, patient.written) == (1, 0)

    run(asked())


def test_what_waits_to_be_written_is_bounded() -> None:
    async def asked() -> None:
        patient = Patient(Shelf())
        for number in range(Patient.MOST + 5):
            patient.put(CachedAnswer("p", b"%d" % number, b"a"))
        await patient.close()
        assert (patient.dropped, patient.written) == (5, Patient.MOST)
        assert patient.written_bytes == Patient.MOST

    run(asked())


# --- real shelves ---------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(f"sqlite:///{tmp_path}/standpipe.db")) as opened:
        opened.migrate()
        yield opened


@pytest.fixture
def project(store: Store) -> Project:
    return store.add_project("ours")


@pytest.fixture(scope="module")
def redis() -> Iterator[redis_server.Server]:
    with redis_server.running() as server:
        yield server


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    # A machine on which much else is tested may be slow.
    monkeypatch.setattr(redis_shelf, "TIMEOUT_S", float(WITHIN_S))
    monkeypatch.setattr(shelves, "LOOK_S", float(WITHIN_S))


Opened = Callable[[int], StoreShelf | RedisShelf]


@pytest.fixture(params=["store", "redis"])
def opened(request: pytest.FixtureRequest, store: Store) -> Opened:
    """Return what opens a shelf with room for so many bytes."""
    if request.param == "store":
        return lambda most: StoreShelf(store, most)
    server: redis_server.Server = request.getfixturevalue("redis")
    server.forget()
    return lambda most: RedisShelf(server.url, most)


def test_shelf_keeps_answers_by_project(opened: Opened, project: Project) -> None:
    async def asked() -> None:
        shelf = opened(1 << 20)
        await shelf.put([CachedAnswer(project.id, b"k", b"\x00a")])
        await shelf.put([CachedAnswer(project.id, b"k", b"\x00b")])
        assert await shelf.get(project.id, b"k") == b"\x00b"
        assert await shelf.get(project.id, b"l") is None
        assert await shelf.get("other", b"k") is None
        await shelf.close()

    run(asked())


def test_shelf_keeps_the_newest_where_there_is_no_more_room(
    opened: Opened, project: Project
) -> None:
    async def asked() -> None:
        shelf = opened(300)
        for number in range(10):
            await shelf.put([CachedAnswer(project.id, b"%d" % number, b"x" * 100)])
        found = [await shelf.get(project.id, b"%d" % number) for number in range(10)]
        assert [each is not None for each in found] == [False] * 7 + [True] * 3
        await shelf.close()

    run(asked())


def test_store_that_is_away_is_told_as_such(tmp_path: Path) -> None:
    async def asked() -> None:
        with closing(Store.open(f"sqlite:///{tmp_path}/none/standpipe.db")) as away:
            shelf = StoreShelf(away, 1000)
            with pytest.raises(Away):
                await shelf.get("p", b"k")
            with pytest.raises(Away):
                await shelf.put([CachedAnswer("p", b"k", b"a")])
            await shelf.close()

    run(asked())


def test_redis_that_stops_is_told_as_away_and_nothing_is_lost_but_answers() -> None:
    async def asked() -> None:
        with redis_server.running() as server:
            shelf = RedisShelf(server.url, 1000)
            await shelf.put([CachedAnswer("p", b"k", b"a")])
            server.stop()
            with pytest.raises(Away) as caught:
                await shelf.get("p", b"k")
            assert redis_server.PASSWORD not in str(caught.value)
            with pytest.raises(Away):
                await shelf.put([CachedAnswer("p", b"k", b"a")])
            assert forget_others(server.url, []) == 0
            server.start()
            assert await shelf.get("p", b"k") is None
            await shelf.close()

    run(asked())


def test_answers_of_removed_projects_leave_redis(redis: redis_server.Server) -> None:
    redis.forget()

    async def asked() -> None:
        shelf = RedisShelf(redis.url, 1 << 20)
        many = [CachedAnswer("gone", b"%d" % number, b"a") for number in range(250)]
        await shelf.put([*many, CachedAnswer("here", b"k", b"a")])
        assert forget_others(redis.url, ["here"]) == 250
        assert forget_others(redis.url, ["here"]) == 0
        assert await shelf.get("gone", b"1") is None
        assert await shelf.get("here", b"k") == b"a"
        await shelf.close()

    run(asked())
    with redis.client() as client:
        assert client.get("standpipe:{cache}:bytes") == "1"
        assert client.zcard("standpipe:{cache}:order") == 1


def test_redis_that_throws_away_what_it_knows_of_the_answers_keeps_some_again(
    redis: redis_server.Server,
) -> None:
    async def asked() -> None:
        shelf = RedisShelf(redis.url, 300)
        for lost in ("sizes", "order", "bytes", "projects"):
            redis.forget()
            for number in range(3):
                await shelf.put([CachedAnswer("p", b"%d" % number, b"x" * 100)])
            with redis.client() as client:
                client.delete("standpipe:{cache}:" + lost)
            for number in range(3, 9):
                await shelf.put([CachedAnswer("p", b"%d" % number, b"x" * 100)])
            assert await shelf.get("p", b"8") is not None, lost
            with redis.client() as client:
                assert 0 < int(str(client.get("standpipe:{cache}:bytes"))) <= 300, lost
        await shelf.close()

    run(asked())


def test_redis_lets_answers_expire_after_a_week(redis: redis_server.Server) -> None:
    async def asked() -> None:
        shelf = RedisShelf(redis.url, 1000)
        await shelf.put([CachedAnswer("p", b"k", b"a")])
        await shelf.close()

    redis.forget()
    run(asked())
    with redis.client() as client:
        left_ms = int(str(client.pttl("standpipe:{cache}:answer:p:" + b"k".hex())))
        assert 0 < left_ms <= WEEK_US // 1000
        # As if a week had passed: the next answer takes its place in the sums.
        client.zadd("standpipe:{cache}:order", {"standpipe:{cache}:answer:p:" + b"k".hex(): 1})
    run(_put_one(redis))
    with redis.client() as client:
        assert client.get("standpipe:{cache}:bytes") == "2"
        assert client.zcard("standpipe:{cache}:order") == 1


async def _put_one(redis: redis_server.Server) -> None:
    shelf = RedisShelf(redis.url, 1000)
    await shelf.put([CachedAnswer("p", b"l", b"ab")])
    await shelf.close()


def test_database_that_hangs_holds_no_call_for_long() -> None:
    async def asked() -> None:
        may_answer = threading.Event()

        def hang(project: str, key: bytes) -> bytes | None:
            assert may_answer.wait(WITHIN_S)
            return project.encode() + key

        looks = Looks(hang, patience=0.05)
        found = await asyncio.gather(
            *(looks.find("p", b"%d" % number) for number in range(9)), return_exceptions=True
        )
        assert {type(each) for each in found} == {StoreUnavailable}
        left = asyncio.create_task(looks.find("p", b"k"))
        await asyncio.sleep(0)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        may_answer.set()
        patient = Looks(hang, patience=WITHIN_S)
        assert await patient.find("p", b"k") == b"pk"
        looks.close()
        patient.close()

    run(asked())


def test_looks_that_fail_are_told_and_the_next_ones_answered() -> None:
    async def asked() -> None:
        def find(project: str, key: bytes) -> bytes | None:
            if key == b"bad":
                raise ValueError(project)
            return key

        looks = Looks(find, patience=WITHIN_S)
        for _ in range(2 * THREADS):
            with pytest.raises(ValueError, match="p"):
                await looks.find("p", b"bad")
        assert await asyncio.gather(*(looks.find("p", b"k") for _ in range(50))) == [b"k"] * 50
        looks.close()

    run(asked())
