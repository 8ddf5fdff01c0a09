import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from typing_extensions import override

from standpipe.outbox import LARGE, Outbox

Sent = list[tuple[str, bytes]]


class Wire(asyncio.Transport):
    """A transport that notes what it is given, in one list with others."""

    def __init__(self, name: str, sent: Sent) -> None:
        super().__init__()
        self.name, self.sent = name, sent
        self.closing = False

    @override
    def write(self, data: Any) -> None:
        self.sent.append((self.name, bytes(data)))

    @override
    def is_closing(self) -> bool:
        return self.closing

    @override
    def abort(self) -> None:
        self.closing = True


class Torn(Wire):
    """One that raises."""

    @override
    def write(self, data: Any) -> None:
        raise RuntimeError("torn")


@pytest.fixture
def sent() -> Sent:
    return []


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


async def a_turn() -> None:
    await asyncio.sleep(0)


def test_writes_of_a_turn_go_out_in_their_order_when_it_is_over(sent: Sent) -> None:
    async def scenario() -> None:
        box, one, two = Outbox(), Wire("one", sent), Wire("two", sent)
        box.put(one, b"a")
        box.put(two, b"b")
        box.put(one, b"c")
        assert sent == []
        await a_turn()
        assert sent == [("one", b"a"), ("two", b"b"), ("one", b"c")]

    run(scenario)


def test_flush_sends_what_waits_and_the_turns_end_nothing_twice(sent: Sent) -> None:
    async def scenario() -> None:
        box, wire = Outbox(), Wire("wire", sent)
        box.put(wire, b"a")
        box.put(wire, b"b")
        box.flush()
        assert sent == [("wire", b"a"), ("wire", b"b")]
        await a_turn()
        assert len(sent) == 2

    run(scenario)


def test_write_that_was_alone_in_its_turn_lets_the_next_go_at_once(sent: Sent) -> None:
    async def scenario() -> None:
        box, wire = Outbox(), Wire("wire", sent)
        box.put(wire, b"first")
        await a_turn()
        for number in range(32):
            box.put(wire, b"at once")
            assert len(sent) == number + 2
        box.put(wire, b"kept back, to see whether it is alone")
        assert len(sent) == 33
        await a_turn()
        assert len(sent) == 34

    run(scenario)


def test_writes_that_had_company_go_on_being_kept_back(sent: Sent) -> None:
    async def scenario() -> None:
        box, one, two = Outbox(), Wire("one", sent), Wire("two", sent)
        for turn in range(1, 50):
            box.put(one, b"a")
            box.put(two, b"b")
            assert len(sent) == 2 * (turn - 1)
            await a_turn()
            assert len(sent) == 2 * turn

    run(scenario)


def test_large_write_goes_at_once_behind_what_waits(sent: Sent) -> None:
    async def scenario() -> None:
        box, one, two = Outbox(), Wire("one", sent), Wire("two", sent)
        box.put(one, b"small")
        box.put(two, bytes(LARGE + 1))
        assert sent == [("one", b"small"), ("two", bytes(LARGE + 1))]

    run(scenario)


def test_what_is_held_back_has_an_end_though_the_sender_never_waits(sent: Sent) -> None:
    async def scenario() -> None:
        box, wire = Outbox(), Wire("wire", sent)
        for _ in range(1000):
            box.put(wire, b"piece")
        assert len(sent) >= 1000 - 256

    run(scenario)


def test_nothing_is_written_to_a_transport_that_closed_meanwhile(sent: Sent) -> None:
    async def scenario() -> None:
        box, gone, there = Outbox(), Wire("gone", sent), Wire("there", sent)
        box.put(gone, b"a")
        box.put(there, b"b")
        gone.closing = True
        await a_turn()
        assert sent == [("there", b"b")]

    run(scenario)


@pytest.mark.parametrize("by", ["turn", "flush", "large write"])
def test_transport_that_raises_takes_nothing_from_the_others(sent: Sent, by: str) -> None:
    async def scenario() -> None:
        told: list[BaseException] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        box, torn, there = Outbox(), Torn("torn", sent), Wire("there", sent)
        box.put(there, b"a")
        box.put(torn, b"b")
        box.put(torn, b"what would follow a gap")
        last = bytes(LARGE + 1) if by == "large write" else b"c"
        box.put(there, last)
        if by == "flush":
            box.flush()
        elif by == "turn":
            await a_turn()
        assert sent == [("there", b"a"), ("there", last)]
        assert [str(error) for error in told] == ["torn"]
        assert torn.closing

    run(scenario)
