"""The limits of a key or a project, as the store keeps them."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from standpipe.errors import BadRequest

#: Digits behind the point of a dollar, as costs are counted.
PLACES = 12
#: The largest count and the largest budget, in dollars; Redis counts to 2^63.
MOST = 10**9
MOST_DOLLARS = Decimal(9_000_000)


class Limits(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """What may be done; None is no limit."""

    #: Calls that may begin in any 60 seconds.
    requests_per_minute: int | None = None
    #: Tokens of prompts and answers of the calls that begin in any 60 seconds.
    tokens_per_minute: int | None = None
    #: Calls at the same time.
    concurrent_calls: int | None = None
    #: US dollars of the calls of a day and of a month, UTC.
    dollars_per_day: Decimal | None = None
    dollars_per_month: Decimal | None = None

    @property
    def has_budget(self) -> bool:
        """Tell whether money is counted."""
        return self.dollars_per_day is not None or self.dollars_per_month is not None


#: Every name of a limit.
NAMES = Limits.__struct_fields__
DOLLARS = frozenset(("dollars_per_day", "dollars_per_month"))
NONE = Limits()

_encode = msgspec.json.Encoder(decimal_format="string").encode


def parsed(text: str | None) -> Limits:
    """Return the limits of the store's JSON; what a newer version has added is left out."""
    if not text:
        return NONE
    given = msgspec.json.decode(text, type=dict[str, Any])
    return checked({name: value for name, value in given.items() if name in NAMES})


def text_of(limits: Limits) -> str | None:
    """Return the JSON that the store keeps, None for no limits."""
    return None if limits == NONE else _encode(limits).decode()


def changed(limits: Limits, changes: dict[str, Any]) -> Limits:
    """Return the limits with some of them changed; None takes one away.

    Raises BadRequest for a value that cannot be one, or a name that there is not.
    """
    unknown = changes.keys() - set(NAMES)
    if unknown:
        raise BadRequest(f"limits.{min(unknown)}: there is no such limit", param="limits")
    return msgspec.structs.replace(limits, **_fields(changes))


def checked(given: dict[str, Any]) -> Limits:
    """Return the limits of such an object; BadRequest names what is wrong with it."""
    return changed(NONE, given)


def pico(dollars: Decimal) -> int:
    """Return dollars in units of 10^-12."""
    return int(dollars.scaleb(PLACES))


def dollars(pico: int) -> Decimal:
    """Return units of 10^-12 as dollars, without zeros at the end."""
    return Decimal(f"{Decimal(pico).scaleb(-PLACES).normalize():f}")


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if value is None else (_dollars if name in DOLLARS else _count)(name, value)
        for name, value in given.items()
    }


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
        raise BadRequest(
            f"limits.{name} = {value!r}: must be a whole number from 0 to {MOST:,}", param=name
        )
    return value


def _dollars(name: str, value: object) -> Decimal:
    found = None if isinstance(value, bool) else _decimal(str(value))
    if found is None or not 0 <= found <= MOST_DOLLARS or found != round(found, PLACES):
        raise BadRequest(
            f"limits.{name} = {value!r}: must be dollars from 0 to {MOST_DOLLARS:,} with at most "
            f"{PLACES} digits behind the point",
            param=name,
        )
    return found


def _decimal(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None
