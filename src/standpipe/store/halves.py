"""Sums of costs that may be more than the database can count, taken in two halves."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, func

_HALF = 2**32


def sums_of(cost: ColumnElement[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Return what to select for the sum of a column of whole numbers, for `whole` to join."""
    return func.sum(cost // _HALF), func.sum(cost % _HALF)


def whole(high: int, low: int) -> int:
    """Return the sum that was selected as two halves."""
    return high * _HALF + low
