"""`stop` beyond four: the provider is sent the first four, the answer is cut at the others here.

Of a stream, the pieces whose text may be the beginning of a stop sequence are held back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from standpipe.errors import BadRequest

Json = dict[str, Any]

#: What every provider takes.
SENT = 4
#: Longest sequence that is looked for here, in characters.
LONGEST = 256


def first_four(body: Json) -> Json:
    """Return the request with as many sequences as a provider takes."""
    return {**body, "stop": body["stop"][:SENT]}


def cutter(body: Json) -> Callable[[], Cutter]:
    """Return what makes the edit; BadRequest for a sequence that is too long or empty."""
    stops = body["stop"][SENT:]
    for index, stop in enumerate(stops, SENT):
        if not 0 < len(stop) <= LONGEST:
            path = f"stop[{index}]"
            raise BadRequest(f"{path}: must have 1 to {LONGEST} characters", param=path)
    return lambda: Cutter(stops)


class Cutter:
    """Ends a choice before the sequence that is complete first, where its generation would end."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.ended = False
        self._stops = stops
        self._held: deque[Json] = deque()
        self._text = ""

    def whole(self, choice: Json) -> Json:
        """Return the choice up to that sequence."""
        at = self._found(_text(choice["message"]))
        if at is None:
            return choice
        return {**_shortened(choice, "message", at), "finish_reason": "stop"}

    def piece(self, piece: Json) -> Iterable[Json]:
        """Return what cannot be the beginning of a sequence any more."""
        if self.ended:
            return ()
        self._held.append(piece)
        self._text += _text(piece.get("delta"))
        at = self._found(self._text)
        if at is not None:
            self.ended = True
            said = [*self._until(at), _end(piece)]
            self._held.clear()
            return said
        if piece.get("finish_reason"):
            return self.close()
        return list(self._released(len(self._text) - self._uncertain()))

    def close(self) -> Iterable[Json]:
        """Return all that is held back."""
        held = list(self._held)
        self._held.clear()
        return held

    def _found(self, text: str) -> int | None:
        """Return where the sequence begins that ends first; the longest of those that end there."""
        places = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        return min(places)[1] if places else None

    def _uncertain(self) -> int:
        """Return how many characters at the end may begin a sequence."""
        return max(_overlap(self._text, stop) for stop in self._stops)

    def _released(self, sure: int) -> Iterator[Json]:
        while self._held and (size := len(_text(self._held[0].get("delta")))) <= sure:
            sure -= size
            self._text = self._text[size:]
            yield self._held.popleft()

    def _until(self, at: int) -> Iterator[Json]:
        for piece in self._held:
            if at <= 0 and _text(piece.get("delta")):
                return
            yield {**_shortened(piece, "delta", at), "finish_reason": None}
            at -= len(_text(piece.get("delta")))


def _end(piece: Json) -> Json:
    index = piece.get("index", 0)
    return {"index": index, "delta": {}, "logprobs": None, "finish_reason": "stop"}


def _text(said: Json | None) -> str:
    content = (said or {}).get("content")
    return content if isinstance(content, str) else ""


def _overlap(text: str, stop: str) -> int:
    longest = min(len(stop) - 1, len(text))
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)


def _shortened(choice: Json, part: str, length: int) -> Json:
    text = _text(choice.get(part))
    if len(text) <= length:
        return choice
    shorter = {**choice, part: {**choice[part], "content": text[:length]}}
    logprobs = choice.get("logprobs")
    if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list):
        kept = list(_within(logprobs["content"], length))
        shorter["logprobs"] = {**logprobs, "content": kept}
    return shorter


def _within(tokens: list[Json], length: int) -> Iterator[Json]:
    for token in tokens:
        if length <= 0:
            return
        yield token
        length -= len(token.get("token") or "")
