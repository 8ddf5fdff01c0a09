"""Several keys of one provider: used in turn, resting when they are refused."""

from __future__ import annotations

import pytest

from standpipe.calls.provider_keys import REFUSED_SECONDS, ProviderKey, ProviderKeys
from standpipe.errors import ApiError, KeyRefused, Refused, Unreachable

REFUSED = KeyRefused("no")


def ring(now: list[float], count: int = 3) -> ProviderKeys:
    return ProviderKeys((ProviderKey((), b"k", place) for place in range(count)), lambda: now[0])


def used_up(retry_after: float | None = None) -> Refused:
    return Refused(429, "TOO_MANY_REQUESTS", "slow down", retry_after=retry_after)


def places(keys: ProviderKeys, count: int) -> list[int | None]:
    return [keys.take().place for _ in range(count)]


def test_keys_are_used_in_turn() -> None:
    assert places(ring([0.0]), 7) == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize(
    ("error", "rest"), [(REFUSED, REFUSED_SECONDS), (used_up(7), 7), (used_up(0), 1)]
)
def test_refused_key_rests_and_comes_back(error: ApiError, rest: float) -> None:
    now = [0.0]
    keys = ring(now)
    assert keys.refused(keys.take(), error)
    assert places(keys, 4) == [1, 2, 1, 2]
    now[0] = rest
    assert 0 in places(keys, 3)


def test_when_all_rest_the_first_to_wake_is_used() -> None:
    keys = ring([0.0])
    told = [keys.refused(keys.take(), used_up(wait)) for wait in (9, 5, 7)]
    assert told == [True, True, False]
    assert places(keys, 2) == [1, 1]


def test_what_is_not_about_the_key_leaves_it_alone() -> None:
    keys = ring([0.0])
    key = keys.take()
    for error in (Unreachable("gone"), Refused(500, "X", "x"), Refused(400, "X", "x")):
        assert not keys.refused(key, error)
    assert places(keys, 3) == [1, 2, 0]


def test_only_key_never_rests() -> None:
    keys = ProviderKeys([ProviderKey((), b"k")])
    assert keys.only is not None
    assert not keys.refused(keys.only, REFUSED)


def test_key_does_not_show_itself() -> None:
    assert "sk-canary" not in repr(ProviderKey(((b"authorization", b"sk-canary"),), b"sk-canary"))
