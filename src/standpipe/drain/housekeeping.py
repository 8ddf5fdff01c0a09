"""What the drain does when nothing waits: it ends what was kept long enough, little by little."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

import msgspec

from standpipe.config import Retention
from standpipe.drain.prices import Prices
from standpipe.drain.rows import lost_row
from standpipe.spool import names
from standpipe.store.cache import WEEK_US
from standpipe.store.rows import Batch, OpenStream, Project, now_us
from standpipe.store.store import Store
from standpipe.wire.record import Begin, decode

#: Seconds from the start, from the end of a round over all projects or of a slice of one, to what
#: comes next.
EVERY_S = 60.0
#: Seconds of work in a slice.
SLICE_S = 5.0
#: Seconds of work after which the drain looks for records again.
PIECE_S = 0.1

_DAY_US = 86_400_000_000

Verb = Callable[[], int]


class Housekeeping:
    """Goes round the projects of a store; several drains may do so in one database.

    `spool` is where the segments of this node are, None where it has none. Of cached answers, so
    many bytes are left there; `forget` deletes those that are kept elsewhere and are of none of the
    projects that it is told.
    """

    def __init__(
        self,
        store: Store,
        retention: Retention,
        spool: Path | None = None,
        *,
        prices: Prices | None = None,
        cache_bytes: int = 0,
        forget: Callable[[Collection[str]], int] | None = None,
    ) -> None:
        self._store = store
        self._prices = prices
        self._cache_bytes = cache_bytes
        self._forget = forget
        self._spool = spool
        self._retention = retention
        self._round: Iterator[None] | None = None
        self._due = time.monotonic() + EVERY_S
        self._spent = 0.0

    def step(self) -> None:
        """Do a piece of what is due, if anything is; raises StoreUnavailable."""
        began = time.monotonic()
        if began < self._due:
            return
        self._work(began + PIECE_S)
        now = time.monotonic()
        self._spent += now - began
        if self._round is None or self._spent >= SLICE_S:
            self._due, self._spent = now + EVERY_S, 0.0

    def _work(self, deadline: float) -> None:
        """Go on with the round until the deadline; `_round` is None after its end."""
        going, self._round = self._round or self._whole_round(), None
        for _ in going:
            if time.monotonic() >= deadline:
                self._round = going
                return

    def _whole_round(self) -> Iterator[None]:
        """Yield after each transaction."""
        projects = self._store.projects()
        for project in projects:
            for verb in self._verbs(project):
                while verb():
                    yield
                yield
        while self._store.finish_removals():
            yield
        yield from self._trim_cache(projects)
        if self._spool is not None:
            self._store.seen(names.listed(self._spool, names.SEGMENT))
            yield
        while self._end_streams():
            yield
        self._store.forget_lost()
        self._store.drop_empty_partitions()

    def _trim_cache(self, projects: list[Project]) -> Iterator[None]:
        if self._forget is not None:
            self._forget({project.id for project in projects})
            yield
        while self._store.trim_cache(now_us() - WEEK_US, self._cache_bytes):
            yield

    def _end_streams(self) -> int:
        """Let streams whose node is lost be lost too; return how many."""
        streams = self._store.endless_streams()
        if streams:
            begun = [begin for each in streams if (begin := _begin_of(each)) is not None]
            rows = [lost_row(begin, self._prices) for begin in begun]
            self._store.add(Batch(rows=rows, closed=[stream.id for stream in streams]))
        return len(streams)

    def _verbs(self, project: Project) -> Iterator[Verb]:
        """Yield what ends a project's records: each to be done until it returns 0."""
        store, configured, now = self._store, self._retention, now_us()
        if days := _either(project.records_days, configured.records_days):
            yield partial(store.expire_records, project.id, now - round(days * _DAY_US))
        if days := _either(project.content_days, configured.content_days):
            yield partial(store.expire_texts, project.id, now - round(days * _DAY_US))
        if most := _either(project.content_bytes, configured.content_bytes):
            yield partial(store.shrink_texts, project.id, round(most))


def _begin_of(stream: OpenStream) -> Begin | None:
    """Return how a stream began, None where that is in a form of a later version's."""
    try:
        frame = decode(stream.payload)
    except msgspec.DecodeError:
        return None
    return frame if isinstance(frame, Begin) else None


def _either(own: float | None, configured: float) -> float:
    return configured if own is None else own
