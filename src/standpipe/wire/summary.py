"""The numbers of an answer, read from its text: for the drain, and for calls that keep no text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from standpipe.wire import fold, usage
from standpipe.wire.record import BodyForm, Usage
from standpipe.wire.usage import Source

_ERROR_STATUS = 400
#: Fields of a message that hold text of the model's or for it.
_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")


class Summary(msgspec.Struct, frozen=True):
    """What an answer says of itself; each field None where it doesn't."""

    #: The answer's own `id`.
    completion_id: str | None = None
    #: Of the first choice.
    finish_reason: str | None = None
    #: As the provider calls it.
    model: str | None = None
    usage: Usage | None = None
    usage_source: Source | None = None
    #: The answer of a stream, folded; None if it is no completion. That of others may be None.
    completion: dict[str, Any] | None = None
    error_message: str | None = None
    #: Which of its provider's prices applies.
    service_tier: str | None = None


def summarise(
    response: bytes | None, form: BodyForm, *, request: bytes | None, status: int | None
) -> Summary:
    """Read an answer; it may be cut, empty or no answer at all, and nothing is raised.

    `request` is the caller's body: where the provider gave no usage but did send text, the
    prompt is estimated from it.
    """
    if not response:
        return Summary()
    if form == "json" and (told := _plain(response)) is not None:
        return told
    try:
        return _summary(*_read(response, form), request=request, status=status)
    except RecursionError:  # nested nearly as deep as the parser itself allows
        return Summary()


class _PlainChoice(msgspec.Struct):
    finish_reason: str | None = None


class _Plain(msgspec.Struct):
    """A completion as nearly all are, with the provider's usage and without an error."""

    choices: list[_PlainChoice]
    usage: usage.Told
    id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    error: None = None


_plain_answers = msgspec.json.Decoder(_Plain)


def _plain(response: bytes) -> Summary | None:
    """Read a whole answer if it is of the plain form: its texts need not be looked at then."""
    try:
        told = _plain_answers.decode(response)
        counts = usage.usage_of(told.usage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if counts is None:
        return None
    return Summary(
        completion_id=told.id or None,
        finish_reason=told.choices[0].finish_reason or None if told.choices else None,
        model=told.model or None,
        usage=counts,
        usage_source="provider",
        service_tier=told.service_tier or None,
    )


def _read(response: bytes, form: BodyForm) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the completion and the error."""
    if form == "sse":
        folded = fold.fold_stream(response)
        if folded.completion is not None or folded.error is not None:
            return folded.completion, folded.error
    body = fold.decode_object(response)
    if body is None:
        return None, None
    return body if isinstance(body.get("choices"), list) else None, fold.error_of(body)


def _summary(
    completion: dict[str, Any] | None,
    error: dict[str, Any] | None,
    *,
    request: bytes | None,
    status: int | None,
) -> Summary:
    message = None if error is None else _text(error.get("message")) or "unnamed error"
    if completion is None:
        return Summary(error_message=message)
    counts = usage.from_openai(completion.get("usage"))
    source: Source | None = None if counts is None else "provider"
    if counts is None and (status is None or status < _ERROR_STATUS):
        counts = _estimated(completion, request)
        source = None if counts is None else "estimated"
    return Summary(
        completion_id=_text(completion.get("id")),
        finish_reason=_finish_reason(completion),
        model=_text(completion.get("model")),
        usage=counts,
        usage_source=source,
        completion=completion,
        error_message=message,
        service_tier=_text(completion.get("service_tier")),
    )


def _estimated(completion: dict[str, Any], request: bytes | None) -> Usage | None:
    answer = chars(choice.get("message") for choice in _dicts(completion["choices"]))
    if not answer:
        return None
    body = None if request is None else fold.decode_object(request)
    messages = None if body is None else body.get("messages")
    return usage.guess(chars(messages) if isinstance(messages, list) else None, answer)


def chars(messages: Iterable[object]) -> int:
    """Return how many characters of text there are in messages, or in a stream's deltas."""
    return sum(map(_message_chars, messages))


def _message_chars(message: object) -> int:
    if not isinstance(message, dict):
        return 0
    calls = [call.get("function") for call in _dicts(message.get("tool_calls"))]
    calls.append(message.get("function_call"))
    texts = sum(_content_chars(message.get(name)) for name in _TEXTS)
    return texts + sum(_function_chars(call) for call in calls)


def _content_chars(content: object) -> int:
    if isinstance(content, str):
        return len(content)
    return sum(len(_text(part.get("text")) or "") for part in _dicts(content))


def _function_chars(call: object) -> int:
    if not isinstance(call, dict):
        return 0
    return sum(len(_text(call.get(name)) or "") for name in ("name", "arguments"))


def _finish_reason(completion: dict[str, Any]) -> str | None:
    choices = _dicts(completion["choices"])
    return _text(choices[0].get("finish_reason")) if choices else None


def _dicts(items: object) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
