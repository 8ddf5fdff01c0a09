"""Usage: OpenAI's object and its DeepSeek additions, read into one flat `record.Usage`.

Nothing here invents a count, but for `estimate`, whose figures are marked `estimated`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from standpipe.wire.record import Usage

S = TypeVar("S", bound=msgspec.Struct)

#: Who counted.
Source = Literal["provider", "estimated"]

#: More tokens than any call has; sums of these fit where one of what a number can hold would not.
_LARGEST = 10**12
_CHARS_PER_TOKEN = 4


# What a decoder takes as it is; any other form of a number is read from an untyped one.
_Count = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)] | None


class _WrittenFor(msgspec.Struct):
    ephemeral_1h_input_tokens: _Count = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: _Count = None
    audio_tokens: _Count = None
    cache_write_tokens: _Count = None
    cache_creation_tokens: _Count = None
    cache_creation_token_details: _WrittenFor | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: _Count = None
    audio_tokens: _Count = None
    text_tokens: _Count = None
    accepted_prediction_tokens: _Count = None
    rejected_prediction_tokens: _Count = None


class Told(msgspec.Struct):
    """A `usage` object as most providers have it: to be decoded as such, since that is quick."""

    prompt_tokens: _Count = None
    completion_tokens: _Count = None
    total_tokens: _Count = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: _Count = None
    prompt_cache_miss_tokens: _Count = None
    cache_creation_input_tokens: _Count = None


_NESTED: dict[str, type[msgspec.Struct]] = {
    "prompt_tokens_details": _PromptDetails,
    "completion_tokens_details": _CompletionDetails,
    "cache_creation_token_details": _WrittenFor,
}
_NO_PROMPT, _NO_COMPLETION, _NOT_WRITTEN = _PromptDetails(), _CompletionDetails(), _WrittenFor()
_NOTHING = Usage()


def from_openai(usage: object) -> Usage | None:
    """Return what a `usage` object says, None where it says nothing; a wrong count is absent."""
    return usage_of(_lenient(Told, usage)) if isinstance(usage, dict) else None


def usage_of(told: Told) -> Usage | None:
    """Return what a `usage` object says, None where it says nothing."""
    prompt = told.prompt_tokens_details or _NO_PROMPT
    completion = told.completion_tokens_details or _NO_COMPLETION
    written_for = prompt.cache_creation_token_details or _NOT_WRITTEN
    found = Usage(
        told.prompt_tokens,
        _completion(told, completion.reasoning_tokens),
        told.total_tokens,
        _cached(
            prompt.cached_tokens,
            told.prompt_cache_hit_tokens,
            told.prompt_cache_miss_tokens,
            told.prompt_tokens,
        ),
        prompt.audio_tokens,
        completion.reasoning_tokens,
        completion.audio_tokens,
        completion.text_tokens,
        completion.accepted_prediction_tokens,
        completion.rejected_prediction_tokens,
        _written(told, prompt),
        written_for.ephemeral_1h_input_tokens,
    )
    return None if found == _NOTHING else found


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
    prompt = _count(usage.get("prompt_tokens"))
    cached = _cached(
        _count(_details(usage, "prompt_tokens_details").get("cached_tokens")),
        _count(usage.get("prompt_cache_hit_tokens")),
        _count(usage.get("prompt_cache_miss_tokens")),
        prompt,
    )
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


def _completion(told: Told, reasoning: int | None) -> int | None:
    """Return the tokens of the answer, its reasoning among them as OpenAI has it.

    xAI counts reasoning beside them, which its total tells.
    """
    prompt, completion = told.prompt_tokens, told.completion_tokens
    if prompt is None or completion is None or not reasoning:
        return completion
    beside = prompt + completion + reasoning
    return completion + reasoning if told.total_tokens == beside else completion


def _written(told: Told, prompt: _PromptDetails) -> int | None:
    """Return the tokens written to a cache: OpenAI's word for them, and LiteLLM's and ours."""
    if prompt.cache_write_tokens is not None:
        return prompt.cache_write_tokens
    if prompt.cache_creation_tokens is not None:
        return prompt.cache_creation_tokens
    return told.cache_creation_input_tokens


def _cached(
    openai: int | None, hit: int | None, miss: int | None, prompt: int | None
) -> int | None:
    """Return the tokens read from a cache: OpenAI's word for them, and DeepSeek's two."""
    if openai is not None:
        return openai
    if hit is not None:
        return hit
    return prompt - miss if prompt is not None and miss is not None and prompt >= miss else None


def _lenient(kind: type[S], value: object) -> S:
    """Return an object as it is told, what is not of the kind that is wanted left out."""
    given = value if isinstance(value, dict) else {}
    found = {
        name: _lenient(_NESTED[name], given[name]) if name in _NESTED else _count(given[name])
        for name in kind.__struct_fields__
        if name in given
    }
    return kind(**found)
