"""A project never sees another one's calls, whichever verb asks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from standpipe.errors import NotFound
from standpipe.store import Batch, Filter, Project, Row, Store
from standpipe.store.alignment import AlignmentVerdict, NewAlignmentRow
from standpipe.store.cache import CachedAnswer
from standpipe.store.settled import Settled
from standpipe.store.usage import UsageQuery

Asking = Callable[[Store, str, Row], object]

#: Every verb that takes the id of a project, asked for a record that is another project's.
ASKING: dict[str, Asking] = {
    "record": lambda store, project, row: store.record(project, row.id),
    "record by answer": lambda store, project, row: store.record(project, str(row.completion_id)),
    "completion": lambda store, project, row: store.completion(project, row.id),
    "completions": lambda store, project, _: store.completions(project)[0],
    "completions by model": lambda store, project, row: store.completions(project, model=row.model)[
        0
    ],
    "completions by metadata": lambda store, project, row: store.completions(
        project, metadata=row.metadata
    )[0],
    "completions after": lambda store, project, row: store.completions(
        project, after=row.id, order="desc"
    )[0],
    "latest": lambda store, project, _: store.latest(project),
    "logs": lambda store, project, _: store.logs(project),
    "logs by metadata": lambda store, project, row: store.logs(project, metadata=row.metadata),
    "logs before": lambda store, project, row: store.logs(project, before=row.id),
    "each_log": lambda store, project, _: list(store.each_log(project)),
    "count": lambda store, project, row: store.count(project, metadata=row.metadata),
    "counts": lambda store, project, _: store.counts(project),
    "set_metadata": lambda store, project, row: store.set_metadata(project, row.id, {}),
    "update_metadata": lambda store, project, _: store.update_metadata(project, [], {"a": "z"}),
    "update_metadata by answer": lambda store, project, row: store.update_metadata(
        project, [Filter("completionId", str(row.completion_id))], {"a": None}
    ),
    "update_metadata by metadata": lambda store, project, _: store.update_metadata(
        project, [Filter("metadata.a", "b")], {"a": None}
    ),
    "delete_record": lambda store, project, row: store.delete_record(project, row.id),
    "delete_record by answer": lambda store, project, row: store.delete_record(
        project, str(row.completion_id)
    ),
    "delete_records": lambda store, project, row: (
        store.delete_records(
            project, [Filter("model", str(row.model)), Filter("metadata.a", "b")]
        ).calls
    ),
    "expire_texts": lambda store, project, _: store.expire_texts(project, 1 << 60),
    "shrink_texts": lambda store, project, _: store.shrink_texts(project, 0),
    "expire_records": lambda store, project, _: store.expire_records(project, 1 << 60),
    "usage": lambda store, project, _: store.usage(
        project, UsageQuery(since=0, until=1 << 60), limit=10
    ),
    "settled": lambda store, project, row: (
        store.settled(project, 0, 1 << 60, [row.id]) != Settled({}, set())
    ),
    "audit_log": lambda store, project, _: [
        each for each in store.audit_log(project) if each.project != project
    ],
    "keys": lambda store, project, _: store.keys(project),
    "criteria": lambda store, project, _: store.criteria(project),
    "add_criterion_version": lambda store, project, _: store.add_criterion_version(
        project, "c", "{}"
    ),
    "remove_criterion": lambda store, project, _: store.remove_criterion(project, "c"),
    "add_alignment_rows": lambda store, project, _: store.add_alignment_rows(
        project, "c", [NewAlignmentRow("r", "{}", "FAIL")]
    ),
    "add_alignment_verdict": lambda store, project, _: store.add_alignment_verdict(
        project, "c", "r", AlignmentVerdict(1, 1.0, None, None, 0)
    ),
    "alignment_rows": lambda store, project, _: store.alignment_rows(project, "c"),
    "alignment_tallies": lambda store, project, _: store.alignment_tallies(project, passes=0.5),
    "judge_alignment_row": lambda store, project, _: store.judge_alignment_row(
        project, "c", "r", "FAIL"
    ),
    "remove_alignment_row": lambda store, project, _: store.remove_alignment_row(project, "c", "r"),
    "cached_answer": lambda store, project, _: store.cached_answer(project, b"h", 0),
    "remove_project": lambda store, project, _: store.remove_project(project) is None,
}


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING.keys())
def test_other_project_is_neither_seen_nor_touched(
    store: Store, other: Project, row_of: Callable[..., Row], ask: Asking
) -> None:
    row = row_of(1, metadata={"a": "b"})
    store.add(Batch(rows=[row, row_of(2, metadata={"a": "b"})]))
    criterion = store.add_criterion(row.project, "c", '{"a":1}')
    store.cache_answers([CachedAnswer(row.project, b"h", b"a")])
    store.add_alignment_rows(row.project, "c", [NewAlignmentRow("r", "{}", "PASS")])
    judged = store.alignment_rows(row.project, "c")
    key = store.add_key(row.project, name="k", read_only=False, token="x" * 16)
    with suppress(NotFound):
        assert not ask(store, other.id, row)
    assert store.record(row.project, row.id) == row
    assert store.counts(row.project) == {"complete": 2}
    assert store.completions(row.project, metadata={"a": "b"})[0][0] == row
    assert store.keys(row.project) == [key]
    assert store.criteria(row.project) == [criterion]
    assert store.alignment_rows(row.project, "c") == judged
    assert store.cached_answer(row.project, b"h", 0) == b"a"


#: Verbs whose subject is no project's record, and which take no project's id.
WITHOUT_A_PROJECT = {
    "open", "close", "migrate", "is_current", "ping", "add_project", "projects", "project",
    "key_by_hash", "keys_changed_since", "revoke_key", "add", "positions", "open_streams",
    "forget_segment", "add_key", "rename_project", "version", "drop_empty_partitions",
    "change_key", "change_project", "end_project", "acting_as", "content_sizes", "finish_removals",
    "snapshot", "restore_project", "restore_key", "restore_hours", "unknown", "faults",
    "recount", "clock", "restore_audit", "kept_texts", "seen", "endless_streams", "forget_lost",
    "add_criterion", "restore_criterion", "cache_answers", "trim_cache",
    "restore_alignment_row",
}  # fmt: skip


def test_every_verb_was_asked() -> None:
    verbs = {name for name in dir(Store) if not name.startswith("_")}
    asked = {name.partition(" ")[0] for name in ASKING}
    assert verbs == asked | WITHOUT_A_PROJECT
