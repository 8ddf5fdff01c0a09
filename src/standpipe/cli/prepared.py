"""What `prepare`, a process of its own, tells `serve`; without anything heavy."""

from __future__ import annotations

import msgspec
from typing_extensions import override


class Prepared(msgspec.Struct, frozen=True):
    """What was done before the start."""

    #: The first key, if one was made now; it is shown once and kept nowhere.
    token: str | None = None
    #: STANDPIPE_API_KEY is set, and is a key.
    given: bool = False
    #: Why the start must not go on, None if it may.
    error: str | None = None
    #: Why the store cannot be used now, None if it can: nothing could be made yet.
    away: str | None = None

    @override
    def __repr__(self) -> str:
        # The key is for who starts the server, and for nobody else.
        return f"Prepared(given={self.given}, error={self.error!r})"
