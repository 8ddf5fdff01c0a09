"""What was used, as the API and the command line tell it in JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from standpipe.store.usage import LENGTHS, Sums, UsageQuery, UsageRow
from standpipe.wire.usage import dollars


def shown(row: UsageRow, asked: UsageQuery) -> dict[str, Any]:
    """Return a row: its time, what it is summed by, its figures."""
    groups: dict[str, Any] = {}
    if asked.by_project:
        groups["project"] = row.project
    if asked.by_model:
        groups["model"] = row.model or None
    if asked.by_key:
        groups["key"] = row.key or None
    if asked.by_name is not None:
        groups["metadata"] = {asked.by_name: row.value}
    bounds = {"start": _iso(row.start), "end": _iso(row.start + LENGTHS[asked.by])}
    return {**bounds, **groups, **figures(row.sums)}


def figures(sums: Sums) -> dict[str, Any]:
    """Return what some calls used and cost."""
    return {
        "calls": sums.calls,
        "failed": sums.failed,
        "unpriced": sums.unpriced,
        "usage": {
            "prompt_tokens": sums.prompt_tokens,
            "completion_tokens": sums.completion_tokens,
            "total_tokens": sums.prompt_tokens + sums.completion_tokens,
            "cached_tokens": sums.cached_tokens,
            "cache_write_tokens": sums.cache_write_tokens,
            "reasoning_tokens": sums.reasoning_tokens,
            "audio_tokens": sums.audio_tokens,
        },
        "cost": None if sums.cost is None else dollars(sums.cost),
    }


def _iso(microseconds: int) -> str:
    return f"{datetime.fromtimestamp(microseconds / 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
