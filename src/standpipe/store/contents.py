"""The messages of requests, each once in a project: kept, read again, and removed after their use.

A prefix stays as long as a record or another prefix needs it, and a message as long as a prefix
does. Transactions that add share the contents, one that removes owns them: what one has found to be
there, or to be of no more use, is still so when it commits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, bindparam, delete, func, or_, select, text

from standpipe.store.content import Link, Packed, Packer, Unpacker, chain
from standpipe.store.database import Database
from standpipe.store.many import in_parts, present
from standpipe.store.schema import contents, prefixes, records

#: Request and response.
Texts = tuple[str | None, str | None]

_GROW = text(
    "INSERT INTO project_sizes (project_id, content_bytes) VALUES (:project_id, :grown)"
    " ON CONFLICT (project_id) DO UPDATE"
    " SET content_bytes = project_sizes.content_bytes + excluded.content_bytes"
)


_columns = (prefixes.c["hash"], prefixes.c["parent"], prefixes.c["content"])
_ours = prefixes.c.project_id.in_(bindparam("projects", expanding=True))
_last = select(*_columns).where(_ours, prefixes.c["hash"].in_(bindparam("heads", expanding=True)))


def _all_lists() -> Select[Any]:
    """Return the query for the lists that end in some prefixes, back to their first messages."""
    lists = _last.cte("lists", recursive=True)
    before = select(*_columns).where(_ours, prefixes.c["hash"] == lists.c.parent)
    # Not UNION ALL: what the lists have in common is met once.
    return select(lists.union(before))


def _left_lists() -> Select[Any]:
    """Return the query for prefixes that may be of no more use, and whether each still is.

    From one that a record uses it does not go back further, since all before it is used too.
    """
    lists = _last.cte("lists", recursive=True)
    has_record = select(records.c.id).where(records.c.request_head == lists.c["hash"]).exists()
    before = select(*_columns).where(_ours, prefixes.c["hash"] == lists.c.parent, ~has_record)
    lists = lists.union(before)
    has_record = select(records.c.id).where(records.c.request_head == lists.c["hash"]).exists()
    another = prefixes.alias()
    goes_on = another.c.parent == lists.c["hash"], another.c["hash"].not_in(select(lists.c["hash"]))
    has_another = select(another.c["hash"]).where(*goes_on).exists()
    return select(lists, or_(has_record, has_another).label("is_used"))


_LISTS = _all_lists()
_LEFT = _left_lists()
_UNUSED = select(contents.c["hash"], func.length(contents.c.body).label("size")).where(
    contents.c.project_id == bindparam("project"),
    contents.c["hash"].in_(bindparam("hashes", expanding=True)),
    ~select(prefixes.c["hash"]).where(prefixes.c.content == contents.c["hash"]).exists(),
)


def put(
    database: Database, connection: Connection, packer: Packer, kept: Sequence[tuple[str, Packed]]
) -> None:
    """Keep the messages that are not there yet, and count what all these texts take.

    `kept` has the project and the texts of each record that was inserted in this transaction,
    which shares the contents. Raises Overtaken if another drain has just added the same.
    """
    sizes = Counter[str]()
    for project_id, packed in kept:
        sizes[project_id] += packed.size
    links = {link.hash: (project_id, link) for project_id, packed in kept for link in packed.links}
    known = present(connection, prefixes.c.hash, links)
    new = [links[each] for each in links.keys() - known]
    for project_id, body in _put_messages(database, connection, packer, new):
        sizes[project_id] += len(body)
    lists = [(link.hash, project_id, link.parent, link.content) for project_id, link in new]
    _insert(database, connection, prefixes, lists)
    grow(connection, sizes)


def _put_messages(
    database: Database, connection: Connection, packer: Packer, new: Sequence[tuple[str, Link]]
) -> list[tuple[str, bytes]]:
    """Insert the messages that are not there yet; return the project and the body of each."""
    texts = {link.content: (project_id, link.text) for project_id, link in new}
    known = present(connection, contents.c.hash, texts)
    missing = [(each, *texts[each]) for each in texts.keys() - known]
    rows = [(each, project_id, packer.compress(text)) for each, project_id, text in missing]
    _insert(database, connection, contents, rows)
    return [(project_id, body) for _, project_id, body in rows]


def grow(connection: Connection, sizes: Mapping[str, int]) -> None:
    """Add to what the texts of projects take."""
    grown = [
        {"project_id": project_id, "grown": size}
        for project_id, size in sorted(sizes.items())
        if size
    ]
    if grown:
        connection.execute(_GROW, grown)


def release(connection: Connection, project_id: str, heads: Collection[bytes]) -> tuple[int, int]:
    """Remove what only records that are no more used; return how many messages, and their bytes.

    `heads` are the last prefixes of those records' lists. The transaction owns the contents.
    """
    messages: set[bytes] = set()
    for some in in_parts(heads):
        left = connection.execute(_LEFT, {"projects": [project_id], "heads": some}).all()
        unused = _unused(left)
        _delete(connection, prefixes, project_id, unused)
        messages.update(unused.values())
    sizes = {}
    for some in in_parts(messages):
        found = connection.execute(_UNUSED, {"project": project_id, "hashes": some})
        sizes.update({row.hash: row.size for row in found})
    _delete(connection, contents, project_id, sizes)
    return len(sizes), sum(sizes.values())


def texts(connection: Connection, found: Sequence[Row[Any]]) -> list[Texts]:
    """Return the texts of rows of `records`.

    Those of a record that is being deleted at this moment may be None.
    """
    heads = {row.request_head for row in found} - {None}
    projects = {row.project_id for row in found}
    unpacker = Unpacker()
    lists = _lists(connection, projects, heads) if heads else {}
    bodies = _bodies(connection, projects, {each for hashes in lists.values() for each in hashes})
    kept = {each: unpacker.decompress(body) for each, body in bodies.items()}
    return [_texts(row, unpacker, lists, kept) for row in found]


def _insert(
    database: Database, connection: Connection, table: Table, rows: list[tuple[Any, ...]]
) -> None:
    """Insert rows whose first column is a hash.

    They go in the order of their hashes, so that two drains wait for each other in one direction.
    Raises Overtaken if another drain has inserted some of them since we looked.
    """
    rows.sort()
    database.insert_new(connection, table, rows)


def _unused(left: Sequence[Row[Any]]) -> dict[bytes, bytes]:
    """Return those prefixes, and their messages, that neither a record nor another prefix needs."""
    parents = {row.hash: row.parent for row in left}
    used: set[bytes] = set()
    for row in left:
        at = row.hash if row.is_used else None
        while at is not None and at in parents and at not in used:
            used.add(at)
            at = parents[at]
    return {row.hash: row.content for row in left if row.hash not in used}


def _delete(connection: Connection, table: Table, project_id: str, hashes: Iterable[bytes]) -> None:
    for some in in_parts(hashes):
        theirs = table.c.project_id == project_id
        connection.execute(delete(table).where(theirs, table.c["hash"].in_(some)))


def _texts(
    row: Row[Any],
    unpacker: Unpacker,
    lists: Mapping[bytes, list[bytes]],
    kept: Mapping[bytes, bytes],
) -> Texts:
    """Return the texts of one row; those that 0001 kept are in columns of their own."""
    response = unpacker.text(row.response_body) if row.response_body else row.response
    if row.request_body is None:
        return row.request, response
    hashes = [] if row.request_head is None else lists.get(row.request_head)
    if hashes is None or not kept.keys() >= set(hashes):
        return None, response
    return unpacker.text(row.request_body, [kept[each] for each in hashes]), response


def _lists(
    connection: Connection, projects: Collection[str], heads: Collection[bytes]
) -> dict[bytes, list[bytes]]:
    """Return the hashes of the messages of each list that is there."""
    found: dict[bytes, tuple[bytes | None, bytes]] = {}
    for some in in_parts(heads):
        for row in connection.execute(_LISTS, {"projects": list(projects), "heads": some}):
            found[row.hash] = (row.parent, row.content)
    return {head: chain(head, found) for head in heads if head in found}


def _bodies(
    connection: Connection, projects: Collection[str], hashes: Collection[bytes]
) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for some in in_parts(hashes):
        query = select(contents.c.hash, contents.c.body).where(
            contents.c.project_id.in_(projects), contents.c.hash.in_(some)
        )
        found.update((row.hash, row.body) for row in connection.execute(query))
    return found
