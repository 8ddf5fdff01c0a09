"""Workers and drains that die at any moment, and a store that fails at any verb."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from typing_extensions import override

from standpipe.drain.drain import Drain
from standpipe.errors import StoreUnavailable
from standpipe.spool import Spool, new_boot
from standpipe.store.rows import Batch, OpenStream, Row
from standpipe.wire.record import Begin, Record, encode


class Memory:
    """A store of dictionaries, which fails before or after it did as told, when told to."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.streams: dict[str, OpenStream] = {}
        self.offsets: dict[str, int] = {}
        #: Verbs to go before one fails, and whether it fails after it is done.
        self.fails_in: int | None = None
        self.fails_after = False

    def positions(self) -> dict[str, int]:
        self._verb(after=False)
        return dict(self.offsets)

    def open_streams(self, writer: str | None) -> Sequence[OpenStream]:
        self._verb(after=False)
        return [stream for stream in self.streams.values() if stream.writer == writer]

    def add(self, batch: Batch) -> int:
        self._verb(after=False)
        new = {row.id: row for row in batch.rows if row.id not in self.rows}
        self.rows |= new
        self.offsets |= batch.positions
        self.streams |= {stream.id: stream for stream in batch.opened}
        for stream in batch.closed:
            self.streams.pop(stream, None)
        self._verb(after=True)
        return len(new)

    def forget_segment(self, segment: str, *, kept_s: float = 0.0) -> None:
        self._verb(after=False)
        self.offsets.pop(segment, None)
        self._verb(after=True)

    def _verb(self, *, after: bool) -> None:
        if self.fails_in is None or after is not self.fails_after:
            return
        self.fails_in -= 1
        if self.fails_in < 0:
            self.fails_in = None
            raise StoreUnavailable("as told")


class Faults(RuleBasedStateMachine):
    """Two workers that begin, end and die, and a drain that does too."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.directory = Path(self.home.name)
        self.store = Memory()
        self.drain = Drain(self.directory, self.store)
        self.spools: dict[int, Spool] = {}
        self.running: dict[int, list[str]] = {0: [], 1: []}
        self.outcomes: dict[str, str] = {}
        self.calls = 0

    def _spool(self, worker: int) -> Spool:
        if worker not in self.spools:
            self.spools[worker] = Spool(
                self.directory, boot=new_boot(), worker=worker, segment_bytes=1 << 10
            )
        return self.spools[worker]

    def _call(self) -> str:
        self.calls += 1
        return f"{self.calls:05}"

    @rule(worker=st.integers(0, 1), streams=st.integers(1, 3))
    def begin(self, worker: int, streams: int) -> None:
        for _ in range(streams):
            call = self._call()
            frame = Begin(id=call, project="p", key=None, requested_at=0)
            self._spool(worker).append(encode(frame))
            self.running[worker].append(call)
            self.outcomes[call] = "lost"

    @rule(worker=st.integers(0, 1), whole=st.integers(0, 5), data=st.data())
    def end(self, worker: int, whole: int, data: st.DataObject) -> None:
        ended = [self._call() for _ in range(whole)]
        if self.running[worker]:
            stream = data.draw(st.sampled_from(self.running[worker]))
            self.running[worker].remove(stream)
            ended.append(stream)
        for call in ended:
            self._spool(worker).append(encode(self._record(call)))
            self.outcomes[call] = "complete"

    def _record(self, call: str) -> Record:
        return Record(
            id=call,
            kind="chat",
            project="p",
            key=None,
            requested_at=0,
            received_at=1,
            outcome="complete",
            status=200,
            logged=False,
        )

    @rule(worker=st.integers(0, 1))
    def die(self, worker: int) -> None:
        # For who reads, a closed writer and a killed one differ in the zeros at the end only.
        self.running[worker].clear()
        if spool := self.spools.pop(worker, None):
            spool.close()

    @rule(fails_in=st.none() | st.integers(0, 6), fails_after=st.booleans())
    def drain_some(self, fails_in: int | None, fails_after: bool) -> None:
        self.store.fails_in, self.store.fails_after = fails_in, fails_after
        for _ in range(2):
            try:
                self.drain.step()
            except StoreUnavailable:
                continue
        self.store.fails_in = None

    @rule()
    def restart_the_drain(self) -> None:
        self.drain.close()
        self.drain = Drain(self.directory, self.store)

    @invariant()
    def no_running_stream_is_given_up(self) -> None:
        for call in [*self.running[0], *self.running[1]]:
            assert call not in self.store.rows

    @override
    def teardown(self) -> None:
        for worker in (0, 1):
            self.die(worker)
        self.drain.step()
        while not self.drain.is_idle:
            self.drain.step()
        assert {call: row.outcome for call, row in self.store.rows.items()} == self.outcomes
        assert (self.store.streams, self.store.offsets) == ({}, {})
        assert list(self.directory.iterdir()) == []
        self.drain.close()
        self.home.cleanup()


TestFaults = Faults.TestCase
TestFaults.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
