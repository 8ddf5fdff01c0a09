"""Sends the spans of stored calls to a collector, as OTLP over HTTP, and never holds up the drain.

The drain's position is committed with the rows, and the spans come after: those that a killed drain
had not sent yet are gone, and a batch whose answer did not come may be sent twice.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any

import msgspec
from typing_extensions import override

from standpipe import __version__
from standpipe.drain.metrics import SPANS, Counts
from standpipe.drain.spans import encoded, keyed, origins, spans_of
from standpipe.store.rows import Row

#: Bytes of spans that wait at most, and that are sent at once.
MOST_WAITING = 64 << 20
MOST_SENT = 1 << 20
#: Seconds that a batch has to fill up, that one try may take, and from one to the next.
GATHER_S = 1.0
TRY_S = 10.0
PAUSES_S = (1.0, 30.0)
#: Seconds that what waits has at the end.
FINISH_S = 5.0
#: What a collector answers that will take the same later.
AGAIN = frozenset({429, 502, 503, 504})

log = logging.getLogger(__name__)


class TraceSpec(msgspec.Struct, frozen=True):
    """Where to, and what."""

    #: Where the collector's receiver is; `/v1/traces` is below it. Empty for no traces.
    endpoint: str = ""
    headers: dict[str, str] = {}
    #: Texts too, as far as they are kept.
    content: bool = False

    @override
    def __repr__(self) -> str:
        # A header may be a key.
        return f"TraceSpec({self.endpoint!r})"


class Traces:
    """A sink of the drain's; `urls` are the providers' base URLs, by name."""

    def __init__(self, spec: TraceSpec, urls: Mapping[str, str], counts: Counts) -> None:
        self._spec = spec
        self._places = origins(urls)
        self._counts = counts
        #: The spans of a call each, and how many those are.
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._size = 0
        #: By what became of them, since it was last told.
        self._done = {"sent": 0, "dropped": 0}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def take(self, rows: Sequence[Row], inserted: int) -> None:
        """Keep the spans of rows until they are sent; those that there is no room for are lost."""
        if not inserted:
            return
        for row in rows:
            spans = spans_of(row, self._places, content=self._spec.content)
            if spans:
                self._keep(encoded(spans), len(spans))

    def tell(self) -> None:
        """Count what was sent and what was not."""
        with self._lock:
            done, self._done = self._done, dict.fromkeys(self._done, 0)
        for result, number in done.items():
            self._counts.count(SPANS, (result,), number)

    def close(self) -> None:
        """Send what waits, as far as that is quick, and stop."""
        self._closing.set()
        self._thread.join(FINISH_S + TRY_S)

    def _keep(self, spans: bytes, number: int) -> None:
        with self._lock:
            if self._size + len(spans) > MOST_WAITING:
                self._done["dropped"] += number
                return
            self._waiting.append((spans, number))
            self._size += len(spans)

    def _run(self) -> None:
        while not self._closing.wait(GATHER_S):
            self._send_all(None)
        self._send_all(time.monotonic() + FINISH_S)

    def _send_all(self, deadline: float | None) -> None:
        while batch := self._next():
            is_sent = self._send([spans for spans, _ in batch], deadline)
            number = sum(number for _, number in batch)
            with self._lock:
                self._done["sent" if is_sent else "dropped"] += number

    def _next(self) -> list[tuple[bytes, int]]:
        """Take the calls of the next batch."""
        batch: list[tuple[bytes, int]] = []
        size = 0
        with self._lock:
            while self._waiting and (not batch or size + len(self._waiting[0][0]) <= MOST_SENT):
                batch.append(self._waiting.popleft())
                size += len(batch[-1][0])
            self._size -= size
        return batch

    def _send(self, calls: list[bytes], deadline: float | None) -> bool:
        """Send a batch until it is taken, refused for good, or it is time to stop."""
        body = _body(calls)
        pause, longest = PAUSES_S
        while True:
            why, may_try_again = self._post(body)
            if why is None:
                return True
            if not may_try_again or self._is_over(deadline):
                log.warning("traces: %d calls are not told of: %s", len(calls), why)
                return False
            log.info("traces wait: %s", why)
            self._closing.wait(pause) if deadline is None else time.sleep(0.1)
            pause = min(2 * pause, longest)

    def _is_over(self, deadline: float | None) -> bool:
        if deadline is not None:
            return time.monotonic() >= deadline
        return self._closing.is_set()

    def _post(self, body: bytes) -> tuple[str | None, bool]:
        """Return why it was not taken, None if it was, and whether it may be later."""
        url = self._spec.endpoint.rstrip("/") + "/v1/traces"
        headers = {"content-type": "application/json", **self._spec.headers}
        request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 (checked)
        try:
            with _opener.open(request, timeout=TRY_S):
                return None, False
        except urllib.error.HTTPError as error:
            error.close()
            return f"the collector answers with status {error.code}", error.code in AGAIN
        except (OSError, HTTPException) as error:
            return f"the collector cannot be reached ({type(error).__name__})", True


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the headers, which may be a key, to another place."""

    @override
    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))


def _body(calls: list[bytes]) -> bytes:
    resource = {
        "service.name": "standpipe",
        "service.version": __version__,
        "host.name": socket.gethostname(),
    }
    spans = msgspec.Raw(b"[" + b",".join(calls) + b"]")
    scope = {"scope": {"name": "standpipe", "version": __version__}, "spans": spans}
    told = {"resource": {"attributes": keyed(resource)}, "scopeSpans": [scope]}
    return msgspec.json.encode({"resourceSpans": [told]})
