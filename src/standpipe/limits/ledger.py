"""What is counted, and the one place of a node that counts it in its memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from typing_extensions import override

from standpipe.limits import verdicts
from standpipe.limits.limits import pico
from standpipe.limits.messages import End, Kind, Subject, Verdict, Want, periods
from standpipe.limits.nodes import Roll
from standpipe.limits.verdicts import Figures
from standpipe.limits.window import Window

Period = Literal["day", "month"]
#: Project, kind and id of a subject, and the name of a period.
Place = tuple[str, Kind, str, str]
#: Shares of a budget at which its holder is told.
THRESHOLDS = (80, 100)


class Span(NamedTuple):
    """A subject's day or month."""

    project: str
    subject: Subject
    period: Period
    #: Such as `2026-11-23` or `2026-11`.
    name: str

    @property
    def place(self) -> Place:
        """What is the same for it whatever the limits of its subject."""
        return (self.project, self.subject.kind, self.subject.id, self.name)


class Crossing(NamedTuple):
    """A budget of which a share was spent just now."""

    span: Span
    #: Per cent.
    threshold: int
    #: In 10^-12 dollars.
    spent: int
    budget: int


class Away(Exception):
    """What counts cannot be reached."""


class Ledger(Protocol):
    """Counts calls in and out; each verb is atomic over all subjects of a call.

    What was spent in a span is what the store has of it, and what each call cost that has ended and
    is not in that by what was heard of the store. So nothing is counted twice, and what nobody has
    told is counted once it is stored. Until then, or until it is known that nothing will be stored,
    a call counts with what it held of whose end nobody tells.

    Each raises Away where the counters are elsewhere and cannot be reached.
    """

    async def unknown(self, want: Want) -> list[Span]:
        """Return the spans of a call's budgets of which the store must be asked."""

    async def ended(self, span: Span) -> Mapping[str, str]:
        """Return the calls that have ended and are not known to be stored.

        With each is who had it if nobody has told of its end, else "".
        """

    async def settle(self, span: Span, stored: int, calls: Collection[str]) -> list[Crossing]:
        """Take what the store has of a span, and which calls count no more beside that."""

    async def our_turn(self, of: Sequence[Span]) -> list[Span]:
        """Return those for which nobody else has asked the store of late; we are who does now."""

    async def begin(self, want: Want) -> Verdict:
        """Let a call begin, or not; one that has begun already is counted whatever that does."""

    async def end(self, want: Want, end: End, cost: int) -> list[Crossing]:
        """Count what a call took in 10^-12 dollars, instead of what it might have; once only."""

    async def lose(self, want: Want) -> None:
        """Give back what a call held of whose end nobody tells, but not its money."""

    async def keep(self, wants: Iterable[Want]) -> None:
        """Say that these calls are still there."""

    async def call_roll(self, node: str, roll: Roll) -> None:
        """Say which of a node's workers live."""

    async def rolls(self, nodes: Collection[str]) -> Mapping[str, Roll]:
        """Return what was said last of each of these nodes of which something was."""

    async def close(self) -> None:
        """End."""


def spans(want: Want) -> Iterator[Span]:
    """Yield the spans of a call's budgets."""
    names = periods(want.at)
    for subject in want.subjects:
        for period, budget in budgets(subject):
            if budget is not None:
                yield Span(want.project, subject, period, names[period])


def budgets(subject: Subject) -> Iterator[tuple[Period, int | None]]:
    """Yield each period with its budget in 10^-12 dollars, None for none."""
    day, month = subject.limits.dollars_per_day, subject.limits.dollars_per_month
    yield "day", None if day is None else pico(day)
    yield "month", None if month is None else pico(month)


def crossings(span: Span, before: int, after: int) -> list[Crossing]:
    """Return the thresholds that spending has passed."""
    budget = dict(budgets(span.subject))[span.period]
    if not budget:
        return []
    return [
        Crossing(span, threshold, after, budget)
        for threshold in THRESHOLDS
        if before * 100 < budget * threshold <= after * 100
    ]


class _Spent:
    """What was spent in a span."""

    __slots__ = ("_stored", "all", "ended", "lost")

    def __init__(self) -> None:
        #: What the store has, None before it was asked; and that with what has ended since.
        self._stored: int | None = None
        self.all = 0
        #: What the calls cost that are not known to be stored.
        self.ended: dict[str, int] = {}
        #: Who had those of which nobody has told that they ended; they count with what they held.
        self.lost: dict[str, str] = {}

    @property
    def is_known(self) -> bool:
        return self._stored is not None

    def add(self, call: str, cost: int) -> None:
        self.hear_of(call)
        if cost and call not in self.ended:
            self.ended[call] = cost
            self.all += cost

    def lose(self, call: str, cost: int, by: str) -> None:
        if cost and call not in self.ended:
            self.add(call, cost)
            self.lost[call] = by

    def hear_of(self, call: str) -> None:
        if self.lost.pop(call, None) is not None:
            self.all -= self.ended.pop(call)

    def settle(self, stored: int, calls: Iterable[str]) -> None:
        self.all -= sum(self.ended.pop(call, 0) for call in calls)
        # Sums only grow; who read a smaller one has read it earlier.
        more = max(0, stored - (self._stored or 0))
        self._stored = (self._stored or 0) + more
        self.all += more


class _Account:
    """One subject's."""

    __slots__ = ("held", "open", "requests", "spent", "tokens")

    def __init__(self) -> None:
        self.requests = Window()
        self.tokens = Window()
        self.open = 0
        self.held = 0
        #: By the name of the period.
        self.spent: dict[str, _Spent] = {}

    def figures(self, want: Want, now: float) -> Figures:
        self.requests.pass_on(now)
        self.tokens.pass_on(now)
        names = periods(want.at)
        day, month = (self.spent.get(names[each]) for each in ("day", "month"))
        return Figures(
            requests=self.requests.total,
            requests_reset=self.requests.reset(now),
            tokens=self.tokens.total,
            tokens_reset=self.tokens.reset(now),
            open=self.open,
            held=self.held,
            day=day.all if day else 0,
            month=month.all if month else 0,
        )

    def is_idle(self, now: float) -> bool:
        self.requests.pass_on(now)
        self.tokens.pass_on(now)
        return not (self.open or self.requests.total or self.tokens.total or self.spent)


class Memory(Ledger):
    """The counters of one node, in this process alone."""

    #: Accounts beyond which those that say nothing are let go.
    MOST = 10_000

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accounts: dict[tuple[str, str, str], _Account] = {}
        #: Accounts beyond which all are looked through.
        self._room = self.MOST
        self._rolls: dict[str, Roll] = {}
        #: Calls at this moment, and when they began.
        self._open: dict[str, tuple[Want, float]] = {}

    @override
    async def unknown(self, want: Want) -> list[Span]:
        return [span for span in spans(want) if not self._spent(span).is_known]

    @override
    async def ended(self, span: Span) -> Mapping[str, str]:
        spent = self._spent(span)
        return {call: spent.lost.get(call, "") for call in spent.ended}

    @override
    async def settle(self, span: Span, stored: int, calls: Collection[str]) -> list[Crossing]:
        spent = self._spent(span)
        # What calls might have cost has alerted nobody; what they did cost shall.
        for call in calls:
            spent.hear_of(call)
        was_known, before = spent.is_known, spent.all
        spent.settle(stored, calls)
        return crossings(span, before, spent.all) if was_known else []

    @override
    async def our_turn(self, of: Sequence[Span]) -> list[Span]:
        return list(of)

    @override
    async def begin(self, want: Want) -> Verdict:
        now = self._clock()
        accounts = [self._account(want.project, subject) for subject in want.subjects]
        if not want.has_begun:
            figures = [account.figures(want, now) for account in accounts]
            for subject, account, each in zip(want.subjects, accounts, figures, strict=True):
                found = verdicts.obstacle(subject.limits, each, want)
                if found is not None:
                    wait = _wait(account, want, found, now)
                    return verdicts.refused(want, subject.kind, found, wait, figures)
        if want.call not in self._open:
            self._open[want.call] = want, now
            for account in accounts:
                account.requests.add(1, now)
                account.tokens.add(want.tokens, now)
                account.open += not want.is_part
                account.held += want.cost
            for span in spans(want):
                self._spent(span).hear_of(want.call)
        return verdicts.granted(want, [account.figures(want, now) for account in accounts])

    @override
    async def end(self, want: Want, end: End, cost: int) -> list[Crossing]:
        opened = self._open.pop(end.call, None)
        if opened is not None:
            want, began = opened
            self._give_back(want, began, end)
        found = []
        for span in spans(want):
            spent = self._spent(span)
            before = spent.all
            spent.add(end.call, cost)
            found += crossings(span, before, spent.all) if spent.is_known else []
        return found

    @override
    async def lose(self, want: Want) -> None:
        opened = self._open.pop(want.call, None)
        if opened is None:
            return
        want, began = opened
        self._give_back(want, began, End(want.call, want.project, counts=False))
        for span in spans(want):
            self._spent(span).lose(want.call, want.cost, want.by)

    @override
    async def keep(self, wants: Iterable[Want]) -> None:
        del wants

    @override
    async def call_roll(self, node: str, roll: Roll) -> None:
        self._rolls[node] = roll

    @override
    async def rolls(self, nodes: Collection[str]) -> Mapping[str, Roll]:
        return {node: roll for node, roll in self._rolls.items() if node in nodes}

    @override
    async def close(self) -> None:
        self._accounts.clear()

    def has_begun(self, call: str) -> bool:
        """Tell a call that is counted here."""
        return call in self._open

    def _give_back(self, want: Want, began: float, end: End) -> None:
        more = end.tokens - want.tokens
        for subject in want.subjects:
            account = self._account(want.project, subject)
            account.open -= not want.is_part
            account.held -= want.cost
            if not end.counts:
                account.requests.add(-1, began)
            # What was too much is counted when it is known, so that no minute has more.
            account.tokens.add(more, self._clock() if more > 0 else began)

    def _spent(self, span: Span) -> _Spent:
        there = self._account(span.project, span.subject).spent
        if span.name not in there:
            # A period that is over is asked for no more: names of one length sort by time.
            over = [each for each in there if len(each) == len(span.name) and each < span.name]
            for name in over[:-1]:
                del there[name]
            there[span.name] = _Spent()
        return there[span.name]

    def _account(self, project: str, subject: Subject) -> _Account:
        place = (project, subject.kind, subject.id)
        found = self._accounts.get(place)
        if found is None:
            if len(self._accounts) >= self._room:
                self._let_go()
            found = self._accounts[place] = _Account()
        return found

    def _let_go(self) -> None:
        now = self._clock()
        for place in [p for p, account in self._accounts.items() if account.is_idle(now)]:
            del self._accounts[place]
        # However many have something to say, each new one costs the same.
        self._room = max(self.MOST, 2 * len(self._accounts))


def _wait(account: _Account, want: Want, found: verdicts.Obstacle, now: float) -> float | None:
    """Return the seconds until the obstacle may be gone, None where waiting does not help."""
    limit = found.limit
    if found.reason == "requests" and int(limit) > 0:
        return account.requests.wait(1, int(limit), now)
    if found.reason == "tokens" and want.tokens <= int(limit):
        return account.tokens.wait(want.tokens, int(limit), now)
    is_for_now = found.reason == "held" or (found.reason == "concurrent" and int(limit) > 0)
    return verdicts.SOON_S if is_for_now else None
