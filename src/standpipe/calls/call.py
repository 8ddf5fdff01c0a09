"""One call's state, from its first byte to its record."""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

import msgspec
from typing_extensions import override

from standpipe.calls.callers import Caller
from standpipe.calls.incoming import Incoming
from standpipe.calls.reply import Headers, Reply
from standpipe.calls.routes import Target
from standpipe.config import Content
from standpipe.errors import ApiError, Cut
from standpipe.wire import usage as usages
from standpipe.wire.chat import ChatRequest
from standpipe.wire.ids import new_id
from standpipe.wire.passthrough import PassedRequest
from standpipe.wire.record import Attempt, Begin, BodyForm, Kind, Outcome, Record
from standpipe.wire.summaries import sent, summary_of, used


def now_us() -> int:
    """Return the time in microseconds since the Unix epoch."""
    return time.time_ns() // 1000


class Told(Protocol):
    """What a provider said of its answer, so far; every decoder is one."""

    @property
    def completion_id(self) -> str | None:
        """The completion's `id`, None before the first chunk."""

    @property
    def provider_model(self) -> str | None:
        """As the provider calls its model, None if it has not said."""

    @property
    def usage(self) -> msgspec.Raw | None:
        """The JSON of the usage, None if there was none."""


class After(Protocol):
    """What holds a call's whole answer back until something is done with it."""

    @property
    def begun(self) -> bool:
        """True once it serves the call."""

    def serve(self, call: Call, request: ChatRequest, reply: Reply) -> Awaitable[None]:
        """Answer the call; the route is asked to serve it again, for the answer itself."""

    def take(self, body: bytes) -> bool:
        """Take a whole answer; False where it may go out."""


class Call(msgspec.Struct, eq=False):
    """What is known of a call so far.

    Its outcome is `abandoned` until something proves otherwise, so a path that nobody thought of
    leaves a record that says so. A struct, since one is made in less time than an object.
    """

    incoming: Incoming
    caller: Caller
    body: bytes
    kind: Kind = "chat"
    #: Id of the call that this one is made for.
    parent: str | None = None
    id: str = msgspec.field(default_factory=new_id)
    requested_at: int = msgspec.field(default_factory=now_us)
    #: What makes a chat request of a body in another form, None for a body that is one.
    translate: Callable[[bytes], bytes] | None = None
    request: ChatRequest | PassedRequest | None = None
    metadata: dict[str, str] = {}
    #: Until the body has been read nobody has asked for its text to be kept.
    logged: bool = False
    #: In what form, if it is.
    content: Content = "full"
    target: Target | None = None
    attempts: list[Attempt] = []
    #: A failed attempt was made again: for the caller to do so too would be too much.
    retried: bool = False
    #: It has begun, for the limiter: that must be told how it ended.
    is_held: bool = False
    #: How the caller's limits stand, as it is told.
    rates: Headers = []
    #: What was emulated, as the caller is told.
    fidelity: tuple[str, ...] = ()
    #: What the caller asked to be kept and the content policy does not keep.
    withheld: tuple[str, ...] = ()
    outcome: Outcome = "abandoned"
    status: int | None = None
    error: str | None = None
    first_byte_at: int | None = None
    begun: bool = False
    #: Bytes of the spool that are promised to it.
    promised: int = 0
    #: Its record is in the spool.
    kept: bool = False
    #: As the provider calls it in a whole answer.
    provider_model: str | None = None
    #: What reads the provider's stream, None for a whole answer that came in one piece.
    decoder: Told | None = None
    #: The answer as sent, or as received if it could not be sent.
    pieces: list[bytes] = []
    form: BodyForm = "json"
    #: Where its answer is from, None where it asked for no cache.
    cache: Literal["hit", "miss"] | None = None
    #: What its whole answer is held back for, None for an answer that is sent as it comes.
    after: After | None = None

    @override
    def __repr__(self) -> str:
        return f"Call({self.id})"

    @property
    def model_name(self) -> str | None:
        """As the provider calls its model, None while it has not said."""
        return self.decoder.provider_model if self.decoder else self.provider_model

    @property
    def answered(self) -> bool:
        """Tell a call of whose answer the caller has seen a part, or is about to."""
        return self.begun or self.outcome != "abandoned"

    def turn_to(self, target: Target) -> None:
        """Begin at a target, whatever another one has said so far."""
        self.target = target
        self.fidelity = ()
        self.provider_model = self.decoder = None

    def throw_away(self) -> None:
        """Let an answer that began, and that nobody will see, count for what was asked."""
        last = self.attempts[-1] if self.attempts else None
        if last is None or last.status != 200 or last.usage is not None:
            return
        usage, source = sent(self.body)
        self.attempts[-1] = msgspec.structs.replace(last, usage=usage, usage_source=source)

    @property
    def told(self) -> tuple[str, ...]:
        """What the caller is told that it asked for and does not get, or gets by other means."""
        return self.fidelity + self.withheld

    def failed(self, error: ApiError) -> None:
        """Take note of the error that the caller is answered with."""
        self.error = error.message
        if self.begun:
            self.outcome = "cut"
            return
        self.status = error.status
        self.outcome = "refused" if error.status < 500 else _FAILURES.get(type(error), "failed")

    def begin(self) -> Begin:
        """Return the frame that says that a stream has begun."""
        return Begin(
            id=self.id,
            project=self.caller.project,
            key=self.caller.key,
            requested_at=self.requested_at,
            model=self.request.model if self.request else None,
            provider=self.target.provider if self.target else None,
            provider_model=self.model_name,
            completion_id=self.decoder.completion_id if self.decoder else None,
            metadata=self.metadata,
            logged=self.logged,
            user_agent=self.incoming.told.user_agent,
            kind=self.kind,
            attempts=tuple(self.attempts) if len(self.attempts) > 1 else (),
        )

    def record(self) -> Record:
        """Return the record of the call as it stands now."""
        response = b"".join(self.pieces) or None
        request, target, told = self.request, self.target, self.incoming.told
        decoder = self.decoder
        named = decoder.provider_model if decoder else self.provider_model
        # By place as far as it must be: where arguments and twice the names are over 30, Python
        # builds a dictionary of the names first, and the call takes five times as long.
        record = Record(
            self.id,
            self.kind,
            self.caller.project,
            self.caller.key,
            self.requested_at,
            time.time_ns() // 1000,
            self.outcome,
            self.status,
            self.logged,
            self.first_byte_at,
            request.model if request else None,
            target.provider if target else None,
            named or (target.model if target else None),
            self.error,
            request is not None and request.stream,
            self.metadata,
            tuple(self.attempts),
            self.fidelity + self.withheld,
            told.user_agent,
            told.traceparent,
            told.retries,
            self.parent,
            self.cache == "hit",
            self.body if self.logged else None,
            self.form,
            response=response if self.logged else None,
        )
        if decoder is not None:
            record = _with_stream(record, decoder)
        for each in self.attempts:
            if each.usage is not None:
                record = _with_sum(_with_last(record, response, self.body))
                break
        return record if self.logged else _with_numbers(record, response, self.body)


#: Errors whose outcome is not `failed` although their status is 5xx.
_FAILURES: dict[type[ApiError], Outcome] = {Cut: "cut"}


def without_text(record: Record) -> Record:
    """Return the record with its numbers alone, for a spool that has no room for the text."""
    bare = msgspec.structs.replace(record, logged=False, request=None, response=None)
    return _with_numbers(bare, record.response, record.request)


def _with_stream(record: Record, decoder: Told) -> Record:
    """Add what a stream said in events that were not passed on, its usage above all."""
    if decoder.usage is None:
        return msgspec.structs.replace(record, completion_id=decoder.completion_id)
    counts = usages.from_openai(msgspec.json.decode(decoder.usage))
    return msgspec.structs.replace(
        record, completion_id=decoder.completion_id, usage=counts, usage_source="provider"
    )


def _with_last(record: Record, response: bytes | None, request: bytes | None) -> Record:
    """Let the last attempt say what it used, as those that were thrown away do."""
    *others, last = record.attempts
    if last.status != 200 or last.usage is not None:
        return record
    alone = msgspec.structs.replace(record, attempts=(last,))
    said = summary_of(alone, response, request)
    usage, source = used(alone, said, request)
    last = msgspec.structs.replace(
        last,
        provider_model=record.provider_model,
        usage=usage,
        usage_source=source,
        service_tier=said.service_tier,
    )
    return msgspec.structs.replace(record, attempts=(*others, last))


def _with_sum(record: Record) -> Record:
    """Add up what the answers that it took have used, those that were thrown away among them."""
    told = [each for each in record.attempts if each.usage is not None]
    sources = {each.usage_source for each in told}
    return msgspec.structs.replace(
        record,
        usage=functools.reduce(usages.added, (each.usage for each in told if each.usage)),
        usage_source="provider" if sources == {"provider"} else "estimated",
    )


def _with_numbers(record: Record, response: bytes | None, request: bytes | None) -> Record:
    """Fill in what the drain would have read from the text."""
    said = summary_of(record, response, request)
    usage, source = used(record, said, request)
    return msgspec.structs.replace(
        record,
        completion_id=record.completion_id or said.completion_id,
        finish_reason=record.finish_reason or said.finish_reason,
        usage=usage,
        usage_source=source,
        service_tier=record.service_tier or said.service_tier,
    )
