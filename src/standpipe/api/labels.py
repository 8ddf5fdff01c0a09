"""Metadata that a caller gives to calls after the fact: what of it the content policy lets stay."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.requests import Request

from standpipe.api.http import token
from standpipe.calls.callers import Caller
from standpipe.calls.content import Contents
from standpipe.config import Content


class Labels:
    """Asks the content policy."""

    def __init__(self, contents: Contents, *, content: Content) -> None:
        self._contents = contents
        self._content = content

    async def kept(
        self, request: Request, caller: Caller, metadata: Mapping[str, str | None]
    ) -> dict[str, str | None]:
        """Return the metadata that may be kept; a value that is None takes one away."""
        content = caller.content or self._content
        return await asyncio.to_thread(self._contents.labels, metadata, content, token(request))


def told(metadata: Mapping[str, str | None], kept: Mapping[str, str | None]) -> dict[str, str]:
    """Return the headers that say whether any of the metadata is not kept."""
    return {} if len(kept) == len(metadata) else {"standpipe-fidelity": "metadata=dropped"}
