"""What a frame of the spool becomes: one row, fully made. Pure, and nothing here raises on junk."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import starmap

import msgspec

from standpipe.drain.prices import FREE, Cost, Prices, Used
from standpipe.store.rows import Row, now_us
from standpipe.wire import usage as usages
from standpipe.wire.record import Attempt, Begin, Record, Usage
from standpipe.wire.summaries import summary_of, used
from standpipe.wire.summary import Summary

LOST = "the worker died while this stream was being sent"


def row_of(record: Record, prices: Prices) -> Row:
    """Return the row of a record; what the record does not say is read from its text."""
    summary = summary_of(record, record.response, record.request)
    usage, source = used(record, summary, record.request)
    cost = _cost(record, summary, usage, prices)
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
        usage=usage,
        usage_source=source,
        cost=None if cost is None else cost.dollars,
        price_version=None if cost is None else cost.version,
        user_agent=record.user_agent,
        traceparent=record.traceparent,
        retry_count=record.retry_count,
        metadata=record.metadata,
        attempts=_priced(record.attempts, record.requested_at, prices),
        fidelity=record.fidelity,
        request=_json_text(record.request),
        response=_response_text(record, summary),
    )


def lost_row(begin: Begin, prices: Prices | None = None) -> Row:
    """Return the row of a stream whose worker died: that it was begun is all that is known.

    What went before it, such as a mixture's drafts, is counted; without prices, not in dollars.
    `received_at` is `requested_at`: when it ended, nobody saw.
    """
    told = [(each, each.usage) for each in begin.attempts if each.usage is not None]
    cost = prices and prices.cost(starmap(_took, told), begin.requested_at)
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
        usage=reduce(usages.added, [usage for _, usage in told]) if told else None,
        usage_source="estimated" if told else None,
        cost=cost.dollars if cost else None,
        price_version=cost.version if cost else None,
        attempts=_priced(begin.attempts, begin.requested_at, prices),
        streamed=True,
        user_agent=begin.user_agent,
        metadata=begin.metadata,
        request=_json_text(begin.request),
    )


def _cost(record: Record, summary: Summary, usage: Usage | None, prices: Prices) -> Cost | None:
    if record.cache_hit:
        return FREE
    if record.kind == "report" and record.model is None:
        return None
    return prices.cost(answers(record, summary, usage), record.requested_at)


def _priced(attempts: tuple[Attempt, ...], at: int, prices: Prices | None) -> tuple[Attempt, ...]:
    """Return attempts, each with its own cost where several were answered."""
    if prices is None or all(each.usage is None for each in attempts):
        return attempts
    return tuple([_with_cost(each, prices, at) for each in attempts])


def _with_cost(attempt: Attempt, prices: Prices, at: int) -> Attempt:
    if attempt.usage is None:
        return attempt
    cost = prices.cost([_took(attempt, attempt.usage)], at)
    return attempt if cost is None else msgspec.structs.replace(attempt, cost=cost.dollars)


def answers(record: Record, summary: Summary, usage: Usage | None) -> Iterator[Used]:
    """Yield what each answer took, or the one that there is."""
    told = [(each, each.usage) for each in record.attempts if each.usage is not None]
    for each, used_by_it in told:
        yield _took(each, used_by_it)
    if usage is not None and not told:
        asked = record.attempts[-1].model if record.attempts else None
        models = _names(record.provider_model or summary.model, asked or record.model)
        tier = record.service_tier or summary.service_tier
        yield Used(record.provider, models, usage, tier)


def _took(attempt: Attempt, usage: Usage) -> Used:
    models = _names(attempt.provider_model, attempt.model)
    return Used(attempt.provider, models, usage, attempt.service_tier)


def _names(*names: str | None) -> tuple[str, ...]:
    return tuple([name for name in names if name])  # half the time of a generator


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
