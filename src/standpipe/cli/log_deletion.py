"""Deleting calls by their metadata, in one project or in several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from standpipe.cli.keeping import size
from standpipe.store.rows import Filter, Project, Removed
from standpipe.store.store import Store


def count(store: Store, projects: Iterable[Project], labels: Mapping[str, str]) -> int:
    """Return how many calls have all these labels."""
    return sum(store.count(project.id, metadata=dict(labels)) for project in projects)


def delete(store: Store, projects: Iterable[Project], labels: Mapping[str, str]) -> Removed:
    """Delete the calls that have all these labels; return what went."""
    filters = [Filter(f"metadata.{name}", value) for name, value in labels.items()]
    deleted = (store.delete_records(project.id, filters) for project in projects)
    return sum(deleted, Removed())


def line(removed: Removed) -> dict[str, Any]:
    """Return what went, for programs; as the API says it."""
    return {
        "deleted": {
            "calls": removed.calls,
            "messages": removed.messages,
            "bytes": removed.bytes,
            "usageRows": removed.usage_rows,
        }
    }


def in_words(removed: Removed) -> str:
    """Return what went, for people."""
    return (
        f"Deleted: {removed.calls:,} calls, {removed.messages:,} messages that no other call had,"
        f" {size(removed.bytes)} of texts, {removed.usage_rows:,} sums of usage."
    )
