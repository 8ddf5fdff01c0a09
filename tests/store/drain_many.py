"""Run as a program: put many rows into a store in batches, as a drain does; print how many went in.

Its arguments: the store's URL, the project's id, the segment's name, what the ids begin with.
"""

from __future__ import annotations

import sys

from standpipe.store import Batch, Row, Store

BATCHES = 12
ROWS = 40


def _row(project_id: str, row_id: str) -> Row:
    return Row(
        id=row_id,
        kind="chat",
        project=project_id,
        key=None,
        requested_at=1,
        received_at=2,
        outcome="complete",
        status=200,
        logged=True,
        updated_at=3,
        metadata={"state": "new"},
        response="{}",
    )


def _drain(url: str, project_id: str, segment: str, prefix: str) -> int:
    store = Store.open(url)
    inserted = 0
    for n in range(BATCHES):
        rows = [_row(project_id, f"{prefix}{n:02}-{m:02}") for m in range(ROWS)]
        inserted += store.add(Batch(rows=rows, positions={segment: n + 1}))
    store.close()
    return inserted


if __name__ == "__main__":
    print(_drain(*sys.argv[1:]))
