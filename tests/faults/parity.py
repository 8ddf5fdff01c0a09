"""What clients saw, what the provider billed and what the store holds, held against each other.

The ledger, call by call: what a row must say of usage, to the last token, and so of cost.

- Answered whole: what the provider billed for each answer of the call, as its client was told.
- Left or cut once an answer had begun: what the provider billed, if it had told, and else an
  estimate of the prompt and of the text that came, a token for each four characters. The provider
  may bill more, but tells nobody.
- Refused or failed, left or cut before an answer began: nothing, for nothing was delivered.
- Lost: nothing, for nobody knows what was.

An attempt that was given up before its answer began counts nothing either, whatever became of it.

A call may be without a row only if its client has no more than a refusal, or nothing, of it.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from faults.clients import Call
from faults.scene import PRICES
from misbehaving import bill

from standpipe.store.rows import Row
from standpipe.store.usage import Sums
from standpipe.wire import usage as usages
from standpipe.wire.record import Attempt, Usage

_NOTHING = Decimal(0)

#: How a call ended for its client to what its row may say. A call may be complete although its
#: client saw less: the row is written first, then the last byte goes out.
_MAY_SAY = {
    "whole": {"complete"},
    "failed": {"cut"},
    "cut": {"complete", "cut", "lost"},
    "left": {"abandoned", "complete", "cut", "failed", "lost", "refused"},
    "none": {"abandoned", "complete", "cut", "failed", "lost", "refused"},
}


@dataclass
class Parity:
    """What came of the comparison of one run."""

    calls: int
    answered: int
    rows: int
    #: Calls that have more than one row, and ids that do.
    doubled: int
    #: Calls answered whole that have no row, or one that calls them lost, and how many records the
    #: server said it could not keep.
    missing: int
    counted: int
    #: Streams whose process died.
    lost: int
    #: US dollars: what the rows say, what usage by the hour says, and what both must.
    cost: Decimal
    cost_by_hour: Decimal
    cost_due: Decimal
    #: How many calls ended how for their clients, and rows how.
    ends: Counter[str]
    outcomes: Counter[str]
    #: Everything that is not as it must be, a line each.
    wrong: list[str] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        """Tell whether nothing was lost, doubled or billed otherwise than it must be."""
        is_kept = self.missing == self.counted and not self.doubled
        return is_kept and self.cost == self.cost_by_hour == self.cost_due and not self.wrong


@dataclass(frozen=True)
class Pair:
    """A call and its row, and how many answers its provider billed for it."""

    call: Call
    row: Row
    billed: int

    @property
    def text(self) -> str:
        """The content of the row's answer, of one choice after the other."""
        answer = json.loads(self.row.response or "null") or {}
        messages = (choice["message"] for choice in answer.get("choices", ()))
        return "".join(message.get("content") or "" for message in messages)

    @property
    def wanted(self) -> int:
        """How many answers the call takes."""
        return int(self.call.more.get("n", 1))

    @property
    def due(self) -> Usage | None:
        """What the row must say of usage."""
        dues = list(_dues(self))
        return functools.reduce(usages.added, dues) if dues else None


@dataclass(frozen=True)
class Told:
    """What others than the clients tell of a run."""

    rows: Sequence[Row]
    #: Usage by the hour, summed up by model.
    usage: Mapping[str, Sums]
    #: How often the provider answered, by what the client said.
    billed: Mapping[str, int]
    #: How many records the server says it lost, and how many it kept without their text.
    unkept: int = 0
    textless: int = 0


def compare(calls: Sequence[Call], told: Told, may_miss: Callable[[Call], bool]) -> Parity:
    """Hold calls and rows against each other; `may_miss` tells which call may be without a row."""
    by_name = {row.metadata.get("call", ""): row for row in told.rows}
    # Of a stream that was answered and could not be kept, only its beginning is.
    kept = {call.name for call in calls if _is_kept(call, by_name.get(call.name))}
    without = [call for call in calls if call.name not in kept]
    pairs = [
        Pair(call, by_name[call.name], told.billed.get(call.said, 0))
        for call in calls
        if call.name in kept
    ]
    dues = {pair.row.id: cost(pair.due) for pair in pairs}
    return Parity(
        calls=len(calls),
        answered=sum(call.is_answered for call in calls),
        rows=len(told.rows),
        doubled=2 * len(told.rows) - len({row.id for row in told.rows}) - len(by_name),
        missing=sum(call.is_answered for call in without),
        counted=told.unkept,
        lost=sum(row.outcome == "lost" for row in told.rows),
        cost=sum((row.cost or _NOTHING for row in told.rows), _NOTHING),
        cost_by_hour=sum((sums.cost or _NOTHING for sums in told.usage.values()), _NOTHING),
        cost_due=sum((due or _NOTHING for due in dues.values()), _NOTHING),
        ends=Counter(call.end for call in calls),
        outcomes=Counter(row.outcome for row in told.rows),
        wrong=[
            *_unexplained(calls, without, told, may_miss),
            *(line for pair in pairs for line in _complaints(pair)),
            *_sums_differ(told),
        ],
    )


def _is_kept(call: Call, row: Row | None) -> bool:
    return row is not None and not (call.is_answered and row.outcome == "lost")


def _unexplained(
    calls: Sequence[Call],
    without: Sequence[Call],
    told: Told,
    may_miss: Callable[[Call], bool],
) -> Iterator[str]:
    """Yield the rows of no call, and the calls of no row, unless their number is what was told."""
    named = {call.name for call in calls}
    yield from (f"a row of no call: {r.id}" for r in told.rows if r.metadata["call"] not in named)
    absent = [call for call in without if not may_miss(call)]
    if len(absent) != told.unkept:
        yield f"{len(absent)} calls without a row, {told.unkept} counted"
        yield from (f"no row of {_shown(call)}" for call in absent)
    textless = sum(not row.logged for row in told.rows)
    if textless != told.textless:
        yield f"{textless} rows without a text, {told.textless} counted"


def _sums_differ(told: Told) -> Iterator[str]:
    """Yield each model whose usage by the hour is not that of its rows."""
    rows: dict[str, list[Row]] = {}
    for row in told.rows:
        rows.setdefault(row.model or "", []).append(row)
    for model in rows.keys() | told.usage.keys():
        found, due = told.usage.get(model, Sums()), _summed(rows.get(model, ()))
        if found != due:
            yield f"usage by the hour of {model}: {found}, of its rows: {due}"


def _summed(rows: Sequence[Row]) -> Sums:
    used = [row.usage or Usage() for row in rows]
    return Sums(
        calls=len(rows),
        failed=sum(row.outcome != "complete" for row in rows),
        priced=sum(row.cost is not None for row in rows),
        prompt_tokens=sum(usage.prompt_tokens or 0 for usage in used),
        completion_tokens=sum(usage.completion_tokens or 0 for usage in used),
        cached_tokens=sum(usage.cached_tokens or 0 for usage in used),
        reasoning_tokens=sum(usage.reasoning_tokens or 0 for usage in used),
        cost_pico=int(sum((row.cost or _NOTHING for row in rows), _NOTHING) * 10**12),
    )


def cost(usage: Usage | None) -> Decimal | None:
    """Return what a usage costs at `PRICES`, in US dollars, exactly."""
    if usage is None:
        return None
    prompt, cached = usage.prompt_tokens or 0, usage.cached_tokens or 0
    tokens = {
        "input": prompt - cached,
        "cached_input": cached,
        "output": usage.completion_tokens or 0,
    }
    return sum((Decimal(PRICES[name]) * tokens[name] for name in PRICES), Decimal(0)) / 1_000_000


# --- what must hold of a call and its row -------------------------------------------------------


def _complaints(pair: Pair) -> Iterator[str]:
    for what, holds in _LAWS.items():
        if not holds(pair):
            yield f"{what}: {_shown(pair.call)} {pair.billed} billed; {_row_shown(pair.row)}"


def _same_id(pair: Pair) -> bool:
    return pair.call.id in (pair.row.id, None)


def _outcome(pair: Pair) -> bool:
    if pair.call.status in (200, None):
        return pair.row.outcome in _MAY_SAY[pair.call.end]
    return pair.row.status == pair.call.status and pair.row.outcome in {"refused", "failed", "cut"}


def _text(pair: Pair) -> bool:
    if not pair.row.logged:
        return pair.row.response is None
    if pair.call.is_answered:
        return pair.text == pair.call.text
    return pair.row.outcome == "lost" or pair.text.startswith(_first_choice(pair.call))


def _first_choice(call: Call) -> str:
    # Of an answer with several choices that broke off, only their order by time is known.
    return "" if call.more.get("n") else call.text


def _bills(pair: Pair) -> bool:
    if pair.row.outcome != "complete" or not pair.billed:
        return True
    given_up = sum(attempt.status is None for attempt in pair.row.attempts)
    return pair.wanted <= pair.billed <= pair.wanted + given_up


def _source(pair: Pair) -> bool:
    return pair.row.usage_source in _SOURCES.get(pair.row.outcome, {None})


def _usage(pair: Pair) -> bool:
    return pair.row.usage == pair.due


def _told(pair: Pair) -> bool:
    told = pair.call.usage
    if told is None or pair.row.outcome == "lost":
        return True
    return usages.from_openai(told) == pair.row.usage


def _cost(pair: Pair) -> bool:
    return pair.row.cost == cost(pair.due)


#: Where usage may be from, by outcome; of what is not here there is none.
_SOURCES: dict[str, set[str | None]] = {
    "complete": {"provider"},
    "abandoned": {"provider", "estimated", None},
    "cut": {"provider", "estimated", None},
    "lost": {"estimated", None},
}
_LAWS: dict[str, Callable[[Pair], bool]] = {
    "another id": _same_id,
    "another outcome": _outcome,
    "another text": _text,
    "more or fewer answers": _bills,
    "usage of another source": _source,
    "another usage than billed": _usage,
    "another usage than told": _told,
    "another cost": _cost,
}


# --- what was billed ----------------------------------------------------------------------------


def _dues(pair: Pair) -> Iterator[Usage]:
    """Yield the usage of each answer that counts."""
    if pair.row.outcome == "complete":
        yield from [_bill(pair)] * pair.wanted
    elif pair.row.outcome in ("abandoned", "cut"):
        begun = (attempt for attempt in pair.row.attempts if attempt.status == 200)
        yield from (_broken_off(pair, attempt) for attempt in begun)
    elif pair.row.outcome == "lost":  # what went before the stream that was lost
        yield from (each.usage for each in pair.row.attempts if each.usage is not None)


def _bill(pair: Pair) -> Usage:
    # The local model keeps no ledger; its clients are told.
    billed = bill(pair.call.said) if pair.billed else pair.call.usage
    return usages.from_openai(billed) or Usage()


def _broken_off(pair: Pair, attempt: Attempt) -> Usage:
    """Return what an answer that broke off counts."""
    # The row says it of a call's one answer, the attempts of several.
    if (attempt.usage_source or pair.row.usage_source) == "provider":
        return _bill(pair)
    made = _quarter(pair.text)
    if attempt.usage is not None:
        # Which of the answers a text is from, and what came of it that was not yet passed on,
        # nobody knows but the attempt.
        made = attempt.usage.completion_tokens or 0
    prompt = _quarter(pair.call.said)
    return Usage(prompt_tokens=prompt, completion_tokens=made, total_tokens=prompt + made)


def _quarter(text: str) -> int:
    return -(-len(text) // 4)


def _shown(call: Call) -> str:
    return f"call {call.name} of {call.model} ({call.end}, {call.status}, {call.id})"


def _row_shown(row: Row) -> str:
    return f"{row.id} {row.outcome} {row.status} {row.usage_source} {row.usage} {row.cost}"
