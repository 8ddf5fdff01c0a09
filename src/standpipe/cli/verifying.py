"""The records of a spool, held against the store: what should be there and is not."""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import msgspec

from standpipe.drain.prices import Prices
from standpipe.drain.rows import lost_row, row_of
from standpipe.spool import names
from standpipe.spool.reader import Unreadable, each_frame
from standpipe.store.columns import storable
from standpipe.store.contents import Texts
from standpipe.store.rows import Batch, Row
from standpipe.store.store import Store
from standpipe.wire.record import Begin, Frame, Record, decode

#: For how long the store remembers at least what was deleted; a damaged segment stays longer.
_REMEMBERED_S = 24 * 3600
#: Frames looked up at once; all their texts are in memory.
_MOST = 100
#: Ids that are told of what is missing.
_EXAMPLES = 5


class Compared:
    """Reads every segment once; with `mend`, what is missing is stored again.

    With `contents`, texts are compared too, as far as the store has kept them.
    """

    def __init__(
        self, store: Store, spool: Path, prices: Prices, *, mend: bool, contents: bool = False
    ) -> None:
        self._store = store
        self._spool = spool
        self._prices = prices
        self._mend = mend
        self._contents = contents
        #: `segments` and `records` read; of these, those `waiting` to be stored, `missing`,
        #: `mended`, `doubled` with other content, and `forgotten` or deleted, nobody can say;
        #: `strange` frames, bytes that are `damaged` or `torn`; records whose texts are `alike`
        #: here and there, or `differ`.
        self.counts = Counter[str]()
        #: Ids of some that are missing.
        self.examples: list[str] = []
        #: Some whose texts differ: the id, and which text.
        self.different: list[str] = []
        #: Hashes of the records seen, by id.
        self._seen: dict[str, bytes] = {}
        #: Streams that should have a record or be open.
        self._begun: dict[str, Begin] = {}

    def run(self) -> None:
        """Read what there is now; what comes meanwhile may be left out."""
        positions = self._store.positions()
        for name in names.listed(self._spool, names.SEGMENT):
            self._read(self._spool / name, positions.get(name, 0))
        # The store has all of these, or had.
        for suffix in (names.KEPT, names.DAMAGED):
            for name in names.listed(self._spool, suffix):
                self._read(self._spool / name, math.inf)
        self._are_missing([lost_row(begin) for begin in self._begun.values()])

    def _read(self, path: Path, stored: float) -> None:
        """Compare a segment of which the store should have the frames up to an offset."""
        frames = self._frames(path)
        with suppress(FileNotFoundError):  # drained and removed since it was listed
            while some := list(islice(frames, _MOST)):
                waiting = [frame for frame, end in some if end > stored]
                self.counts["waiting"] += sum(isinstance(frame, Record) for frame in waiting)
                self._compare(path, [frame for frame, end in some if end <= stored])
            self.counts["segments"] += 1

    def _frames(self, path: Path) -> Iterator[tuple[Frame, int]]:
        is_aside = path.suffix == names.DAMAGED
        for found in each_frame(path):
            if isinstance(found, Unreadable):
                self.counts["damaged" if is_aside else "torn"] += found.size
                continue
            try:
                frame = decode(found.payload)
            except msgspec.DecodeError:
                self.counts["strange"] += 1
                continue
            if isinstance(frame, Record):
                self._note(frame, found.payload)
            yield frame, found.end

    def _note(self, frame: Record, payload: bytes) -> None:
        self.counts["records"] += 1
        content = hashlib.blake2b(payload, digest_size=8).digest()
        self.counts["doubled"] += self._seen.setdefault(frame.id, content) != content
        self._begun.pop(frame.id, None)

    def _compare(self, path: Path, frames: list[Frame]) -> None:
        unknown = self._store.unknown({frame.id: frame.project for frame in frames})
        missing = {frame.id: frame for frame in frames if frame.id in unknown}
        if missing and path.suffix == names.DAMAGED and _age_s(path) > _REMEMBERED_S:
            self.counts["forgotten"] += len(missing)
            return
        rows = [row_of(each, self._prices) for each in missing.values() if isinstance(each, Record)]
        self._are_missing(rows)
        if self._contents:
            there = (frame for frame in frames if frame.id not in missing)
            self._compare_texts([each for each in there if isinstance(each, Record)])
        for frame in frames:
            if isinstance(frame, Begin) and frame.id in unknown and frame.id not in self._seen:
                self._begun[frame.id] = frame

    def _compare_texts(self, there: list[Record]) -> None:
        said = [row_of(each, self._prices) for each in there if each.logged]
        kept = self._store.kept_texts([row.id for row in said]) if said else {}
        for row in said:
            if row.id not in kept:  # deleted
                continue
            found = kept[row.id]
            wrong = ["unreadable"] if found is None else _differing(row, found)
            self.counts["differ" if wrong else "alike"] += 1
            if wrong and len(self.different) < _EXAMPLES:
                self.different.append(f"{row.id} ({', '.join(wrong)})")

    def _are_missing(self, rows: list[Row]) -> None:
        self.counts["missing"] += len(rows)
        self.examples += [row.id for row in rows[: _EXAMPLES - len(self.examples)]]
        if rows and self._mend:
            self.counts["mended"] += self._store.add(Batch(rows=rows))


def _differing(row: Row, kept: Texts) -> list[str]:
    """Return which texts are other ones than a row's; those that have expired are not."""
    mended = storable(row)
    may_be = ((row.request, mended.request), (row.response, mended.response))
    return [
        name
        for name, text, texts in zip(("request", "response"), kept, may_be, strict=True)
        if text is not None and text not in texts
    ]


def _age_s(path: Path) -> float:
    return time.time() - path.stat().st_mtime
