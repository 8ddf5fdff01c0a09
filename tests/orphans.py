"""Whether the tables of a store are at one with each other; asked of the database itself."""

from __future__ import annotations

from sqlalchemy import create_engine, text

# Each finds nothing in a store that is in order.
_WRONG = {
    "a list whose last message is gone": """
        SELECT request_head FROM records WHERE request_head IS NOT NULL
        AND request_head NOT IN (SELECT hash FROM prefixes)""",
    "a prefix whose parent is gone": """
        SELECT hash FROM prefixes WHERE parent IS NOT NULL
        AND parent NOT IN (SELECT hash FROM prefixes)""",
    "a prefix whose message is gone": """
        SELECT hash FROM prefixes WHERE content NOT IN (SELECT hash FROM contents)""",
    "a prefix that nothing needs": """
        SELECT hash FROM prefixes p WHERE
        NOT EXISTS (SELECT 1 FROM records r WHERE r.request_head = p.hash)
        AND NOT EXISTS (SELECT 1 FROM prefixes c WHERE c.parent = p.hash)""",
    "a message that nothing needs": """
        SELECT hash FROM contents WHERE hash NOT IN (SELECT content FROM prefixes)""",
    "something of another project": """
        SELECT p.hash FROM prefixes p JOIN contents c ON c.hash = p.content
        WHERE c.project_id <> p.project_id
        UNION SELECT p.hash FROM prefixes p JOIN records r ON r.request_head = p.hash
        WHERE r.project_id <> p.project_id""",
    "metadata of no record": """
        SELECT record_id FROM record_metadata WHERE record_id NOT IN (SELECT id FROM records)""",
    "a size that is not what is there": """
        SELECT project_id FROM (
          SELECT project_id, length(body) AS size FROM contents
          UNION ALL SELECT project_id, coalesce(length(request_body), 0)
            + coalesce(length(response_body), 0) FROM records
          UNION ALL SELECT project_id, -content_bytes FROM project_sizes
        ) AS sizes GROUP BY project_id HAVING sum(size) <> 0""",
}


def wrong(url: str) -> dict[str, int]:
    """Return what is wrong in a database, and how often."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.connect() as connection:
            found = {name: len(connection.execute(text(q)).all()) for name, q in _WRONG.items()}
    finally:
        engine.dispose()
    return {name: count for name, count in found.items() if count}
