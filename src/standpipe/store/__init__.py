"""Tables, migrations and queries: the only code that speaks SQL."""

from typing import TYPE_CHECKING, Any

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
from standpipe.store.tokens import hash_token, new_token, public_id_of

if TYPE_CHECKING:
    from standpipe.store.store import Store
else:

    def __getattr__(name: str) -> Any:
        """Import the store with the first who wants it: `glance` does without its libraries."""
        if name != "Store":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from standpipe.store.store import Store

        return Store


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
