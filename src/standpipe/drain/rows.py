"""What a frame of the spool becomes: one row, fully made. Pure, and nothing here raises on junk."""

from __future__ import annotations

import msgspec

from standpipe.store.rows import Row, now_us
from standpipe.wire.record import Begin, Record
from standpipe.wire.summaries import summary_of
from standpipe.wire.summary import Summary

LOST = "the worker died while this stream was being sent"


def row_of(record: Record) -> Row:
    """Return the row of a record; what the record does not say is read from its text."""
    summary = summary_of(record, record.response, record.request)
    known = record.usage is not None
    return Row(
        id=record.id,
        kind=record.kind,
        project=record.project,
        key=record.key,
        requested_at=record.requested_at,
        first_byte_at=record.first_byte_at,
        received_at=record.received_at,
        updated_at=now_us(),
        outcome=record.outcome,
        status=record.status,
        error=record.error or summary.error_message,
        logged=record.logged,
        parent=record.parent,
        model=record.model,
        provider=record.provider,
        provider_model=record.provider_model,
        finish_reason=record.finish_reason or summary.finish_reason,
        completion_id=record.completion_id or summary.completion_id,
        streamed=record.streamed,
        cache_hit=record.cache_hit,
        usage=record.usage if known else summary.usage,
        usage_source=record.usage_source if known else summary.usage_source,
        user_agent=record.user_agent,
        traceparent=record.traceparent,
        retry_count=record.retry_count,
        metadata=record.metadata,
        attempts=record.attempts,
        fidelity=record.fidelity,
        request=_json_text(record.request),
        response=_response_text(record, summary),
    )


def lost_row(begin: Begin) -> Row:
    """Return the row of a stream whose worker died: that it was begun is all that is known.

    `received_at` is `requested_at`: when it ended, nobody saw.
    """
    return Row(
        id=begin.id,
        kind=begin.kind,
        project=begin.project,
        key=begin.key,
        requested_at=begin.requested_at,
        received_at=begin.requested_at,
        updated_at=now_us(),
        outcome="lost",
        status=200,
        error=LOST,
        logged=begin.logged,
        model=begin.model,
        provider=begin.provider,
        provider_model=begin.provider_model,
        completion_id=begin.completion_id,
        streamed=True,
        user_agent=begin.user_agent,
        metadata=begin.metadata,
        request=_json_text(begin.request),
    )


def _response_text(record: Record, summary: Summary) -> str | None:
    if record.response_form == "json":
        return _json_text(record.response)
    if summary.completion is None:
        return None
    try:
        return msgspec.json.encode(summary.completion).decode()
    except (UnicodeEncodeError, RecursionError):
        return None


def _json_text(body: bytes | None) -> str | None:
    """Return a body as JSON text: as it is if it is JSON, as a JSON string if not."""
    if not body:
        return None
    text = body.decode("utf-8", "replace")
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return msgspec.json.encode(text).decode()
    return text
