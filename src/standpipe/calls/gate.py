"""Whether a caller may make a call: its models and its limits. Keys without any never get here."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from standpipe.calls import incoming as control
from standpipe.calls.call import Call, without_text
from standpipe.calls.callers import Caller
from standpipe.calls.dispatch import Dispatch
from standpipe.calls.reply import Headers
from standpipe.drain.rows import answers
from standpipe.errors import (
    ApiError,
    Forbidden,
    PaymentRequired,
    RateLimited,
    Unavailable,
)
from standpipe.limits.client import Limiter
from standpipe.limits.messages import End, Level, Reason, Subject, Verdict, Want
from standpipe.wire.passthrough import PassedRequest
from standpipe.wire.record import Record, Usage
from standpipe.wire.summaries import sent
from standpipe.wire.summary import Summary

#: Tokens that an answer is taken to have where its caller sets it no limit.
ANSWER_TOKENS = 1024
_ANSWER_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


class Gate:
    """Lets calls begin, and says how they ended."""

    def __init__(self, dispatch: Dispatch, limiter: Limiter | None = None) -> None:
        self._dispatch = dispatch
        self._limiter = limiter

    async def admit(self, call: Call) -> None:
        """Let a call begin.

        Raises Forbidden for a model that the key may not have, PaymentRequired and RateLimited for
        a limit in the way, and Unavailable if nobody can say.
        """
        request, caller = call.request, call.caller
        if request is None:
            raise TypeError("a call that was read has a request")
        if caller.models is not None:
            _check_models([request.model, *control.fallback(call.incoming)], caller)
        if not caller.subjects:
            return
        if self._limiter is None:
            raise Unavailable("the limits of this key cannot be checked here")
        verdict = await self._limiter.begin(self._want(call, request.model))
        call.rates = rates(verdict)
        if verdict.reason is not None:
            error = _refusal(verdict.reason, verdict)
            # Over a limit for which no waiting helps: to try again would be in vain.
            call.retried = isinstance(error, RateLimited) and error.retry_after is None
            raise error
        call.is_held = True

    def settle(self, call: Call) -> None:
        """Say how a call ended, without waiting."""
        if not call.is_held or self._limiter is None:
            return
        call.is_held = False
        self._limiter.end(_end(call))

    def _want(self, call: Call, model: str) -> Want:
        subjects = call.caller.subjects
        usage, _ = sent(call.body)
        answers = self._dispatch.answers(model)
        prompt = ((usage and usage.prompt_tokens) or 0) * answers
        targets = self._dispatch.targets(model, call.incoming)
        return Want(
            call=call.id,
            project=call.caller.project,
            subjects=subjects,
            at=call.requested_at,
            prompt_tokens=prompt,
            answer_tokens=_answer_tokens(call, answers, prompt, subjects),
            targets=tuple({(target.provider, target.model): None for target in targets}),
            is_part=call.parent is not None,
        )


def _answer_tokens(call: Call, answers: int, prompt: int, subjects: tuple[Subject, ...]) -> int:
    """Return how many tokens so many answers may have, and their prompts.

    As many as was asked, else a guess that no limit excludes.
    """
    request = call.request
    if request is None or call.kind == "embeddings":
        return 0
    choices = answers * (request.choices if isinstance(request, PassedRequest) else request.n)
    asked = _first_number(request.fields)
    if asked is not None:
        return asked * choices
    limits = [subject.limits.tokens_per_minute for subject in subjects]
    least = min((limit for limit in limits if limit is not None), default=None)
    guess = ANSWER_TOKENS * choices
    return guess if least is None else min(guess, max(0, least - prompt))


def _first_number(fields: Mapping[str, msgspec.Raw]) -> int | None:
    for name in _ANSWER_LIMITS:
        text = bytes(fields.get(name, b"")).strip()
        if text.isdigit():
            return int(text)
    return None


def _end(call: Call) -> End:
    record = call.record()
    if record.logged:
        record = without_text(record)
    if record.cache_hit:  # nobody was asked, and nobody bills
        record = msgspec.structs.replace(record, usage=None)
    usage = record.usage or Usage()
    total = usage.total_tokens
    both = (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
    return End(
        call=call.id,
        project=record.project,
        tokens=both if total is None else total,
        answers=tuple(answers(record, Summary(), record.usage)),
        counts=_counts(record),
    )


def _counts(record: Record) -> bool:
    """Tell a call that counts as a request: a provider was asked, and did not fail."""
    return bool(record.attempts) and record.outcome != "failed"


def _check_models(asked: list[str], caller: Caller) -> None:
    for model in asked:
        if not caller.may_ask_for(model):
            raise Forbidden(
                f"this key does not have access to model `{model[:256]}`",
                param="model",
                openai_code="model_not_found",
            )


def rates(verdict: Verdict) -> Headers:
    """Return OpenAI's headers of how limits per minute stand."""
    return [
        *_level("requests", verdict.requests),
        *_level("tokens", verdict.tokens),
    ]


def _level(name: str, level: Level | None) -> Headers:
    if level is None:
        return []
    told = {"limit": level.limit, "remaining": level.remaining, "reset": f"{level.reset:.3g}s"}
    return [
        (f"x-ratelimit-{what}-{name}".encode(), str(value).encode()) for what, value in told.items()
    ]


#: What a caller is told, by what is in the way.
_WORDS: Mapping[Reason, str] = {
    "requests": "Rate limit reached: this {kind} may make {limit} requests a minute",
    "tokens": "Rate limit reached: this {kind} may use {limit} tokens a minute",
    "concurrent": "Rate limit reached: this {kind} may have {limit} calls at a time",
    "held": (
        "Rate limit reached: what is left of this {kind}'s budget of {limit} dollars is held by "
        "calls that have not ended"
    ),
    "day": "This {kind} has spent its budget of {limit} dollars a day (UTC)",
    "month": "This {kind} has spent its budget of {limit} dollars a month (UTC)",
    "unpriced": "the price of this model is not known, and the money of this key is counted",
    "away": "the limits of this key cannot be checked now; try again",
}
_ERRORS: Mapping[Reason, type[ApiError]] = {
    "day": PaymentRequired,
    "month": PaymentRequired,
    "unpriced": Forbidden,
    "away": Unavailable,
}


def _refusal(reason: Reason, verdict: Verdict) -> ApiError:
    message = _WORDS[reason].format(kind=verdict.kind, limit=verdict.limit)
    # Clients of OpenAI wait for no more than a minute.
    wait = None if verdict.wait is None else min(60.0, math.ceil(verdict.wait))
    error = _ERRORS.get(reason, RateLimited)(message)
    error.retry_after = wait
    if reason == "tokens":
        error.openai_type = "tokens"
    return error
