"""The file of a backup: one Zstandard stream of frames, each a kind, a length and MessagePack.

The first frame says what the file is, the last one how many there were and the SHA-256 of all that
came before it: a file that was cut off or changed is told from a whole one. Written and read in
one pass, whatever its size.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard

from standpipe.errors import ConfigError
from standpipe.spool import names
from standpipe.store.alignment import AlignmentRow
from standpipe.store.archive import Hour
from standpipe.store.audit import Entry as AuditEntry
from standpipe.store.criteria import Criterion
from standpipe.store.rows import Key, OpenStream, Project, Row

#: The form of the file; a reader takes those up to its own.
FORMAT = 2
_LEVEL = 3
_HEAD = struct.Struct(">BI")
#: Longer than any frame: what claims more is damaged.
_LONGEST = 1 << 30


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the file is, and how much is to be expected in it."""

    format: int = FORMAT
    what: str = "standpipe backup"
    #: Version of the Standpipe that made it, and of its tables.
    standpipe: str
    schema: str
    #: Microseconds since the Unix epoch.
    made_at: int
    #: Records that were in the store then; some more may follow from the spool.
    records: int


class End(msgspec.Struct, frozen=True):
    """What there was in the file."""

    counts: dict[str, int]
    sha256: bytes


Entry = (
    Manifest | Project | Key | Row | Hour | End | AuditEntry | OpenStream | Criterion | AlignmentRow
)

_KINDS: dict[int, type[Entry]] = {
    1: Manifest,
    2: Project,
    3: Key,
    4: Row,
    5: Hour,
    6: End,
    # Since form 2.
    7: AuditEntry,
    8: OpenStream,
    9: Criterion,
    10: AlignmentRow,
}
_NUMBERS = {kind: number for number, kind in _KINDS.items()}
_DECODERS = {number: msgspec.msgpack.Decoder(kind) for number, kind in _KINDS.items()}


class Damaged(ConfigError):
    """The file is no whole backup."""


class Writer:
    """Writes entries; `end` makes the file whole."""

    def __init__(self, file: BinaryIO) -> None:
        compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._stream = compressor.stream_writer(file, closefd=False)
        self._hash = hashlib.sha256()
        self._encode = msgspec.msgpack.Encoder().encode
        #: Entries written, by kind.
        self.counts = Counter[str]()

    def write(self, entry: Entry) -> None:
        """Write one entry."""
        payload = self._encode(entry)
        frame = _HEAD.pack(_NUMBERS[type(entry)], len(payload)) + payload
        self._hash.update(frame)
        self._stream.write(frame)
        self.counts[type(entry).__name__] += 1

    def end(self) -> None:
        """Write what there was."""
        self.write(End(dict(self.counts), self._hash.digest()))
        self._stream.flush(zstandard.FLUSH_FRAME)


@contextmanager
def written(path: Path) -> Iterator[Writer]:
    """Write a new file: under its name, whole and on disk, or not at all.

    Nobody but its owner may read it. Raises ConfigError if there is one of that name.
    """
    if path.exists():
        raise ConfigError(f"{path} is there already")
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            writer = Writer(file)
            yield writer
            writer.end()
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        names.sync(path.parent)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def entries(path: Path) -> Iterator[Entry]:
    """Yield what is in a file, from the manifest to the end.

    Raises Damaged where it is no backup or not whole: some of it may have been yielded by then.
    Raises ConfigError if it was made by a later version.
    """
    digest = hashlib.sha256()
    counts = Counter[str]()
    for number, payload in _frames(path):
        entry = _decoded(path, number, payload)
        if not counts:
            _check_manifest(path, entry)
        if isinstance(entry, End) and entry != End(dict(counts), digest.digest()):
            raise Damaged(f"{path} is damaged: it is not what it was when it was made")
        yield entry
        counts[type(entry).__name__] += 1
        digest.update(_HEAD.pack(number, len(payload)) + payload)


def _frames(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and the payload of each frame; the last is the end of the file."""
    number = 0
    try:
        with path.open("rb") as file, _decompressed(file) as stream:
            while _KINDS.get(number) is not End:
                number, length = _HEAD.unpack(_exactly(stream, _HEAD.size, path))
                yield number, _exactly(stream, length, path)
            if stream.read(1):
                raise Damaged(f"{path} is damaged: there is something behind its end")
    except zstandard.ZstdError as error:
        raise Damaged(f"{path} is damaged, or no backup: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


def _decompressed(file: BinaryIO) -> zstandard.ZstdDecompressionReader:
    return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)


def _exactly(stream: BinaryIO, length: int, path: Path) -> bytes:
    data = stream.read(length) if length < _LONGEST else b""
    if len(data) != length:
        raise Damaged(f"{path} is damaged: it was cut off, or is no backup")
    return data


def _decoded(path: Path, number: int, payload: bytes) -> Entry:
    try:
        entry: Entry = _DECODERS[number].decode(payload)
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"{path} is damaged, or no backup: it has what means nothing") from error
    return entry


def _check_manifest(path: Path, entry: Entry) -> None:
    if not isinstance(entry, Manifest) or entry.what != Manifest.__struct_defaults__[1]:
        raise Damaged(f"{path} is no backup of Standpipe's")
    if entry.format > FORMAT:
        raise ConfigError(
            f"{path} was made by Standpipe {entry.standpipe}, in a form later than this version's"
        )
