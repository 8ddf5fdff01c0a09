"""What an alignment set says of a criterion's versions, as JSON; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec.structs import asdict

from standpipe.criteria import agreement, alignment, comparison
from standpipe.criteria.agreement import Measure
from standpipe.criteria.alignment import Standing
from standpipe.criteria.comparison import Comparison
from standpipe.errors import BadRequest
from standpipe.store.alignment import AlignmentRow

Json = dict[str, Any]

_VERSION = re.compile(r"v([1-9][0-9]{0,8})")


def report(
    slug: str,
    rows: Sequence[AlignmentRow],
    *,
    bar: float,
    passes: float,
    pair: tuple[int, int] | None = None,
) -> Json:
    """Return how all versions do that judged any row, and how two of them compare.

    These are `pair`, the earlier and the later one, or else the last two.
    """
    numbers = alignment.judged_versions(rows)
    pair = pair or ((numbers[-2], numbers[-1]) if len(numbers) > 1 else None)
    standings = [alignment.standing(rows, each, bar=bar, passes=passes) for each in numbers]
    return {
        "object": "criterion.alignment",
        "id": slug,
        "bar": bar,
        "passes": passes,
        "rows": len(rows),
        "labelled": sum(each.judgement is not None for each in rows),
        "versions": [told(each) for each in standings],
        "comparison": pair and _compared(rows, pair, passes),
    }


def told(standing: Standing) -> Json:
    """Return how a version does."""
    found = standing.agreement
    return {
        "version": f"v{standing.number}",
        "aligned": standing.aligned,
        "reason": standing.reason,
        "judged": found.table.rows,
        "errors": standing.errors,
        "waiting": standing.waiting,
        "table": asdict(found.table),
        **{name: figures(getattr(found, name)) for name in agreement.MEASURES},
    }


def _compared(rows: Sequence[AlignmentRow], pair: tuple[int, int], passes: float) -> Json:
    found = alignment.compared(rows, *pair, passes=passes)
    earlier, later = (f"v{number}" for number in pair)
    return {**shown(found, earlier, later), "in_words": comparison.in_words(found, earlier, later)}


def shown(found: Comparison, earlier: str, later: str) -> Json:
    """Return how two compare."""
    return {
        "earlier": earlier,
        "later": later,
        "rows": found.rows,
        "gained": found.gained,
        "lost": found.lost,
        "difference": figures(found.difference),
        "p_value": round(found.p_value, 6),
        "real": found.is_real,
    }


def figures(measure: Measure) -> Json:
    """Return a figure with its interval."""
    return {
        name: None if value is None else round(value, 6) for name, value in asdict(measure).items()
    }


def number(field: str, version: str) -> int:
    """Return the number of a version such as `v2`; BadRequest names the field of what is none."""
    found = _VERSION.fullmatch(version)
    if found is None:
        message = f"{field}: {version[:80]!r} is no version, which is such as v2"
        raise BadRequest(message, param=field)
    return int(found[1])
