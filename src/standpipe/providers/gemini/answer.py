"""Gemini's answers as chunks of OpenAI's form; a whole answer is the fold of its chunks. Pure.

https://ai.google.dev/api/generate-content (seen 2026-11-23). An event of a stream has the form of
a whole answer, with what is new; absent numbers are 0, as in all of Google's JSON.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeGuard

import msgspec

from standpipe.errors import UpstreamError
from standpipe.providers.gemini.parts import signed
from standpipe.wire import usage as usages
from standpipe.wire.chat import ChatRequest

Json = dict[str, Any]

_FINISHED = {"STOP": "stop", "MAX_TOKENS": "length"}
#: The model did not manage to answer; what it said so far is no answer.
_FAILED = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "NO_IMAGE",
        "IMAGE_OTHER",
    }
)
_UNFINISHED = "FINISH_REASON_UNSPECIFIED"

#: Azure's names, where it has one for the category.
_CATEGORIES = {"hate_speech": "hate", "sexually_explicit": "sexual"}
_SEVERITIES = {"NEGLIGIBLE": "safe", "LOW": "low", "MEDIUM": "medium", "HIGH": "high"}

_TIERS = {"standard": "default", "flex": "flex", "priority": "priority"}

#: What OpenAI says for a token that is not among the likely ones.
_UNLIKELY = -9999.0


class Reader:
    """Reads the answers to one request, in order; `failure` is raised where they tell of one."""

    def __init__(self, request: ChatRequest, failure: type[UpstreamError]) -> None:
        self.completion_id: str | None = None
        self.provider_model: str | None = None
        #: In OpenAI's form, as last told.
        self.usage: Json | None = None
        self._tier: Json = {}
        self._request = request
        self._failure = failure
        self._created = 0
        self._choices: dict[int, _Choice] = {}

    @property
    def started(self) -> bool:
        """Tell whether there was any candidate, or the news that there will be none."""
        return bool(self._choices)

    @property
    def missing(self) -> int:
        """Return how many of the choices that were asked for are not at their end."""
        ended = sum(choice.ended for choice in self._choices.values())
        return max(self._request.n, len(self._choices)) - ended

    @property
    def unfinished(self) -> int:
        """Return how many of the choices that were begun are not at their end."""
        return sum(not choice.ended for choice in self._choices.values())

    def read(self, answer: Json) -> list[Json]:
        """Return the chunks that the next answer is."""
        if message := error_message(answer):
            raise self._failure(f"the provider reported an error: {message}")
        self._note(answer)
        pieces: list[Json] = []
        for place, candidate in enumerate(_dicts(answer.get("candidates"))):
            pieces += self._candidate(candidate, place)
        return [self.chunk([piece]) for piece in (*pieces, *self._blocked(answer))]

    def chunk(self, choices: list[Json], **more: object) -> Json:
        """Return a chunk with these choices."""
        return {
            "id": self.completion_id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._request.model,
            "choices": choices,
            **self._tier,
            **more,
        }

    def _note(self, answer: Json) -> None:
        if self.completion_id is None:
            told = answer.get("responseId")
            self.completion_id = told if _is_text(told) else f"chatcmpl-{_digest(answer)}"
            self._created = _seconds(answer.get("createTime"))
        version = answer.get("modelVersion")
        self.provider_model = version if _is_text(version) else self.provider_model
        self.usage = usage(answer.get("usageMetadata")) or self.usage
        self._tier = _tier(answer.get("usageMetadata")) or self._tier

    def _candidate(self, candidate: Json, place: int) -> Iterator[Json]:
        index = candidate.get("index")
        place = index if type(index) is int and index >= 0 else place
        choice = self._choice(place)
        deltas = choice.deltas(_dicts(_dict(candidate.get("content")).get("parts")))
        pieces = [_piece(place, delta) for delta in deltas]
        if logprobs := _logprobs(_dict(candidate.get("logprobsResult"))):
            pieces = pieces or [_piece(place, {})]
            pieces[-1]["logprobs"] = logprobs
        yield from pieces
        yield from self._end(choice, candidate, place)

    def _choice(self, place: int) -> _Choice:
        return self._choices.setdefault(place, _Choice(f"{self.completion_id}/{place}"))

    def _end(self, choice: _Choice, candidate: Json, place: int) -> Iterator[Json]:
        reason = candidate.get("finishReason")
        choice.ratings = _dicts(candidate.get("safetyRatings")) or choice.ratings
        if not _is_text(reason) or reason == _UNFINISHED or choice.ended:
            return
        if reason in _FAILED:
            more = candidate.get("finishMessage")
            raise self._failure(
                f"the model failed to answer: {reason}{f': {more}' if more else ''}"
            )
        choice.ended = True
        yield _finish(place, reason, choice.ratings, calls=choice.calls)

    def _blocked(self, answer: Json) -> Iterator[Json]:
        """Yield the choices of a prompt that was not let through to the model."""
        feedback = _dict(answer.get("promptFeedback"))
        reason = feedback.get("blockReason")
        if not reason or self.started:
            return
        for place in range(self._request.n):
            choice = self._choice(place)
            choice.ended = True
            for delta in choice.deltas([]):
                yield _piece(place, delta)
            yield _finish(place, str(reason), _dicts(feedback.get("safetyRatings")), calls=0)


class _Choice:
    """One candidate as far as it has come."""

    def __init__(self, seed: str) -> None:
        self.ended = False
        self.calls = 0
        self.ratings: list[Json] = []
        self._seed = seed
        self._opened = False
        self._signed = False
        self._images = 0

    def deltas(self, parts: list[Json]) -> list[Json]:
        """Return what the parts add to the message."""
        said = [delta for part in parts for delta in self._part(part)]
        if self._opened:
            return said
        self._opened = True
        return [{"role": "assistant", "content": "", "refusal": None}, *said]

    def _part(self, part: Json) -> Iterator[Json]:
        if call := _dict(part.get("functionCall")):
            yield from self._call(call, part.get("thoughtSignature"))
            return
        delta = {**self._said(part), **self._signature(part.get("thoughtSignature"))}
        if delta:
            yield delta

    def _said(self, part: Json) -> Json:
        if text := part.get("text"):
            return {"reasoning_content" if part.get("thought") is True else "content": str(text)}
        data = _dict(part.get("inlineData"))
        if not str(data.get("mimeType")).startswith("image/"):
            return {}
        url = f"data:{data['mimeType']};base64,{data.get('data', '')}"
        self._images += 1
        image = {"index": self._images - 1, "type": "image_url", "image_url": {"url": url}}
        return {"images": [image]}

    def _signature(self, sign: Any) -> Json:
        """Return a message's signature: the first one, since a second would be joined to it."""
        if not _is_text(sign) or self._signed:
            return {}
        self._signed = True
        return signed(sign)

    def _call(self, call: Json, sign: Any) -> Iterator[Json]:
        index = self.calls
        self.calls += 1
        arguments = msgspec.json.encode(_dict(call.get("args"))).decode()
        name = str(call.get("name") or "")
        given = call.get("id")
        made = f"call_{_digest(f'{self._seed}/{index}/{name}/{arguments}')}"
        head = {
            "index": index,
            "id": given if _is_text(given) else made,
            "type": "function",
            "function": {"name": name, "arguments": ""},
            **(signed(sign) if _is_text(sign) else {}),
        }
        yield {"tool_calls": [head]}
        yield {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}


def _tier(told: object) -> Json:
    """Return the tier that an answer was made at, as OpenAI names it; {} if none is told."""
    found = str(_dict(told).get("serviceTier")).lower()
    return {"service_tier": _TIERS[found]} if found in _TIERS else {}


def usage(told: object) -> Json | None:
    """Return OpenAI's usage of a `usageMetadata`, None if it counts no prompt."""
    counts = _dict(told)
    if type(counts.get("promptTokenCount")) is not int:
        return None
    prompt = _count(counts, "promptTokenCount") + _count(counts, "toolUsePromptTokenCount")
    thoughts = _count(counts, "thoughtsTokenCount")
    completion = _count(counts, "candidatesTokenCount") + thoughts
    found: Json = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": _count(counts, "totalTokenCount") or prompt + completion,
    }
    details = {
        "prompt_tokens_details": {
            **_told("cached_tokens", counts.get("cachedContentTokenCount")),
            **_told("audio_tokens", _modality(counts.get("promptTokensDetails"), "AUDIO")),
        },
        "completion_tokens_details": {
            **_told("reasoning_tokens", counts.get("thoughtsTokenCount")),
            **_told("audio_tokens", _modality(counts.get("candidatesTokensDetails"), "AUDIO")),
            **_told("text_tokens", _modality(counts.get("candidatesTokensDetails"), "TEXT")),
        },
    }
    return usages.complete(found | {name: value for name, value in details.items() if value})


def error_message(answer: object) -> str | None:
    """Return what an answer tells of an error, None if it tells of none.

    https://github.com/vercel/ai/issues/5217 (seen 2026-11-23): one may come in the midst of a
    stream, and without the form of an event.
    """
    if isinstance(answer, list):
        answer = answer[0] if answer else None
    error = _dict(_dict(answer).get("error"))
    if not error:
        return None
    message = error.get("message")
    return str(message or error.get("status") or "it gave no reason")


def _piece(index: int, delta: Json) -> Json:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}


def _finish(index: int, reason: str, ratings: list[Json], *, calls: int) -> Json:
    # Any other reason means that the answer was stopped, not that it came to its end.
    finish = _FINISHED.get(reason, "content_filter")
    if finish == "stop" and calls:
        finish = "tool_calls"
    piece = {**_piece(index, {}), "finish_reason": finish}
    if reason not in _FINISHED:
        piece["native_finish_reason"] = reason
    return {**piece, "content_filter_results": _filters(ratings)} if ratings else piece


def _filters(ratings: list[Json]) -> Json:
    """Return safety ratings in Azure's form."""
    found: Json = {}
    for rating in ratings:
        category = str(rating.get("category")).removeprefix("HARM_CATEGORY_").lower()
        found[_CATEGORIES.get(category, category)] = {
            "filtered": rating.get("blocked") is True,
            "severity": _SEVERITIES.get(str(rating.get("probability")), "safe"),
        }
    return found


def _logprobs(told: Json) -> Json | None:
    chosen, top = _dicts(told.get("chosenCandidates")), _dicts(told.get("topCandidates"))
    content = [
        {
            **_token(token),
            "top_logprobs": [_token(other) for other in _dicts(_nth(top, at).get("candidates"))],
        }
        for at, token in enumerate(chosen)
    ]
    return {"content": content, "refusal": None} if content else None


def _token(told: Json) -> Json:
    token, logprob = str(told.get("token", "")), told.get("logProbability", 0.0)
    is_number = isinstance(logprob, int | float) and not isinstance(logprob, bool)
    return {
        "token": token,
        # A part of a character comes as its replacement: its bytes are not told.
        "bytes": None if "\ufffd" in token else list(token.encode()),
        "logprob": logprob if is_number else _UNLIKELY,
    }


def _modality(told: object, kind: str) -> int | None:
    counted = [entry for entry in _dicts(told) if entry.get("modality") == kind]
    return _count(counted[0], "tokenCount") if counted else None


def _told(name: str, count: object) -> Json:
    return {name: count} if type(count) is int and count >= 0 else {}


def _count(counts: Json, name: str) -> int:
    count = counts.get(name)
    return count if type(count) is int and count > 0 else 0


def _seconds(time: object) -> int:
    """Return a time in seconds since the epoch, 0 if none is told."""
    try:
        return int(datetime.fromisoformat(str(time)).timestamp()) if _is_text(time) else 0
    except (ValueError, OverflowError, OSError):
        return 0


def _digest(source: object) -> str:
    text = source if isinstance(source, str) else msgspec.json.encode(source).decode()
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value != ""


def _nth(items: list[Json], at: int) -> Json:
    return items[at] if at < len(items) else {}


def _dict(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
