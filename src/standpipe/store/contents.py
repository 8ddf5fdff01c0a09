"""The messages of requests, each once in a project: kept, read again, and removed with their use.

A prefix stays as long as a record or another prefix needs it, and a message as long as a prefix
does. Who adds and who removes must not do so at the same time; see `Database.share_contents`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table, bindparam, select, text

from standpipe.store.content import Packed, Packer, Unpacker, chain
from standpipe.store.database import Database
from standpipe.store.many import in_parts, present
from standpipe.store.schema import contents, prefixes

#: Request and response.
Texts = tuple[str | None, str | None]

_GROW = text(
    "INSERT INTO project_sizes (project_id, content_bytes) VALUES (:project_id, :grown)"
    " ON CONFLICT (project_id) DO UPDATE"
    " SET content_bytes = project_sizes.content_bytes + excluded.content_bytes"
)


_last = select(prefixes.c["hash"], prefixes.c["parent"], prefixes.c["content"]).where(
    prefixes.c.project_id.in_(bindparam("projects", expanding=True)),
    prefixes.c["hash"].in_(bindparam("heads", expanding=True)),
)
_lists_of = _last.cte("lists_of", recursive=True)
_before = select(prefixes.c["hash"], prefixes.c["parent"], prefixes.c["content"]).where(
    prefixes.c.project_id.in_(bindparam("projects", expanding=True)),
    prefixes.c["hash"] == _lists_of.c.parent,
)
# Not UNION ALL: what lists have in common is read once.
_CHAINS = select(_lists_of.union(_before))


def put(
    database: Database, connection: Connection, packer: Packer, kept: Sequence[tuple[str, Packed]]
) -> None:
    """Keep the messages that are not there yet, and count what all these texts take.

    `kept` has the project and the texts of each record that was inserted in this transaction.
    """
    sizes = Counter[str]()
    for project_id, packed in kept:
        sizes[project_id] += packed.size
    links = {link.hash: (project_id, link) for project_id, packed in kept for link in packed.links}
    if links:
        database.share_contents(connection)
        known = present(connection, prefixes.c.hash, links)
        new = [links[each] for each in links.keys() - known]
        texts = {link.content: (project_id, link.text) for project_id, link in new}
        known = present(connection, contents.c.hash, texts)
        bodies = [
            (each, texts[each][0], packer.compress(texts[each][1])) for each in texts.keys() - known
        ]
        for _, project_id, body in _insert(database, connection, contents, bodies):
            sizes[project_id] += len(body)
        lists = [(link.hash, project_id, link.parent, link.content) for project_id, link in new]
        _insert(database, connection, prefixes, lists)
    grow(connection, sizes)


def grow(connection: Connection, sizes: Mapping[str, int]) -> None:
    """Add to what the texts of projects take; the last thing in a transaction, for its locks."""
    grown = [
        {"project_id": project_id, "grown": size}
        for project_id, size in sorted(sizes.items())
        if size
    ]
    if grown:
        connection.execute(_GROW, grown)


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
) -> list[tuple[Any, ...]]:
    """Insert rows whose first column is a hash; return those that were not there.

    They go in the order of their hashes, so that two drains wait for each other in one direction.
    """
    if not rows:
        return []
    rows.sort()
    with connection.begin_nested() as point:
        if database.insert_ignoring(connection, table, rows) == len(rows):
            return rows
        point.rollback()
    # Another drain has been quicker with some since we looked; one by one shows which.
    return [row for row in rows if database.insert_ignoring(connection, table, [row])]


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
        for row in connection.execute(_CHAINS, {"projects": list(projects), "heads": some}):
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
