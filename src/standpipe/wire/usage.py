"""Usage: OpenAI's object and its DeepSeek additions, read into one flat `record.Usage`.

Nothing here invents a count, but for `estimate`, whose figures are marked `estimated`.
"""

from __future__ import annotations

from typing import Any

from standpipe.wire.record import Usage

_LARGEST = 2**63 - 1  # what a column of the store can hold
_CHARS_PER_TOKEN = 4


def from_openai(usage: object) -> Usage | None:
    """Return what a `usage` object says, None where it says nothing; a wrong count is absent."""
    if not isinstance(usage, dict):
        return None
    completion = _details(usage, "completion_tokens_details")
    found = Usage(
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        total_tokens=_count(usage.get("total_tokens")),
        cached_tokens=_cached(usage),
        prompt_audio_tokens=_count(_details(usage, "prompt_tokens_details").get("audio_tokens")),
        reasoning_tokens=_count(completion.get("reasoning_tokens")),
        completion_audio_tokens=_count(completion.get("audio_tokens")),
        completion_text_tokens=_count(completion.get("text_tokens")),
        accepted_prediction_tokens=_count(completion.get("accepted_prediction_tokens")),
        rejected_prediction_tokens=_count(completion.get("rejected_prediction_tokens")),
    )
    return None if found == Usage() else found


def complete(usage: dict[str, Any]) -> dict[str, Any]:
    """Return the usage with both forms of cached tokens, if it has either (spec 5.8).

    The same object if there is nothing to add; a figure that is there is never changed.
    """
    cached, prompt = _cached(usage), _count(usage.get("prompt_tokens"))
    if cached is None:
        return usage
    added: dict[str, Any] = {}
    if usage.get("prompt_cache_hit_tokens") is None:
        added["prompt_cache_hit_tokens"] = cached
    if usage.get("prompt_cache_miss_tokens") is None and prompt is not None and prompt >= cached:
        added["prompt_cache_miss_tokens"] = prompt - cached
    details = usage.get("prompt_tokens_details")
    if details is None:
        added["prompt_tokens_details"] = {"cached_tokens": cached}
    elif isinstance(details, dict) and details.get("cached_tokens") is None:
        added["prompt_tokens_details"] = {**details, "cached_tokens": cached}
    return {**usage, **added} if added else usage


def estimate(text_chars: int) -> int:
    """Return about how many tokens a text of so many characters has: one for each four, rounded up.

    For answers whose provider never said, such as a stream that its reader left. English runs
    near four characters a token in today's vocabularies; other languages and code have more
    tokens, so this errs low for them. It needs no tokenizer, which for most models is not public.
    """
    return -(-max(0, text_chars) // _CHARS_PER_TOKEN)


def _count(value: object) -> int | None:
    # The Python client reports counts as floats.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= _LARGEST or value != int(value):
        return None
    return int(value)


def _details(usage: dict[str, Any], name: str) -> dict[str, Any]:
    details = usage.get(name)
    return details if isinstance(details, dict) else {}


def _cached(usage: dict[str, Any]) -> int | None:
    openai = _count(_details(usage, "prompt_tokens_details").get("cached_tokens"))
    if openai is not None:
        return openai
    hit = _count(usage.get("prompt_cache_hit_tokens"))
    if hit is not None:
        return hit
    prompt, miss = (_count(usage.get(n)) for n in ("prompt_tokens", "prompt_cache_miss_tokens"))
    return prompt - miss if prompt is not None and miss is not None and prompt >= miss else None
