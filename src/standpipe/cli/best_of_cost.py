"""What n answers and their judges took, out of what more of them did."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from standpipe.cli import stores, undrained
from standpipe.cli.best_of_asking import Asked
from standpipe.cli.log_lines import SLACK_US, time_of
from standpipe.config import Settings
from standpipe.drain.prices import Prices, Used
from standpipe.store.rows import Row
from standpipe.wire.record import Attempt, Usage

#: Of a dollar.
_PLACES = 12
#: Of a usage, what the answers took.
_NO_ANSWER: dict[str, Any] = {
    "completion_tokens": 0,
    "total_tokens": None,
    "reasoning_tokens": None,
    "completion_audio_tokens": None,
    "completion_text_tokens": None,
    "accepted_prediction_tokens": None,
    "rejected_prediction_tokens": None,
}


class Part(NamedTuple):
    """What calls took together; cost is None where a price is not known."""

    tokens: float
    cost: Decimal | None


_NOTHING = Part(0.0, Decimal(0))


class Spent(NamedTuple):
    """What prompts with so many answers each took, as far as the store still has them."""

    prompts: int
    samples: int
    #: Paid once for a prompt, for each answer, and for judging each answer.
    once: Part
    each: Part
    judges: Part

    def tokens(self, n: int) -> float:
        """Return the tokens of n answers to a prompt, the prompt's among them."""
        return (self.once.tokens + self.each.tokens * n / self.samples) / self.prompts

    def judge_tokens(self, n: int) -> float:
        """Return the tokens of judging n answers to a prompt; one answer need not be judged."""
        return self.judges.tokens * _judged(n) / self.samples / self.prompts

    def cost(self, n: int) -> Decimal | None:
        """Return the US dollars of n answers to a prompt with their judges.

        None where a price is not known.
        """
        once, each, judges = self.once.cost, self.each.cost, self.judges.cost
        if once is None or each is None or judges is None:
            return None
        total = once + (each * n + judges * _judged(n)) / self.samples
        return round(total / self.prompts, _PLACES)


def spent(settings: Settings, ids: Collection[str], asked: Asked) -> Spent:
    """Return what calls took by their ids; there is at least one.

    Who only says how good the best is is not counted: picking it does without. What a running
    server has on its way to the store is waited for.
    """
    prices, samples = undrained.prices(settings), asked.samples
    since = min(time_of(each) for each in ids) - SLACK_US
    only_says = asked.worth if asked.worth != asked.criterion else None
    calls, judges = [], []
    with stores.opened(settings) as store:
        undrained.wait(store, settings.spool_dir)
        for row in store.each_log(None, since=since):
            if row.id in ids:
                calls.append(row)
            elif row.parent in ids and (
                not only_says or row.metadata.get("criterion") != only_says
            ):
                judges.append(row)
    once = _sum(_prompt(row, prices, samples) for row in calls)
    return Spent(
        max(1, len(calls)),
        samples,
        once,
        _less(_sum(map(_whole, calls)), once),
        _sum(map(_whole, judges)),
    )


def _judged(n: int) -> int:
    return n if n > 1 else 0


def _whole(row: Row) -> Part:
    usage = row.usage or Usage()
    return Part((usage.prompt_tokens or 0) + (usage.completion_tokens or 0), row.cost)


def _prompt(row: Row, prices: Prices, samples: int) -> Part:
    """Return what a call took once for all of its answers: the prompt, and a mixture's drafts."""
    before = _sum(_tried(each) for each in row.attempts if each.step is not None)
    answers = [each for each in row.attempts if each.step is None]
    if sum(each.usage is not None for each in answers) >= samples:  # each was asked for by itself
        return before
    usage = (answers[-1].usage if answers else None) or row.usage
    if usage is None:
        return before
    return _sum((before, _read(row, usage, prices)))


def _read(row: Row, usage: Usage, prices: Prices) -> Part:
    """Return what reading the prompt of a call's answer took."""
    usage = msgspec.structs.replace(usage, **_NO_ANSWER)
    asked = row.attempts[-1].model if row.attempts else row.model
    models = tuple(filter(None, (row.provider_model, asked)))
    cost = prices.cost([Used(row.provider, models, usage, None)], row.requested_at)
    if cost is None or row.cost is None:
        return Part(usage.prompt_tokens or 0, None)
    return Part(usage.prompt_tokens or 0, min(cost.dollars, row.cost))


def _tried(attempt: Attempt) -> Part:
    usage = attempt.usage
    if usage is None:
        return _NOTHING
    return Part((usage.prompt_tokens or 0) + (usage.completion_tokens or 0), attempt.cost)


def _sum(parts: Iterable[Part]) -> Part:
    tokens, cost = 0.0, Decimal(0)
    is_known = True
    for part in parts:
        tokens += part.tokens
        is_known = is_known and part.cost is not None
        cost += part.cost or 0
    return Part(tokens, cost if is_known else None)


def _less(whole: Part, part: Part) -> Part:
    is_known = whole.cost is not None and part.cost is not None
    cost = (whole.cost or 0) - (part.cost or 0)
    return Part(whole.tokens - part.tokens, Decimal(cost) if is_known else None)
