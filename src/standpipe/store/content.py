"""What the store keeps of a call's texts, and the texts again; pure, no SQL.

The messages of a request are kept once in a project, since callers send the whole conversation with
every turn. What is kept of a list of messages is its last *prefix*: a prefix is one message and the
prefix before it. The rest of the request stays with its record, as does the answer. A text comes
back byte for byte; where cutting and joining would change a byte, the whole of it stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
import zstandard

from standpipe.store.dictionary import DICTIONARY

#: First byte of every hash: the form of what is hashed and of what is kept under it. A new form
#: gets a new byte, and both live side by side.
TAG = b"\x01"

# First bytes of what stays with a record.
_WHOLE = b"\x00"
_CUT = b"\x01"

#: A message shorter than this, in bytes, stays with its record where it is the last one. A question
#: that is asked once would otherwise have two rows and their places in four indexes for nothing,
#: which takes longer than all else that is done with its text. In a conversation that goes on it is
#: kept once with the others, as soon as it is not the last.
SHORT = 2048
#: Lists of more messages than this, or of shorter ones on average, in bytes, stay whole: nobody's
#: conversation has them, and a request must not cost many times what it weighs.
MOST = 10_000
LEAST = 24

# Beyond the first nothing gets smaller, only slower: measured on chat requests and answers. Of
# short texts most is in the dictionary: the second takes half the time then, for some more bytes.
_LEVEL = 1
_QUICK_LEVEL = -1
#: Texts shorter than this, in bytes, are compressed quickly.
_QUICK = 2048


class Link(NamedTuple):
    """One message in a list: what it adds to the list before it."""

    #: Hash of the list up to this message.
    hash: bytes
    #: Hash of the list before it, None for the first.
    parent: bytes | None
    #: Hash of the message itself.
    content: bytes
    #: The message, as it stands in the text.
    text: bytes


class Packed(NamedTuple):
    """The texts of one record as the store keeps them."""

    links: tuple[Link, ...] = ()
    request_body: bytes | None = None
    response_body: bytes | None = None

    @property
    def head(self) -> bytes | None:
        """The last prefix of the request's messages."""
        return self.links[-1].hash if self.links else None

    @property
    def size(self) -> int:
        """Bytes that stay with the record."""
        return len(self.request_body or b"") + len(self.response_body or b"")


class _Arrays(msgspec.Struct):
    """The fields of a request that are kept once; of a field given twice, the last."""

    messages: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()
    functions: msgspec.Raw = msgspec.Raw()


class _Hole(msgspec.Struct, frozen=True, array_like=True):
    """Where messages were cut out."""

    #: Bytes of `_Cut.rest` before it.
    at: int
    count: int
    #: What stood between two of them.
    between: bytes


class _Cut(msgspec.Struct, frozen=True, array_like=True):
    """A request without its messages."""

    #: As they follow each other in the list of messages, not in the text.
    holes: list[_Hole]
    rest: bytes


class _Run(NamedTuple):
    """Messages that follow each other in a text."""

    start: int
    end: int
    texts: list[bytes]
    between: bytes


_arrays = msgspec.json.Decoder(_Arrays)
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_encode_cut = msgspec.msgpack.Encoder().encode
_cuts = msgspec.msgpack.Decoder(_Cut)


class Packer:
    """Takes the texts of a batch apart; for one thread."""

    def __init__(self) -> None:
        self._well = zstandard.ZstdCompressor(_LEVEL, dict_data=DICTIONARY).compress
        self._quickly = zstandard.ZstdCompressor(_QUICK_LEVEL, dict_data=DICTIONARY).compress
        #: The first link of each list so far: most begin with one of a few prompts.
        self._first: dict[tuple[str, bytes], Link] = {}

    def compress(self, text: bytes) -> bytes:
        """Return a text as the store keeps it."""
        return self._quickly(text) if len(text) < _QUICK else self._well(text)

    def pack(self, project_id: str, request: str | None, response: str | None) -> Packed:
        """Return what the store keeps of the two texts."""
        links: tuple[Link, ...] = ()
        request_body = response_body = None
        if request is not None:
            texts, request_body = self._cut(request.encode())
            links = self._links(project_id, texts)
        if response is not None:
            response_body = _WHOLE + self.compress(response.encode())
        return Packed(links, request_body, response_body)

    def _links(self, project_id: str, texts: list[bytes]) -> tuple[Link, ...]:
        if not texts:
            return ()
        first = self._first.get((project_id, texts[0]))
        if first is None:
            first = _link(project_id, None, texts[0])
            self._first[project_id, texts[0]] = first
        links = [first]
        for text in texts[1:]:
            links.append(_link(project_id, links[-1].hash, text))
        return tuple(links)

    def _cut(self, text: bytes) -> tuple[list[bytes], bytes]:
        runs = _runs(text)
        if not runs or not _are_apart(text, runs):
            return [], _WHOLE + self.compress(text)
        texts = runs[0].texts if len(runs) == 1 else [each for run in runs for each in run.texts]
        return texts, _CUT + self.compress(_encode_cut(_without(text, runs)))


class Unpacker:
    """Puts texts together again; for one thread."""

    def __init__(self) -> None:
        # What was compressed without the dictionary is read with it too.
        self.decompress = zstandard.ZstdDecompressor(dict_data=DICTIONARY).decompress

    def text(self, body: bytes, contents: Sequence[bytes] = ()) -> str:
        """Return the text of what stayed with a record and of its messages in their order."""
        kept = self.decompress(body[1:])
        if body[:1] == _WHOLE:
            return kept.decode()
        return _joined(_cuts.decode(kept), contents).decode()


def chain(head: bytes, prefixes: Mapping[bytes, tuple[bytes | None, bytes]]) -> list[bytes]:
    """Return the hashes of a list's messages, given its last prefix; KeyError if one is missing.

    `prefixes` has the parent and the content of each.
    """
    hashes: list[bytes] = []
    at: bytes | None = head
    while at is not None:
        at, content = prefixes[at]
        hashes.append(content)
    hashes.reverse()
    return hashes


def _link(project_id: str, parent: bytes | None, text: bytes) -> Link:
    content = _hash(_hasher(b"content", project_id), text)
    prefix = _hash(_hasher(b"prefix", project_id), (parent or b"") + content)
    return Link(prefix, parent, content, text)


@lru_cache
def _hasher(kind: bytes, project_id: str) -> hashlib.blake2b:
    """Return what has begun to hash something of a project."""
    begun = hashlib.blake2b(project_id.encode(), digest_size=16, person=kind)
    begun.update(b"\0")
    return begun


def _hash(begun: hashlib.blake2b, what: bytes) -> bytes:
    digest = begun.copy()
    digest.update(what)
    return TAG + digest.digest()


def _runs(text: bytes) -> list[_Run]:
    """Return what is worth keeping once: the tools as one piece, then the messages."""
    try:
        arrays = _arrays.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return []
    tools = _tools(text, arrays.tools) or _tools(text, arrays.functions)
    return tools + (_messages(text, arrays.messages) or _messages(text, arrays.input))


def _tools(text: bytes, raw: msgspec.Raw) -> list[_Run]:
    array = bytes(raw)
    if len(array) <= len(b"[]") or not array.startswith(b"["):
        return []
    start = _place(text, array)
    return [_Run(start, start + len(array), [array], b"")]


def _messages(text: bytes, raw: msgspec.Raw) -> list[_Run]:
    """Return the messages of an array but for a short last one, if all of them are objects."""
    array = bytes(raw)
    try:
        texts = list(map(bytes, _elements.decode(array)))
    except msgspec.DecodeError:  # it is no array, or is not there
        return []
    if len(texts) > min(MOST, len(array) // LEAST):
        return []
    if not all([each.startswith(b"{") for each in texts]):  # noqa: C419 - the list is quicker
        return []
    begin = array.find(b"{")
    between = _between(array, texts, begin)
    if texts and len(texts[-1]) < SHORT:
        texts.pop()
    if not texts:
        return []
    start = _place(text, array) + begin
    length = sum(map(len, texts)) + len(between) * (len(texts) - 1)
    return [_Run(start, start + length, texts, between)]


def _between(array: bytes, texts: list[bytes], begin: int) -> bytes:
    """Return what stands between the first two messages."""
    if len(texts) < 2:
        return b""
    end = begin + len(texts[0])
    return array[end : array.find(b"{", end)]


def _place(text: bytes, part: bytes) -> int:
    """Return where a text has a part that it has: `find` for parts nearly as long as the text."""
    start = text.find(part[:64])
    while not text.startswith(part, start):
        start = text.find(part[:64], start + 1)
    return start


def _are_apart(text: bytes, runs: list[_Run]) -> bool:
    """Tell whether the text has each of the runs in its place, and none in another's."""
    end = 0
    for run in sorted(runs):
        if run.start < end or text[run.start : run.end] != run.between.join(run.texts):
            return False
        end = run.end
    return True


def _without(text: bytes, runs: list[_Run]) -> _Cut:
    kept: list[bytes] = []
    at: dict[int, int] = {}
    end = length = 0
    for run in sorted(runs):
        kept.append(text[end : run.start])
        length += len(kept[-1])
        at[run.start] = length
        end = run.end
    kept.append(text[end:])
    holes = [_Hole(at[run.start], len(run.texts), run.between) for run in runs]
    return _Cut(holes, b"".join(kept))


def _joined(cut: _Cut, contents: Sequence[bytes]) -> bytes:
    filled: list[tuple[int, bytes]] = []
    taken = 0
    for hole in cut.holes:
        filled.append((hole.at, hole.between.join(contents[taken : taken + hole.count])))
        taken += hole.count
    pieces: list[bytes] = []
    at = 0
    for place, piece in sorted(filled):
        pieces += (cut.rest[at:place], piece)
        at = place
    return b"".join((*pieces, cut.rest[at:]))
