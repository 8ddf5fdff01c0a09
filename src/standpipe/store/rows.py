"""What goes into the store and comes out of it: plain frozen values, no SQL.

Times are integers, microseconds since the Unix epoch, UTC.
"""

from __future__ import annotations

import operator
import time
from decimal import Decimal
from typing import Literal, TypedDict

import msgspec
from msgspec.structs import astuple

from standpipe.wire.record import Attempt, Kind, Outcome, Usage

Order = Literal["asc", "desc"]


def now_us() -> int:
    """Return the wall clock in microseconds since the Unix epoch."""
    return time.time_ns() // 1_000


class Project(msgspec.Struct, frozen=True):
    """Whose calls, keys and datasets are kept apart from everybody else's."""

    id: str
    name: str
    created_at: int
    #: How long its records are kept; None for what the configuration says, 0 for ever.
    content_days: float | None = None
    records_days: float | None = None
    content_bytes: int | None = None
    #: JSON of what its keys may do together; None for no limits.
    limits: str | None = None
    #: What a judge's kappa has to be at least; None for what is usual.
    alignment_bar: float | None = None


class Key(msgspec.Struct, frozen=True):
    """A caller's key, as far as we know it: the token itself is not kept."""

    #: The public part of the token, or a UUID for a token of foreign form.
    id: str
    project: str
    name: str
    #: SHA-256 of the whole token; see tokens.hash_token.
    token_hash: bytes
    read_only: bool
    created_at: int
    updated_at: int
    revoked_at: int | None = None
    #: What is kept of its calls' text; None for what the configuration says.
    content: Literal["full", "redacted", "none"] | None = None
    #: It may use the admin API.
    admin: bool | None = None
    #: From when on it works no more; None for never.
    expires_at: int | None = None
    #: JSON list of patterns of the models it may ask for; None for all.
    models: str | None = None
    #: JSON of its limits; None for none of its own.
    limits: str | None = None
    #: Those of its project, which is where they are kept.
    project_limits: str | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One call as the store keeps it, fully made by the drain or the API."""

    id: str
    kind: Kind
    #: Project id.
    project: str
    #: Public id of the key, None for a key that has none.
    key: str | None
    requested_at: int
    received_at: int
    outcome: Outcome
    #: HTTP status that the caller was answered with; None if none was sent or reported.
    status: int | None
    #: True where logging applied to the call: only such rows have text.
    logged: bool
    #: When the row was last changed; at first, when it was made.
    updated_at: int
    first_byte_at: int | None = None
    parent: str | None = None
    #: As asked.
    model: str | None = None
    provider: str | None = None
    provider_model: str | None = None
    error: str | None = None
    finish_reason: str | None = None
    #: The `id` of the answer's body.
    completion_id: str | None = None
    streamed: bool = False
    cache_hit: bool = False
    usage: Usage | None = None
    usage_source: str | None = None
    #: US dollars to twelve places, None where no price is known.
    cost: Decimal | None = None
    price_version: str | None = None
    user_agent: str | None = None
    traceparent: str | None = None
    retry_count: int | None = None
    metadata: dict[str, str] = {}
    attempts: tuple[Attempt, ...] = ()
    fidelity: tuple[str, ...] = ()
    #: JSON text.
    request: str | None = None
    #: JSON text; a stream is folded before it comes here.
    response: str | None = None


class OpenStream(msgspec.Struct, frozen=True):
    """A stream that has begun and whose record was not yet read."""

    #: Record id.
    id: str
    #: The worker start that writes it, as in its segment's name.
    writer: str
    #: The `Begin` frame as the spool holds it.
    payload: bytes


class Batch(msgspec.Struct, frozen=True):
    """What the drain commits at once: rows, and how far it has read to get them."""

    rows: list[Row] = []
    #: Segment name to the offset read up to, in bytes.
    positions: dict[str, int] = {}
    opened: list[OpenStream] = []
    #: Ids of open streams that have ended.
    closed: list[str] = []


class Filter(msgspec.Struct, frozen=True):
    """A condition of `update_metadata` and `delete_records`: the field's text equals this text.

    `field` is `model`, `completionId`, `metadata.<name>` or `tags.<name>` (spec 2.4).
    """

    field: str
    equals: str

    @property
    def metadata_name(self) -> str | None:
        """The name, of a condition on metadata; None, or empty, for another field."""
        prefix, _, name = self.field.partition(".")
        return name if prefix in {"metadata", "tags"} else None


class Removed(msgspec.Struct, frozen=True):
    """What was removed."""

    calls: int = 0
    #: Messages that no other call had in it.
    messages: int = 0
    #: Bytes that the texts took, as they were kept.
    bytes: int = 0
    #: Sums of usage by metadata that no other call has.
    usage_rows: int = 0

    def __add__(self, other: Removed) -> Removed:
        """Return both together."""
        return Removed(*map(operator.add, astuple(self), astuple(other)))


class LogFilters(TypedDict, total=False):
    """What narrows a list of calls; all given conditions must hold, None is no condition."""

    model: str | None
    status: int | None
    outcome: Outcome | None
    #: Each name must have this value.
    metadata: dict[str, str]
    #: requested_at, from this on.
    since: int | None
    #: requested_at, before this.
    until: int | None
    #: True: only calls whose text was kept; False: only the others.
    logged: bool | None
