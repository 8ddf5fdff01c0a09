"""How a backup is made while the server runs, and how it is put back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Set
from itertools import chain, count, groupby, islice
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from standpipe import __version__
from standpipe.cli.archive_file import Entry, Manifest, entries, written
from standpipe.cli.undrained import Undrained, prices, wait
from standpipe.config import Settings
from standpipe.drain.prices import Prices
from standpipe.drain.rows import lost_row
from standpipe.errors import ConfigError
from standpipe.store.alignment import AlignmentRow
from standpipe.store.archive import Hour, Restored, Snapshot
from standpipe.store.audit import Entry as AuditEntry
from standpipe.store.criteria import Criterion
from standpipe.store.revision import HEAD
from standpipe.store.rows import Batch, Key, OpenStream, Project, Row, now_us
from standpipe.store.store import Store
from standpipe.wire.record import Begin, decode

#: Told of each record: how many there are by now, and how many are to be expected.
Tell = Callable[[int, int], None]

#: Limits of what is put back in one transaction: records, and characters of their texts.
_MOST = 500
_SIZE = 8 << 20
#: Records out of the spool that are in memory at a time, whatever their size.
_AT_A_TIME = 50


def back_up(settings: Settings, store: Store, path: Path, tell: Tell) -> Counter[str]:
    """Write all that is kept to a new file; return how many of each kind.

    What the spool holds when this is called is in it, in the store or not.
    """
    with written(path) as file:
        ends = wait(store, settings.spool_dir)
        with Undrained(settings.spool_dir, ends) as undrained, store.snapshot() as state:
            expected = state.count()
            file.write(_manifest(expected))
            for entry in _entries(state, undrained, prices(settings)):
                file.write(entry)
                if isinstance(entry, Row):
                    tell(file.counts["Row"], expected)
    return file.counts


def _manifest(records: int) -> Manifest:
    return Manifest(standpipe=__version__, schema=HEAD, made_at=now_us(), records=records)


def _entries(state: Snapshot, undrained: Undrained, known: Prices) -> Iterator[Entry]:
    yield from state.projects()
    yield from state.keys()
    yield from state.criteria()
    yield from state.alignment_rows()
    yield from state.audit()
    yield from state.rows()
    yield from state.hours()
    # After the hours, which do not have them yet.
    undrained.streams |= {stream.id: stream for stream in state.streams()}
    late = undrained.rows(state.positions(), known)
    while some := list(islice(late, _AT_A_TIME)):
        buried = state.buried({row.id for row in some} | {row.project for row in some})
        yield from (row for row in some if not {row.id, row.project} & buried)
    # Last, when it is known which have ended.
    yield from undrained.streams.values()


def checked(path: Path, tell: Tell) -> list[Project]:
    """Read all of a file and return its projects; Damaged where it is not whole."""
    return [each for each in _told(path, tell) if isinstance(each, Project)]


class Restoring:
    """Puts the entries of one file back, in their order; to do so again does no harm.

    `begun` are streams that the spool here has and the drain has not come upon.
    """

    def __init__(self, store: Store, *, rename: bool, begun: Set[str] = frozenset()) -> None:
        self._store = store
        self._begun = begun
        self._rename = rename
        #: What became of projects, keys and records, by kind.
        self.done: dict[str, Counter[Restored]] = {
            kind.__name__: Counter() for kind in (Project, Key, Row)
        }
        #: New names of projects by their ids, where the old one is another's here.
        self.names: dict[str, str] = {}
        self._removed: set[str] = set()
        self._verbs: dict[type[Entry], Callable[[Iterator[Any]], None]] = {
            Project: self._projects,
            Key: self._keys,
            Criterion: self._criteria,
            AlignmentRow: self._alignment_rows,
            Row: self._rows,
            Hour: self._hours,
            AuditEntry: self._audit,
            OpenStream: self._streams,
        }

    def name(self, projects: list[Project]) -> None:
        """Settle by what names the backup's projects will go.

        Raises ConfigError for one whose name is another's here, unless such are to be renamed.
        """
        known = self._store.projects()
        there, taken = {each.id for each in known}, {each.name for each in known}
        clashing = [each for each in projects if each.id not in there and each.name in taken]
        if clashing and not self._rename:
            listed = ", ".join(repr(each.name) for each in clashing)
            raise ConfigError(
                f"there are other projects named {listed} here: rename those by `standpipe "
                "projects rename`, or give --rename to rename the ones of the backup"
            )
        names = taken | {each.name for each in projects}
        for project in clashing:
            names.add(self.names.setdefault(project.id, _free(project.name, names)))

    def run(self, path: Path, tell: Tell) -> None:
        """Put everything back."""
        for kind, some in groupby(_told(path, tell), type):
            if kind in self._verbs:
                self._verbs[kind](some)

    def _projects(self, projects: Iterator[Project]) -> None:
        for project in projects:
            name = self.names.get(project.id, project.name)
            became = self._store.restore_project(replace(project, name=name))
            self.done["Project"][became] += 1
            if became == "removed":
                self._removed.add(project.id)

    def _keys(self, keys: Iterator[Key]) -> None:
        for key in keys:
            self.done["Key"][self._store.restore_key(key)] += 1

    def _criteria(self, criteria: Iterator[Criterion]) -> None:
        for criterion in criteria:
            self._store.restore_criterion(criterion)

    def _alignment_rows(self, rows: Iterator[AlignmentRow]) -> None:
        for row in rows:
            self._store.restore_alignment_row(row)

    def _rows(self, rows: Iterator[Row]) -> None:
        for some in _batches(rows):
            inserted = self._store.add(Batch(rows=some))
            self.done["Row"]["new"] += inserted
            self.done["Row"]["there"] += len(some) - inserted

    def _audit(self, changes: Iterator[AuditEntry]) -> None:
        while some := list(islice(changes, _MOST)):
            self._store.restore_audit(some)

    def _streams(self, streams: Iterator[OpenStream]) -> None:
        """Put streams that had not ended back as lost, but for those that may end here yet."""
        here = {stream.id for stream in self._store.open_streams(None)} | self._begun
        owned = {project.id for project in self._store.projects()}
        frames = (decode(each.payload) for each in streams if each.id not in here)
        begun = (each for each in frames if isinstance(each, Begin))
        self._rows(lost_row(each) for each in begun if each.project in owned)

    def _hours(self, hours: Iterator[Hour]) -> None:
        while some := list(islice(hours, _MOST)):
            self._store.restore_hours([each for each in some if each.project not in self._removed])


def _told(path: Path, tell: Tell) -> Iterator[Entry]:
    """Yield the entries of a file and tell of each record."""
    expected = records = 0
    for entry in entries(path):
        if isinstance(entry, Manifest):
            expected = entry.records
        elif isinstance(entry, Row):
            records += 1
            tell(records, expected)
        yield entry


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    some: list[Row] = []
    size = 0
    for row in rows:
        some.append(row)
        size += len(row.request or "") + len(row.response or "")
        if len(some) == _MOST or size > _SIZE:
            yield some
            some, size = [], 0
    if some:
        yield some


def _free(name: str, taken: Container[str]) -> str:
    """Return a name like this one that no project has."""
    numbered = (f"{name}-restored-{number}" for number in count(2))
    return next(each for each in chain([f"{name}-restored"], numbered) if each not in taken)
