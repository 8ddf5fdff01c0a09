"""What differs between generations of Claude, by the numbers in a model's name: data and look-ups.

Source: https://platform.claude.com/docs/en/about-claude/models/overview and the pages it links,
seen 2026-11. A name without numbers is taken for the newest; a name that is not Claude's, on a
place that copies the API, for the oldest, since copies follow late.
"""

from __future__ import annotations

import re
from typing import Any

Json = dict[str, Any]

_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d)(?:[-.](\d{1,2}))?(?!\d)")
_NEWEST = (99, 0)
_OLDEST = (0, 0)

#: From here on `thinking` is adaptive and its depth is `output_config.effort`; before it is a
#: budget. https://platform.claude.com/docs/en/build-with-claude/thinking
_ADAPTIVE = (4, 6)
#: From here on `output_config.format` takes a schema.
#: https://platform.claude.com/docs/en/build-with-claude/structured-outputs
_STRUCTURED = (4, 5)

#: `max_tokens` must be given; this much where the caller leaves it open. Newer models think
#: unasked, at the cost of the same limit.
_ROOM = 4096
_ROOM_TO_THINK = 16384

#: What each `reasoning_effort` asks of a model that takes an effort …
_EFFORTS = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
#: … and, in tokens, of one that takes a budget. The API's least is 1024.
BUDGETS = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 24576,
    "max": 24576,
}
LEAST_BUDGET = 1024
EFFORTS = ("none", *_EFFORTS)

#: Models whose word for no thinking is not `disabled`.
_OFF = {"claude-sonnet-5-5": "between_tools"}


def version(model: str) -> tuple[int, int]:
    """Return the generation in a model's name, as major and minor number."""
    if "claude" not in model.lower():
        return _OLDEST
    found = _VERSION.search(model.lower())
    return (int(found[1]), int(found[2] or 0)) if found else _NEWEST


def takes_effort(model: str) -> bool:
    """Tell whether thinking is asked for by effort, not by budget."""
    return version(model) >= _ADAPTIVE


def takes_schema(model: str) -> bool:
    """Tell whether the model's answer can be held to a schema."""
    return version(model) >= _STRUCTURED


def room(model: str) -> int:
    """Return the `max_tokens` to send where the caller gave none."""
    return _ROOM_TO_THINK if takes_effort(model) else _ROOM


def by_effort(model: str, effort: str) -> Json:
    """Return the fields that ask a newer model for a `reasoning_effort`."""
    if effort == "none":
        off = next((word for name, word in _OFF.items() if name in model), "disabled")
        return {"thinking": {"type": off}}
    return {
        # Newer models leave out the text of their thinking unless asked for it.
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": _EFFORTS[effort]},
    }


def by_budget(effort: str, limit: int | None) -> Json:
    """Return the fields that ask an older model for a `reasoning_effort`.

    `limit` is the caller's limit of tokens, of which thinking is a part; None for none. The
    caller sees to it that it is over `LEAST_BUDGET`.
    """
    if effort == "none":
        return {}
    if limit is None:
        budget = BUDGETS[effort]
        return {"thinking": _enabled(budget), "max_tokens": budget + _ROOM}
    return {"thinking": _enabled(max(LEAST_BUDGET, min(BUDGETS[effort], limit // 2)))}


def _enabled(budget: int) -> Json:
    return {"type": "enabled", "budget_tokens": budget}
