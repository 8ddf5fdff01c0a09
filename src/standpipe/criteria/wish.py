"""What a caller says of criteria with a call: which, for how long, and for how much."""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec

from standpipe.calls.incoming import Incoming
from standpipe.errors import BadRequest
from standpipe.wire.chat import ChatRequest

#: Criteria of one call, at most.
MOST = 16
#: Seconds that judging may take where the caller does not say, and at most.
TIMEOUT_S = 60.0
LONGEST_S = 600.0

_NAMES = msgspec.json.Decoder(list[str])
_SECONDS = re.compile(rb"\d{1,6}(\.\d{1,6})?")
_DOLLARS = re.compile(rb"\d{1,9}(\.\d{1,12})?")


class Wish(msgspec.Struct, frozen=True):
    """What is asked for."""

    #: `slug` or `slug@v2` each.
    names: list[str]
    #: Seconds for all judges together.
    timeout: float
    #: US dollars for all judges together, None for no limit.
    budget: Decimal | None


def read(incoming: Incoming, request: ChatRequest) -> Wish:
    """Return what the headers and the body's `criteria` say; BadRequest names what is unclear."""
    names = list(
        dict.fromkeys([*_listed(incoming.criteria), *(request.values.get("criteria") or ())])
    )
    if len(names) > MOST:
        raise BadRequest(
            f"op-criteria: {len(names)} criteria are over the {MOST} of a call", param="op-criteria"
        )
    return Wish(names, _timeout(incoming.criteria_timeout), _budget(incoming.criteria_budget))


def _listed(header: bytes | None) -> list[str]:
    if not (header or b"").strip():
        return []
    try:
        return _NAMES.decode(header or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(
            f"op-criteria: must be a JSON list of names: {error}", param="op-criteria"
        ) from None


def _timeout(header: bytes | None) -> float:
    if header is None:
        return TIMEOUT_S
    seconds = float(header) if _SECONDS.fullmatch(header) else 0.0
    if not 0 < seconds <= LONGEST_S:
        raise _unclear("standpipe-criteria-timeout", header, f"seconds up to {LONGEST_S:g}")
    return seconds


def _budget(header: bytes | None) -> Decimal | None:
    if header is None:
        return None
    if not _DOLLARS.fullmatch(header):
        raise _unclear("standpipe-criteria-budget", header, "US dollars, such as 0.01")
    return Decimal(header.decode())


def _unclear(name: str, header: bytes, wanted: str) -> BadRequest:
    shown = header[:60].decode("latin-1")
    return BadRequest(f"{name}: must be {wanted}, not {shown!r}", param=name)
