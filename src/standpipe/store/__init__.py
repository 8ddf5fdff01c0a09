"""Tables, migrations and queries: the only code that speaks SQL."""

from standpipe.store.rows import (
    Batch,
    Filter,
    Key,
    LogFilters,
    OpenStream,
    Order,
    Project,
    Row,
    now_us,
)
from standpipe.store.store import Store
from standpipe.store.tokens import hash_token, new_token, public_id_of

__all__ = [
    "Batch",
    "Filter",
    "Key",
    "LogFilters",
    "OpenStream",
    "Order",
    "Project",
    "Row",
    "Store",
    "hash_token",
    "new_token",
    "now_us",
    "public_id_of",
]
