"""Chunks to completion: the one accumulator of streams.

How the parts of a `delta` grow, since providers differ and say it nowhere:

- text (`content`, `arguments`, any string not named below) is joined;
- labels (`role`, `id`, `type`, `format`) keep their first value, as some providers repeat them;
- a `name` keeps its value when it is repeated, and is joined when it comes in pieces;
- lists are extended, but for items with an `index`, which grow the item of that index;
- objects grow field by field; any other value is replaced by a later one; null changes nothing.

Outside of a `delta` and `logprobs` (content filters, extensions), a later value replaces.
"""

from __future__ import annotations

from typing import Any

import msgspec

from standpipe.wire import sse
from standpipe.wire.runs import LABELS, PADDING, Run, text_of

Json = dict[str, Any]

#: Top-level fields of a chunk that are not simply kept.
_SPECIAL = frozenset({"choices", "usage", "object", "error", PADDING})
_GROWN = frozenset({"index", "delta", "message", "logprobs"})
#: Levels of nesting that are kept below a delta; what is deeper becomes null.
_DEEPEST = 100
_FIRST = frozenset({"id", "created", "model"})
#: Runs that came to nothing, after which a stream is taken to have none.
_FRUITLESS = 8


class _Pieces(list[str]):
    """A string that is still growing; joined once at the end, not at every piece."""


class _Choice:
    """One choice as far as it has come."""

    __slots__ = ("calls", "fields", "logprobs", "message")

    def __init__(self) -> None:
        self.message: Json = {"role": "assistant", "content": None}
        self.calls: list[tuple[int | None, Json]] = []
        self.logprobs: Json | None = None
        self.fields: Json = {}

    def add(self, choice: Json) -> None:
        # Some providers send the whole `message` so far beside each delta.
        delta = choice.get("delta", choice.get("message"))
        if isinstance(delta, dict):
            self._add_delta(delta)
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, dict):
            self.logprobs = {} if self.logprobs is None else self.logprobs
            _grow(self.logprobs, logprobs)
        for name, value in choice.items():
            if name not in _GROWN:
                _replace(self.fields, name, value)

    def _add_delta(self, delta: Json) -> None:
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            for call in calls:
                if isinstance(call, dict):
                    self._add_call(call)
        _grow(self.message, {name: delta[name] for name in delta if name != "tool_calls"})

    def _add_call(self, piece: Json) -> None:
        place = piece.get("index")
        known = self._call_of(piece, place if type(place) is int else None)
        _grow(known, {name: piece[name] for name in piece if name != "index"})

    def _call_of(self, piece: Json, place: int | None) -> Json:
        """Return the call that a piece belongs to, a new one if it starts one."""
        if place is None:
            known = _unplaced(self.calls, piece)
        else:
            known = next((call for at, call in reversed(self.calls) if at == place), None)
        if known is not None and not _starts_another(known, piece):
            return known
        self.calls.append((place, {}))
        return self.calls[-1][1]

    def pieces(self, delta: Json, name: str) -> _Pieces | None:
        """Return what a text of the delta that was just added has become a part of."""
        owner: Any = self.message
        if name == "arguments" and (calls := delta.get("tool_calls")):
            place = calls[0].get("index")
            owner = self._call_of(calls[0], place if type(place) is int else None).get("function")
        known = owner.get(name) if isinstance(owner, dict) else None
        if isinstance(known, str):
            known = owner[name] = _Pieces([known])
        return known if isinstance(known, _Pieces) else None

    def finish(self, index: int) -> Json:
        message = _settled(self.message)
        if self.calls:
            ordered = sorted(self.calls, key=lambda entry: entry[0] or 0)
            message["tool_calls"] = [_settled(call) for _, call in ordered]
        choice = {"index": index, "message": message, "logprobs": _settled(self.logprobs)}
        return {**choice, "finish_reason": None, **_settled(self.fields)}


class Fold:
    """What the chunks of one stream add up to; it takes anything and never raises.

    `error` is the last error event, None without one; `usage` the last usage that was not null.
    """

    __slots__ = ("_choices", "_fields", "error", "usage")

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._fields: Json = {}
        self.usage: Json | None = None
        self.error: Json | None = None

    def add(self, chunk: Json) -> None:
        """Take the next chunk."""
        self.error = error_of(chunk) or self.error
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.usage = usage
        for name, value in chunk.items():
            if name not in _SPECIAL and not (name in _FIRST and self._fields.get(name)):
                _replace(self._fields, name, value)
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                index = choice.get("index")
                place = index if type(index) is int else 0
                self._choices.setdefault(place, _Choice()).add(choice)

    def pieces(self, chunk: Json) -> list[str] | None:
        """Return where the text of chunks that differ from the last in it alone may be added.

        None if more than that must be done with them.
        """
        found = text_of(chunk)
        if found is None:
            return None
        choice = chunk["choices"][0]
        index = choice.get("index")
        place = index if type(index) is int else 0
        return self._choices[place].pieces(choice["delta"], found[1])

    @property
    def started(self) -> bool:
        """Tell whether any choice was seen."""
        return bool(self._choices)

    @property
    def finished(self) -> bool:
        """Tell whether every choice seen has its `finish_reason`; False before the first."""
        choices = self._choices.values()
        return self.started and all(choice.fields.get("finish_reason") for choice in choices)

    def completion(self) -> Json:
        """Return the `chat.completion` so far; its parts are new at every call but for `usage`."""
        head = {"id": self._fields.get("id"), "object": "chat.completion"}
        choices = [self._choices[index].finish(index) for index in sorted(self._choices)]
        body = {**head, **_settled(self._fields), "choices": choices}
        return body if self.usage is None else {**body, "usage": self.usage}


class _Runs:
    """The chunks of a stream that need not be parsed."""

    __slots__ = ("_fruitless", "_pieces", "_run")

    def __init__(self) -> None:
        self._run: Run | None = None
        self._pieces: list[str] = []
        self._fruitless = 0

    def take(self, data: bytes) -> bool:
        """Take a chunk that differs from the one before in its text alone."""
        text = None if self._run is None else self._run.text(data)
        if text is None:
            return False
        self._pieces.append(text)
        self._fruitless = 0
        return True

    def begin(self, data: bytes, chunk: Json, fold: Fold) -> None:
        """Take the chunk that was just added as the first of a run, if it may be one."""
        self._run = None
        pieces = fold.pieces(chunk) if self._fruitless < _FRUITLESS else None
        if pieces is not None:
            self._fruitless += 1
            self._pieces, self._run = pieces, Run.of(data, chunk)


class Folded(msgspec.Struct, frozen=True):
    """A stream, folded."""

    #: None if no choice was seen.
    completion: Json | None
    usage: Json | None
    #: `[DONE]` was seen.
    done: bool
    #: Every choice seen has its `finish_reason`.
    finished: bool
    #: The last error event.
    error: Json | None


def fold_stream(events: bytes) -> Folded:
    """Fold the raw bytes of a stream; what is no chunk is passed over, and it never raises."""
    fold, done, runs = Fold(), False, _Runs()
    for data in _data(events):
        if runs.take(data):
            continue
        if data == sse.DONE:
            done = True
        elif (chunk := decode_object(data)) is not None:
            fold.add(chunk)
            runs.begin(data, chunk, fold)
    completion = fold.completion() if fold.started else None
    return Folded(completion, fold.usage, done, fold.finished, fold.error)


def objects(events: bytes) -> list[Json]:
    """Return the JSON objects of a stream's events; what is none is passed over."""
    found = (decode_object(data) for data in _data(events))
    return [each for each in found if each is not None]


def decode_object(data: bytes) -> Json | None:
    """Return the JSON object of the bytes, None if they are none."""
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def error_of(body: Json) -> Json | None:
    """Return the error that a body or a chunk tells of, with its `message`, None if none.

    Reads OpenAI's `error` object, a plain text in its place, and the flat forms of OpenPipe
    (`message`, `code`), vLLM (the same) and FastAPI (`detail`).
    """
    error = body.get("error")
    if isinstance(error, dict):
        return error
    if isinstance(error, str) and error:
        return {"message": error}
    flat = body.get("message") or body.get("detail")
    if isinstance(flat, str) and "choices" not in body:
        return {"message": flat, **{name: body[name] for name in ("code", "type") if name in body}}
    return None


def _data(events: bytes) -> list[bytes]:
    if b"\r" in events:
        splitter = sse.Splitter()
        try:
            raw = [*splitter.feed(events), splitter.rest]
        except ValueError:
            return []
        found = [sse.data_of(event) for event in raw]
    else:  # as nearly all are, and many times quicker
        *pieces, rest = events.split(b"\n\n")
        found = [
            piece[6:] if piece.startswith(b"data: ") and b"\n" not in piece else sse.data_of(piece)
            for piece in pieces
        ]
        found.append(sse.data_of(rest) if len(rest) <= sse.MAX_EVENT_BYTES else None)
    return [data for data in found if data is not None]


def _grow(whole: Json, piece: Json, room: int = _DEEPEST) -> None:
    for name, value in piece.items():
        known = whole.get(name)
        if known is None:
            whole[name] = _fresh(value, room)
        elif isinstance(value, str) and isinstance(known, str | _Pieces):
            whole[name] = _longer(name, known, value)
        elif isinstance(value, dict) and isinstance(known, dict):
            _grow(known, value, room - 1)
        elif isinstance(value, list) and type(known) is list:
            for item in value:
                _extend(known, item, room - 1)
        elif value is not None:
            whole[name] = _fresh(value, room)


def _fresh(value: Any, room: int = _DEEPEST) -> Any:
    """Return a copy that may grow without changing the chunk it came from."""
    if not isinstance(value, dict | list):
        return value
    if room <= 0:
        return None
    if isinstance(value, dict):
        return {name: _fresh(part, room - 1) for name, part in value.items()}
    return [_fresh(part, room - 1) for part in value]


def _longer(name: str, known: str | _Pieces, piece: str) -> str | _Pieces:
    if name in LABELS:
        return known or piece
    if name == "name":
        text = known if isinstance(known, str) else "".join(known)
        return text if piece == text else text + piece
    if isinstance(known, _Pieces):
        known.append(piece)
        return known
    return _Pieces([known, piece])


def _extend(items: list[Any], item: Any, room: int) -> None:
    if isinstance(item, dict) and type(item.get("index")) is int:
        for known in items:
            if isinstance(known, dict) and known.get("index") == item["index"]:
                _grow(known, item, room - 1)
                return
    items.append(_fresh(item, room))


def _starts_another(call: Json, piece: Json) -> bool:
    """Tell whether a piece is the head of a call other than this one.

    Some providers give every call index 0; others a new id with every piece of one call. So a
    new id begins a new call only where a function's name comes with it.
    """
    new, known = piece.get("id"), call.get("id")
    return bool(new and known and new != known and _names_a_function(piece))


def _unplaced(calls: list[tuple[int | None, Json]], piece: Json) -> Json | None:
    """Return the call of a piece without an index: by its id, else the last; None for a head."""
    wanted = piece.get("id")
    for _, call in calls:
        if wanted and call.get("id") == wanted:
            return call
    return None if _names_a_function(piece) or not calls else calls[-1][1]


def _names_a_function(piece: Json) -> bool:
    function = piece.get("function")
    return isinstance(function, dict) and bool(function.get("name"))


def _replace(fields: Json, name: str, value: Any) -> None:
    known = fields.get(name)
    if isinstance(known, dict) and isinstance(value, dict):
        fields[name] = {**known, **_fresh(value)}
    elif value is not None or name not in fields:
        fields[name] = _fresh(value)


def _settled(value: Any) -> Any:
    """Return a copy in which nothing grows any more."""
    if isinstance(value, dict):
        return {name: _settled(part) for name, part in value.items()}
    if isinstance(value, _Pieces):
        return "".join(value)
    return [_settled(part) for part in value] if isinstance(value, list) else value
