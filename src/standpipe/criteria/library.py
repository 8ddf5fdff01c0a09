"""The criteria of projects, read from the store in a thread of their own."""

from __future__ import annotations

from collections.abc import Sequence

from standpipe.criteria import selection
from standpipe.criteria.selection import Selected
from standpipe.errors import StoreUnavailable, Unavailable
from standpipe.store.lane import Lane
from standpipe.store.store import Store

#: The longest that a look may take, in seconds.
PATIENCE_S = 5.0


class Library:
    """Finds criteria by their names."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lane = Lane("criteria", threads=1, patience=PATIENCE_S)

    async def select(self, project: str, names: Sequence[str]) -> list[Selected]:
        """Return the versions that are named, in their order.

        Raises NotFound for one that there is not, BadRequest for a criterion that is named twice,
        Unavailable while the store is away.
        """
        references = [selection.parse(name) for name in names]
        slugs = {reference.slug for reference in references}
        try:
            found = await self._lane.ask(self._store.criteria, project, slugs)
        except StoreUnavailable as error:
            message = f"criteria cannot be read, for the store is away: {error.why}; try again"
            raise Unavailable(message) from error
        return selection.select(references, found)
