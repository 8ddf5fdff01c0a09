"""What workers and the limiter say to each other: MessagePack, each message behind its length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

import msgspec

from standpipe.drain.prices import Used
from standpipe.limits.limits import Limits

#: Longest message, in bytes.
LONGEST = 1 << 20
_LENGTH = 4
_DAY_US = 86_400_000_000

Kind = Literal["key", "project"]


class Subject(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Who is held to limits."""

    kind: Kind
    id: str
    limits: Limits


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """Who is at the worker's end, said first."""

    #: What its records are written as: see `spool.names`.
    worker: str


class Want(msgspec.Struct, frozen=True, array_like=True, tag="want"):
    """A call that wants to begin, with what it may take."""

    #: Its id.
    call: str
    project: str
    subjects: tuple[Subject, ...]
    #: When it came, in microseconds since the epoch: the period that it counts in.
    at: int
    prompt_tokens: int = 0
    answer_tokens: int = 0
    #: Where it may go: providers and what they call the model.
    targets: tuple[tuple[str, str], ...] = ()
    #: In 10^-12 dollars, which the limiter fills in.
    cost: int = 0
    #: It has begun already; the limiter did not know it because it is a new one.
    has_begun: bool = False
    #: It is part of a call that is counted, and takes no place of `concurrent_calls` of its own.
    is_part: bool = False
    #: Who has it, which the limiter fills in: see `nodes.holder`.
    by: str = ""

    @property
    def tokens(self) -> int:
        """Of the prompt and the answer together."""
        return self.prompt_tokens + self.answer_tokens

    @property
    def has_budget(self) -> bool:
        """Tell whether money is counted."""
        return any(subject.limits.has_budget for subject in self.subjects)


class End(msgspec.Struct, frozen=True, array_like=True, tag="end"):
    """A call has ended, or never really began."""

    call: str
    project: str
    tokens: int = 0
    #: What it was answered, to be priced.
    answers: tuple[Used, ...] = ()
    #: It counts as a request.
    counts: bool = True
    #: What began, for a limiter that may not know it because it is a new one.
    want: Want | None = None


class Level(msgspec.Struct, frozen=True, array_like=True):
    """How a limit per minute stands."""

    limit: int
    remaining: int
    #: Seconds until all of it is there again.
    reset: float


#: Why a call may not begin.
Reason = Literal["requests", "tokens", "concurrent", "day", "month", "held", "unpriced", "away"]


class Verdict(msgspec.Struct, frozen=True, array_like=True, tag="verdict"):
    """Whether a call may begin."""

    call: str
    #: None where it may.
    reason: Reason | None = None
    #: Whose limit is in the way, and what it is, as one reads it.
    kind: Kind | None = None
    limit: str = ""
    #: Seconds after which it may; None where waiting does not help.
    wait: float | None = None
    requests: Level | None = None
    tokens: Level | None = None


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """An `End` was counted, and need not be told again."""

    call: str


Message = Hello | Want | End | Verdict | Done
_encoder = msgspec.msgpack.Encoder(decimal_format="string")
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """Return a message as it goes over the socket."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_LENGTH) + body


class Splitter:
    """Bytes as they come, to messages."""

    def __init__(self) -> None:
        self._left = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are whole; ValueError for what can be none."""
        left = self._left
        left += data
        start = 0
        while len(left) - start >= _LENGTH:
            size = int.from_bytes(left[start : start + _LENGTH])
            if size > LONGEST:
                raise ValueError(f"a message of {size} bytes")
            end = start + _LENGTH + size
            if len(left) < end:
                break
            yield _decoder.decode(memoryview(left)[start + _LENGTH : end].tobytes())
            start = end
        del left[:start]


def periods(at: int) -> Mapping[Literal["day", "month"], str]:
    """Return the names of the day and the month of a time, UTC."""
    return _periods(at // _DAY_US)


@lru_cache(maxsize=64)
def _periods(day: int) -> Mapping[Literal["day", "month"], str]:
    # Writing a date takes longer than all else that the limiter has to find out about a call.
    when = datetime.fromtimestamp(day * _DAY_US // 1_000_000, UTC)
    return {"day": f"{when:%Y-%m-%d}", "month": f"{when:%Y-%m}"}
