"""Word of budgets that are nearly, or wholly, spent: one POST for each, signed."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from decimal import Decimal
from http.client import HTTPException
from typing import Any

import msgspec
from typing_extensions import override

from standpipe.errors import StoreUnavailable
from standpipe.limits.ledger import Crossing, Span
from standpipe.limits.limits import PLACES
from standpipe.wire import usage

log = logging.getLogger(__name__)

#: Pauses between tries, and what one may take, in seconds.
PAUSES_S = (1.0, 5.0, 30.0, 120.0, 600.0)
TRY_S = 10.0
#: Words that wait at most: more of them say nothing that the operator does not know by then.
MOST = 1000
SIGNATURE = "standpipe-signature"


class Alerts:
    """Tells the operator's webhook; `url` empty tells nobody."""

    def __init__(
        self,
        url: str,
        secret: str,
        name: Callable[[Span], Awaitable[str]],
        pauses: tuple[float, ...] = PAUSES_S,
    ) -> None:
        self._url = url
        self._secret = secret.encode()
        self._name = name
        self._pauses = pauses
        self._telling: set[asyncio.Task[None]] = set()

    @override
    def __repr__(self) -> str:
        return f"Alerts({len(self._telling)} on their way)"

    def tell(self, crossing: Crossing) -> None:
        """Tell of a budget, without waiting."""
        span = crossing.span
        log.warning(
            "limits: %s %s has spent %d %% of its budget of %s",
            *(span.subject.kind, span.subject.id, crossing.threshold, span.name),
        )
        if self._url and len(self._telling) < MOST:
            task = asyncio.create_task(self._tell(crossing))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def wait(self) -> None:
        """Return once all is told, or given up."""
        await asyncio.gather(*self._telling)

    async def close(self) -> None:
        """Give up what could not be told yet."""
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    async def _tell(self, crossing: Crossing) -> None:
        body = msgspec.json.encode(await self._said(crossing))
        why = await asyncio.to_thread(self._post, body)
        for pause in self._pauses:
            if why is None:
                return
            await asyncio.sleep(pause)
            why = await asyncio.to_thread(self._post, body)
        if why is not None:
            log.error("limits: the webhook was not told of a budget: %s", why)

    async def _said(self, crossing: Crossing) -> dict[str, Any]:
        span = crossing.span
        return {
            "type": "budget",
            "threshold": crossing.threshold,
            "project": span.project,
            "of": span.subject.kind,
            "id": span.subject.id,
            "name": await self._named(span),
            "period": span.period,
            "start": span.name,
            "spent": _dollars(crossing.spent),
            "limit": _dollars(crossing.budget),
        }

    async def _named(self, span: Span) -> str:
        try:
            return await self._name(span)
        except StoreUnavailable:
            return ""

    def _post(self, body: bytes) -> str | None:
        """Send it; return why it was not taken, None if it was. The URL is nobody else's."""
        signature = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", SIGNATURE: f"sha256={signature}"}
        request = urllib.request.Request(self._url, body, headers, method="POST")  # noqa: S310
        try:
            with _opener.open(request, timeout=TRY_S):
                return None
        except urllib.error.HTTPError as error:
            error.close()
            return f"it answers with status {error.code}"
        except (OSError, HTTPException) as error:
            return f"it cannot be reached ({type(error).__name__})"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    @override
    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def _dollars(pico: int) -> str:
    return usage.dollars(Decimal(pico).scaleb(-PLACES))
