"""What a node needs of its machine and of those that it shares something with."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator

from standpipe.cli.checks import Finding, Patient
from standpipe.config import without_password

#: Seconds that a clock may differ: times of records are each node's own.
_APART_S = 2.0
#: Seconds that Redis may take.
_REDIS_S = 3.0
#: Open files below which a process is held up by them: each call takes two.
_FEW_FILES = 4096


def files(_patient: Patient) -> Iterator[Finding]:
    """Check how many files a process may open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    told = "any number" if hard == resource.RLIM_INFINITY else f"{hard:,} a process at most"
    if hard != resource.RLIM_INFINITY and hard < _FEW_FILES:
        advice = "each call takes two: raise LimitNOFILE of the unit, or `ulimit -Hn`"
        yield Finding("note", "Open files", told, advice)
    else:
        yield Finding("ok", "Open files", told)


def clock(patient: Patient) -> Iterator[Finding]:
    """Compare the database's clock with ours."""
    if patient.store is None or patient.store.version()[0] == "sqlite":
        return
    before = time.time()
    theirs = patient.store.clock()
    yield compared("the database", theirs, before, time.time())


def limits(patient: Patient) -> Iterator[Finding]:
    """Check where limits are counted."""
    redis = patient.settings.limits.redis
    if redis is None:
        yield Finding("ok", "Limits", "each node counts by itself")
        return
    what = {"refuse": "are answered 503", "local": "are counted by each node"}
    advice = f"calls with a limit {what[patient.settings.limits.when_away]} meanwhile"
    yield from _redis("Redis", redis.reveal(), advice)


def cache(patient: Patient) -> Iterator[Finding]:
    """Check the Redis that keeps cached answers, where there is one."""
    redis = patient.settings.cache.redis
    if redis is not None:
        advice = "calls that ask for a cached answer have their own made meanwhile"
        yield from _redis("Cache", redis.reveal(), advice)


def compared(whose: str, theirs: float, before: float, after: float) -> Finding:
    """Return what there is to say of a clock that was read between two moments of ours."""
    apart = max(before - theirs, theirs - after, 0.0)
    told = f"that of {whose} is {apart:.1f} s from ours"
    if apart > _APART_S:
        advice = "let both follow one time (NTP): times of records and limits depend on it"
        return Finding("wrong", "Clock", told, advice)
    return Finding("ok", "Clock", told)


def _redis(what: str, url: str, advice: str) -> Iterator[Finding]:
    """Say whether a Redis answers; `advice` is what happens while it does not."""
    shown = without_password(url)
    try:
        from redis import Redis, RedisError
    except ImportError:
        yield Finding("wrong", what, shown, "pip install 'standpipe[redis]'")
        return
    try:
        with Redis.from_url(
            url, socket_timeout=_REDIS_S, socket_connect_timeout=_REDIS_S
        ) as client:
            before = time.time()
            seconds, microseconds = client.time()
            after = time.time()
    except (RedisError, ValueError, OSError) as error:
        yield Finding("wrong", what, f"{shown}: {_why(error)}", advice)
        return
    yield Finding("ok", what, f"{shown} answers")
    yield compared("Redis", seconds + microseconds / 1e6, before, after)


def _why(error: Exception) -> str:
    # Of what a client's library says, the first line: it may quote a URL in the rest.
    return without_password(str(error).partition("\n")[0]) or type(error).__name__
