"""Usage: OpenAI's object and its DeepSeek additions, read into one flat `record.Usage`.

Nothing here invents a count, but for `estimate`, whose figures are marked `estimated`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

from msgspec.structs import replace

from standpipe.wire.record import Usage

#: Who counted.
Source = Literal["provider", "estimated"]

#: More tokens than any call has; sums of these fit where one of what a number can hold would not.
_LARGEST = 10**12
_CHARS_PER_TOKEN = 4


def from_openai(usage: object) -> Usage | None:
    """Return what a `usage` object says, None where it says nothing; a wrong count is absent."""
    if not isinstance(usage, dict):
        return None
    prompt = _details(usage, "prompt_tokens_details")
    completion = _details(usage, "completion_tokens_details")
    written_for = _details(prompt, "cache_creation_token_details")
    found = Usage(
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_completion(usage, _count(completion.get("reasoning_tokens"))),
        total_tokens=_count(usage.get("total_tokens")),
        cached_tokens=_cached(usage),
        prompt_audio_tokens=_count(prompt.get("audio_tokens")),
        reasoning_tokens=_count(completion.get("reasoning_tokens")),
        completion_audio_tokens=_count(completion.get("audio_tokens")),
        completion_text_tokens=_count(completion.get("text_tokens")),
        accepted_prediction_tokens=_count(completion.get("accepted_prediction_tokens")),
        rejected_prediction_tokens=_count(completion.get("rejected_prediction_tokens")),
        cache_write_tokens=_written(usage, prompt),
        cache_write_1h_tokens=_count(written_for.get("ephemeral_1h_input_tokens")),
    )
    return None if found == Usage() else found


def added(one: Usage, other: Usage) -> Usage:
    """Return the sum; a figure that only one of them has is that one's."""
    pairs = ((getattr(one, name), getattr(other, name)) for name in Usage.__struct_fields__)
    return Usage(*(b if a is None else a if b is None else a + b for a, b in pairs))


def settled(told: Usage | None, guess: Usage | None) -> tuple[Usage | None, Source | None]:
    """Return what an answer that broke off has used, and who says so.

    What its provider had told of it by then counts what it had made by then, or less.
    """
    if told is None:
        return guess, None if guess is None else "estimated"
    if guess is None:
        return told, "provider"
    made, seen = told.completion_tokens or 0, guess.completion_tokens or 0
    if made >= seen:
        return told, "provider"
    total = None if told.prompt_tokens is None else told.prompt_tokens + seen
    return replace(told, completion_tokens=seen, total_tokens=total), "estimated"


def dollars(cost: Decimal) -> str:
    """Return an amount with every digit that it has, and none that says nothing."""
    return f"{cost.normalize():f}"


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


def guess(prompt_chars: int | None, answer_chars: int) -> Usage:
    """Return the usage that `estimate` has for texts so long; None for a prompt nobody knows."""
    prompt = None if prompt_chars is None else estimate(prompt_chars)
    produced = estimate(answer_chars)
    return Usage(prompt, produced, None if prompt is None else prompt + produced)


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


def _completion(usage: dict[str, Any], reasoning: int | None) -> int | None:
    """Return the tokens of the answer, its reasoning among them as OpenAI has it.

    xAI counts reasoning beside them, which its total tells.
    """
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    prompt, completion, total = (_count(usage.get(name)) for name in names)
    if prompt is None or completion is None or not reasoning:
        return completion
    return completion + reasoning if total == prompt + completion + reasoning else completion


def _written(usage: dict[str, Any], prompt: dict[str, Any]) -> int | None:
    """Return the tokens written to a cache: OpenAI's word for them, and LiteLLM's and ours."""
    told = (
        prompt.get("cache_write_tokens"),
        prompt.get("cache_creation_tokens"),
        usage.get("cache_creation_input_tokens"),
    )
    return next((count for count in map(_count, told) if count is not None), None)


def _cached(usage: dict[str, Any]) -> int | None:
    openai = _count(_details(usage, "prompt_tokens_details").get("cached_tokens"))
    if openai is not None:
        return openai
    hit = _count(usage.get("prompt_cache_hit_tokens"))
    if hit is not None:
        return hit
    prompt, miss = (_count(usage.get(n)) for n in ("prompt_tokens", "prompt_cache_miss_tokens"))
    return prompt - miss if prompt is not None and miss is not None and prompt >= miss else None
