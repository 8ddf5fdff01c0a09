"""Who calls: keys checked from memory, looked up once, forgotten when they change.

While the store is away, nobody can say that a key is none: whoever is not known is asked to come
again. Whoever is known goes on, for a time, for a revocation may wait there unseen.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import sys
import time
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

import msgspec

from standpipe.calls.remembered import Remembered
from standpipe.errors import StoreUnavailable, Unauthorized, Unavailable
from standpipe.limits.limits import NONE, Limits, parsed
from standpipe.limits.messages import Subject
from standpipe.store.lane import Lane
from standpipe.store.rows import Key, now_us
from standpipe.store.store import Store

log = logging.getLogger(__name__)

#: Seconds for which a key that nobody knows is remembered as such.
UNKNOWN_SECONDS = 5.0
#: Known keys remembered at least; at most it is twice as many, at some 400 bytes each.
KNOWN_MOST = 100_000
#: Limits, projects' limits and lists of models that are kept once for all keys that have the same.
SHARED_MOST = 4096
#: Unknown keys remembered at most, so that guessing does not fill the memory.
UNKNOWN_MOST = 10_000
#: Seconds between two looks at what has changed in the store.
WATCH_SECONDS = 1.0
#: How far each look reaches back, in microseconds: clocks and commits are not instant.
OVERLAP_US = 10_000_000
#: Seconds that a look into the store may take.
LOOK_S = 5.0


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Who holds a key. There may be 100,000, so the garbage collector looks at none of them."""

    project: str
    #: Public id of the key.
    key: str
    read_only: bool
    #: What is kept of its calls' text; None for what the configuration says.
    content: Literal["full", "redacted", "none"] | None = None
    #: It may see, and with a key that is not read-only change, what is every project's.
    admin: bool = False
    #: When the key ends, in microseconds since the epoch; None for never.
    expires_at: int | None = None
    #: Patterns of the models it may ask for; None for all.
    models: tuple[str, ...] | None = None
    #: Those who are held to limits: the key, its project, both or none.
    subjects: tuple[Subject, ...] = ()

    @property
    def is_limited(self) -> bool:
        """Tell one whose calls not all may begin."""
        return bool(self.subjects) or self.models is not None

    def may_ask_for(self, model: str) -> bool:
        """Tell a model that it may have, by the name that it is asked for."""
        return self.models is None or any(fnmatchcase(model, each) for each in self.models)


class Away(NamedTuple):
    """That the store does not answer."""

    #: Microseconds since the epoch.
    since: int
    why: str


class Callers:
    """Keys to callers: one hash and one dictionary look-up for a key seen before."""

    def __init__(self, store: Store, *, grace: float, most: int = KNOWN_MOST) -> None:
        self._store = store
        #: Seconds that a key works without a word of the store.
        self._grace = grace
        self._lane = Lane("keys", threads=2, patience=LOOK_S)
        self._known: Remembered[Caller] = Remembered(most)
        self._unknown: dict[bytes, float] = {}
        self._asking: dict[bytes, asyncio.Task[Caller | None]] = {}
        #: When the store last told what has changed, and until when that will do (monotonic).
        self._told_at = now_us()
        self._good_until = time.monotonic() + grace
        #: Since when the store has not answered, and why; None if it does.
        self.away: Away | None = None

    async def check(self, authorization: bytes | None) -> Caller:
        """Return the caller of an Authorization header.

        Raises Unauthorized for no key or an unknown one, Unavailable if the store cannot say.
        """
        digest = digest_of(authorization)
        return self.seen(digest) or await self.holder(digest)

    def seen(self, digest: bytes) -> Caller | None:
        """Return the caller of a key that was seen before; None where `holder` must look."""
        caller = self._known.newer.get(digest)
        if caller is None or caller.expires_at is not None or time.monotonic() > self._good_until:
            return None
        return caller

    async def holder(self, digest: bytes) -> Caller:
        """Return the caller of a key by its digest; raises as `check` does."""
        caller = self._known.newer.get(digest)
        if caller is None or time.monotonic() > self._good_until:
            caller = await self._ask(digest)
        if caller is None:
            raise Unauthorized("UNAUTHORIZED", reason="unknown_key")
        if caller.expires_at is not None and now_us() >= caller.expires_at:
            raise Unauthorized("this key has expired", reason="expired_key")
        return caller

    def can_check_keys(self) -> bool:
        """Whether a key can be checked: any, or while the store is away one that is known."""
        is_good = bool(self._known) and time.monotonic() <= self._good_until
        return self.away is None or is_good

    async def watch(self) -> None:
        """Forget keys that were revoked or changed, for as long as this runs."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await self._look()
            except StoreUnavailable as error:
                self._is_away(error)

    async def _look(self) -> None:
        now, until = now_us(), time.monotonic() + self._grace
        # From the last look on, however long ago that was: others may have revoked meanwhile.
        since = self._told_at - OVERLAP_US
        for row in await self._lane.ask(self._store.keys_changed_since, since):
            self._refresh(row)
        self._told_at, self._good_until = now, until
        if self.away is not None:
            self.away = None
            log.warning("keys: the store is back")

    def _is_away(self, error: StoreUnavailable) -> None:
        if self.away is None:
            self.away = Away(now_us(), error.why)
            log.warning("keys: known ones work for %g s without the store: %s", self._grace, error)

    def _refresh(self, row: Key) -> None:
        self._unknown.pop(row.token_hash, None)
        if row.revoked_at is not None:
            self._known.forget(row.token_hash)
        elif row.token_hash in self._known:
            self._known.put(row.token_hash, _caller(row))

    async def _ask(self, digest: bytes) -> Caller | None:
        caller = self._known.find(digest)
        if caller is not None and time.monotonic() <= self._good_until:
            return caller
        until = self._unknown.get(digest, 0.0)
        if until > time.monotonic() and self.away is None:
            return None
        task = self._asking.get(digest)
        if task is None:
            task = self._asking[digest] = asyncio.create_task(self._look_up(digest))
        # A caller that leaves must not cancel the look-up that others wait for.
        await asyncio.wait([task])
        return task.result()

    async def _look_up(self, digest: bytes) -> Caller | None:
        try:
            row = await self._lane.ask(self._store.key_by_hash, digest)
        except StoreUnavailable as error:
            self._is_away(error)
            message = f"the key cannot be checked, for the store is away: {error.why}; try again"
            raise Unavailable(message) from error
        finally:
            del self._asking[digest]
        if row is None or row.revoked_at is not None:
            self._known.forget(digest)
            self._remember_unknown(digest)
            return None
        caller = _caller(row)
        self._known.put(digest, caller)
        return caller

    def _remember_unknown(self, digest: bytes) -> None:
        if len(self._unknown) >= UNKNOWN_MOST:
            self._unknown.clear()
        self._unknown[digest] = time.monotonic() + UNKNOWN_SECONDS


def _caller(row: Key) -> Caller:
    models = None if row.models is None else _models(row.models)
    limits = _limits(row.limits)
    own = () if limits == NONE else (Subject("key", row.id, limits),)
    return Caller(
        project=sys.intern(row.project),
        key=row.id,
        read_only=row.read_only,
        content=row.content,
        admin=bool(row.admin),
        expires_at=row.expires_at,
        models=models,
        subjects=own + _shared(row.project, row.project_limits),
    )


@functools.lru_cache(SHARED_MOST)
def _limits(text: str | None) -> Limits:
    return parsed(text)


@functools.lru_cache(SHARED_MOST)
def _models(text: str) -> tuple[str, ...]:
    return msgspec.json.decode(text, type=tuple[str, ...])


@functools.lru_cache(SHARED_MOST)
def _shared(project: str, text: str | None) -> tuple[Subject, ...]:
    """Return a project as what is held to its limits, if it has any."""
    limits = _limits(text)
    return () if limits == NONE else (Subject("project", sys.intern(project), limits),)


def digest_of(authorization: bytes | None) -> bytes:
    """Return what a key is known by; Unauthorized for a header that has none."""
    return hashlib.sha256(_token(authorization)).digest()


def _token(authorization: bytes | None) -> bytes:
    """Return what follows the first space of the header (spec 1.1)."""
    scheme, found, token = (authorization or b"").partition(b" ")
    if not found or scheme.lower() != b"bearer" or not token:
        raise Unauthorized("UNAUTHORIZED", reason="no_key")
    return token
