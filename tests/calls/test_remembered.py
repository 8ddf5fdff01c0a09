"""What was asked for of late stays, and what was not makes room."""

from __future__ import annotations

from standpipe.calls.remembered import Remembered


def of(number: int) -> bytes:
    return b"%d" % number


def test_what_is_asked_for_stays_and_the_rest_is_bounded() -> None:
    known: Remembered[int] = Remembered(10)
    for number in range(1000):
        known.put(of(number), number)
        assert known.find(of(0)) == 0
        assert sum(of(each) in known for each in range(1000)) <= 20
    assert all(known.find(of(number)) == number for number in range(991, 1000))


def test_all_are_kept_while_they_are_few() -> None:
    known: Remembered[int] = Remembered(10)
    for number in (*range(10), *range(10)):
        known.put(of(number), number)
    assert [known.find(of(number)) for number in range(10)] == list(range(10))


def test_the_newest_is_found_and_the_forgotten_is_not() -> None:
    known: Remembered[str] = Remembered(1)
    assert not known
    known.put(b"a", "old")
    known.put(b"b", "other")
    known.put(b"a", "new")
    assert known.find(b"a") == "new"
    assert known.newer[b"a"] == "new"
    known.forget(b"a")
    known.forget(b"b")
    assert known.find(b"a") is None
    assert not known
