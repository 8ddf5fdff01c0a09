"""The numbers of an answer of any kind; `summary` has those of chat completions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from standpipe.wire import fold, responses, usage
from standpipe.wire.record import Kind, Record, Usage
from standpipe.wire.summary import Summary, chars, summarise
from standpipe.wire.usage import Source

Json = dict[str, Any]
Reader = Callable[[Record, bytes, bytes | None], Summary]

#: Outcomes of calls whose answer may have been longer than what was received of it.
_BROKEN = frozenset({"cut", "abandoned"})
#: Fields in which a model's text, or text for it, is found.
_TEXTS = frozenset({"text", "content", "arguments", "output", "refusal", "summary"})


def summary_of(record: Record, response: bytes | None, request: bytes | None) -> Summary:
    """Read an answer; it may be cut, empty or no answer at all, and nothing is raised.

    The bodies are given apart from the record, which may not keep them.
    """
    reader = _READERS.get(record.kind)
    if reader is None:
        return summarise(response, record.response_form, request=request, status=record.status)
    if not response:
        return Summary()
    try:
        return reader(record, response, request)
    except RecursionError:  # nested nearly as deep as the parser itself allows
        return Summary()


def used(
    record: Record, summary: Summary, request: bytes | None
) -> tuple[Usage | None, str | None]:
    """Return what was used for a call, and who says so; `summary` is that of its answer.

    An answer that broke off was paid for, although nobody told: it counts as far as it came.
    """
    told, source = record.usage, record.usage_source
    if told is None:
        told, source = summary.usage, summary.usage_source
    if record.outcome not in _BROKEN or not _was_answered(record):
        return told, source
    if told is not None and (record.finish_reason or summary.finish_reason):
        return told, source
    guess = summary.usage if summary.usage_source == "estimated" else None
    if source == "provider":
        return usage.settled(told, guess)
    return (told, source) if told is not None else sent(request)


def _was_answered(record: Record) -> bool:
    """Tell whether one provider has begun to answer, and its attempts do not say what they used."""
    attempts = record.attempts
    return any(each.status == 200 for each in attempts) and not any(each.usage for each in attempts)


def sent(request: bytes | None) -> tuple[Usage | None, Source | None]:
    """Return an estimate of what was asked, where nothing came of the answer."""
    body = None if request is None else fold.decode_object(request)
    if body is None:
        return None, None
    messages = body.get("messages")
    asked = chars(messages) if isinstance(messages, list) else 0
    asked += _chars([body.get(name) for name in ("prompt", "instructions", "input")])
    return usage.guess(asked, 0), "estimated"


def _embeddings(record: Record, response: bytes, request: bytes | None) -> Summary:
    """Read the numbers beside the vectors, which may be a hundred times as long."""
    del record, request
    try:
        said = msgspec.json.decode(response, type=_Embeddings)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _error(response)
    counts = usage.from_openai(said.usage)
    source: Source | None = None if counts is None else "provider"
    model = said.model if isinstance(said.model, str) else None
    return Summary(
        model=model, usage=counts, usage_source=source, error_message=_message(said.error)
    )


class _Embeddings(msgspec.Struct):
    model: Any = None
    usage: Any = None
    error: Any = None


def _completions(record: Record, response: bytes, request: bytes | None) -> Summary:
    whole = _folded_text(response) if record.response_form == "sse" else None
    whole = whole or fold.decode_object(response)
    if whole is None or not isinstance(whole.get("choices"), list):
        return _error(response)
    choices = [choice for choice in whole["choices"] if isinstance(choice, dict)]
    counts, source = _counted(
        usage.from_openai(whole.get("usage")), record, choices, _asked(request, "prompt")
    )
    return Summary(
        completion_id=_text(whole.get("id")),
        finish_reason=_text(choices[0].get("finish_reason")) if choices else None,
        model=_text(whole.get("model")),
        usage=counts,
        usage_source=source,
        completion=whole,
        error_message=_message(whole.get("error")),
        service_tier=_text(whole.get("service_tier")),
    )


def _folded_text(response: bytes) -> Json | None:
    """Fold the older completions, whose choices have `text` where a chat's have a delta."""
    folded = fold.Fold()
    for chunk in fold.objects(response):
        choices = chunk.get("choices")
        listed = choices if isinstance(choices, list) else []
        told = [_as_delta(choice) for choice in listed if isinstance(choice, dict)]
        folded.add({**chunk, "choices": told})
    if not folded.started:
        return None
    whole = folded.completion()
    choices = [_as_text(choice) for choice in whole["choices"]]
    error = {} if folded.error is None else {"error": folded.error}
    return {**whole, "object": "text_completion", "choices": choices, **error}


def _as_delta(choice: Json) -> Json:
    others = {name: value for name, value in choice.items() if name != "text"}
    return {**others, "delta": {"content": choice.get("text")}}


def _as_text(choice: Json) -> Json:
    others = {name: value for name, value in choice.items() if name != "message"}
    return {"text": choice["message"].get("content") or "", **others}


def _responses(record: Record, response: bytes, request: bytes | None) -> Summary:
    whole = None
    if record.response_form == "sse":
        whole = responses.fold(fold.objects(response))
    whole = whole or fold.decode_object(response)
    if whole is None or "output" not in whole:
        return _error(response)
    told = usage.from_openai(responses.usage(whole.get("usage")))
    prompt = _asked(request, "instructions", "input")
    counts, source = _counted(told, record, responses.items(whole), prompt)
    return Summary(
        completion_id=_text(whole.get("id")),
        finish_reason=responses.finish_reason(whole),
        model=_text(whole.get("model")),
        usage=counts,
        usage_source=source,
        completion=whole,
        error_message=responses.error_message(whole),
        service_tier=_text(whole.get("service_tier")),
    )


def _counted(
    told: Usage | None, record: Record, answer: list[Json], prompt: list[Any]
) -> tuple[Usage | None, Source | None]:
    """Return what the provider counted, or an estimate where it sent text and no count."""
    if told is not None:
        return told, "provider"
    produced = _chars(answer)
    if not produced or (record.status or 200) >= 400:
        return None, None
    return usage.guess(_chars(prompt), produced), "estimated"


def _chars(value: Any) -> int:
    """Return how many characters of text there are in a value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_chars, value))
    if isinstance(value, dict):
        return sum(_chars(part) for name, part in value.items() if name in _TEXTS)
    return 0


def _asked(request: bytes | None, *names: str) -> list[Any]:
    body = (None if request is None else fold.decode_object(request)) or {}
    return [body.get(name) for name in names]


def _error(response: bytes) -> Summary:
    """Read an answer that is no more than an error, or the beginning of a stream that failed."""
    body = fold.decode_object(response)
    told = [body] if body is not None else fold.objects(response)
    errors = [error for each in told if (error := fold.error_of(each)) is not None]
    return Summary(error_message=_message(errors[-1]) if errors else None)


def _message(error: object) -> str | None:
    if not isinstance(error, dict):
        return None
    return _text(error.get("message")) or "unnamed error"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


_READERS: Mapping[Kind, Reader] = {
    "embeddings": _embeddings,
    "completions": _completions,
    "responses": _responses,
}
