"""What `GET /usage` takes and gives, as JSON Schema."""

from __future__ import annotations

from standpipe.api.operation import Query
from standpipe.api.schema import Schema, array, mapping, nullable, of, one_of, record, ref, text

_COUNT = of("integer", minimum=0)
_TIME = text(format="date-time")

_TOKENS = record(
    {
        "prompt_tokens": _COUNT,
        "completion_tokens": _COUNT,
        "total_tokens": _COUNT,
        "cached_tokens": _COUNT | {"description": "Of the prompts', read from a cache."},
        "cache_write_tokens": _COUNT | {"description": "Of the prompts', written to a cache."},
        "reasoning_tokens": _COUNT | {"description": "Of the completions'."},
        "audio_tokens": _COUNT | {"description": "Of both."},
    }
)
_FIGURES: dict[str, Schema] = {
    "calls": _COUNT,
    "failed": _COUNT | {"description": "Calls whose outcome is not `complete`."},
    "unpriced": _COUNT | {"description": "Calls that used tokens whose price is not known."},
    "usage": _TOKENS,
    "cost": nullable(
        text("US dollars, every digit of them; null where nothing has a price.", pattern=r"^\d")
    ),
}

USAGE_QUERY = (
    Query("from", "Seconds since the Unix epoch, or a date and time; 30 days at first.", text()),
    Query("to", "The same; calls before this. Now, if it is not given.", text()),
    Query("by", "How long a row is.", one_of("hour", "day") | {"default": "day"}),
    Query(
        "group", "A row for each `model`, `key` or name of metadata; several with commas.", text()
    ),
    Query("model", "Only of this model, as it was asked for.", text()),
    Query("key", "Only of the key with this public id.", text()),
)

USAGE: dict[str, Schema] = {
    "UsageReport": record(
        {
            "object": {"type": "string", "const": "list"},
            "data": array(ref("UsageRow"), "By time; hours and days without calls are left out."),
            "total": record(_FIGURES),
        }
    ),
    "UsageRow": record(
        {"start": _TIME, "end": _TIME, **_FIGURES},
        {
            "project": text("Id of the project; for administrators."),
            "model": nullable(text("As it was asked for; null for calls that named none.")),
            "key": nullable(text("Public id of the key; null for calls without one.")),
            "metadata": mapping(
                nullable(text()), "The name and its value; null for calls without it."
            ),
        },
    ),
}
