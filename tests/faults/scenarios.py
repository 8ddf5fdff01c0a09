"""The scenarios: what clients ask for, what goes wrong meanwhile, and what must be seen of it.

One more is one more row. What must hold of every one of them is in `parity`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from faults import blows
from faults.blows import Blow
from faults.clients import AT_FINISH, AT_FIRST_EVENT, Call, Leave
from faults.parity import Parity
from faults.scene import may_mount

#: Tells whether a run has felt the fault.
Felt = Callable[[Parity], bool]


@dataclass(frozen=True)
class Mix:
    """What clients ask for: one of these models, whole or streamed, and when some of them leave."""

    models: tuple[str, ...]
    leaves: tuple[Leave, ...] = ("never",)
    #: None for either.
    stream: bool | None = None

    def __call__(self, chance: random.Random) -> Call:
        model, leave = chance.choice(self.models), chance.choice(self.leaves)
        stream = chance.random() < 0.5 if self.stream is None else self.stream
        more: dict[str, object] = {}
        if model.startswith("groq:"):
            more["n"] = 2  # which groq lacks, so that it is two calls of ours
        if model == LOCAL:
            more |= {"max_tokens": 12, "temperature": 0}
        if stream and (model == LOCAL or chance.random() < 0.5):
            more["stream_options"] = {"include_usage": True}
        return Call(model, stream, leave, more=more)


LOCAL = "smollm2-135m-instruct"
#: When clients of a busy day leave: two of three never, the others within these seconds.
_NEVER: Leave = "never"
_SOMETIMES = (*(_NEVER for _ in range(8)), 0.0, 0.02, 0.04, 0.08)
BUSY = Mix(
    ("up:ok+bills", "up:slow:30+bills", "up:drip:3+chunks:20+bills", "groq:ok+bills"), _SOMETIMES
)


def _models(*traits: str) -> tuple[str, ...]:
    """Return the names by which the provider misbehaves like this."""
    return tuple(f"up:{trait}+bills" for trait in traits)


def _well_and(*traits: str) -> Mix:
    """Return calls of which some find a provider that misbehaves."""
    return Mix((*["up:ok+bills", "groq:ok+bills"] * len(traits), *_models(*traits)))


def _unfelt(parity: Parity) -> bool:
    return parity.answered > 0


def _broken(parity: Parity) -> bool:
    return parity.ends["none"] + parity.ends["cut"] > 0


def _saw(end: str, outcome: str) -> Felt:
    return lambda parity: parity.ends[end] > 0 and parity.outcomes[outcome] > 0


@dataclass(frozen=True)
class Scenario:
    """A fault, and what has to be seen of it."""

    name: str
    blow: Blow = blows.nothing
    mix: Mix = BUSY
    #: A run that the fault did not touch shows nothing; some can be felt by nobody.
    felt: Felt = _unfelt
    clients: int = 24
    #: Where it can happen.
    databases: tuple[str, ...] = ("SQLite", "PostgreSQL")
    #: A process that serves calls dies: they may stay without an answer, and then without a row.
    breaks: bool = False
    #: Calls may be refused before there is _unfelt to keep.
    refuses: bool = False
    #: The spool is on a small disk of its own.
    small_disk: bool = False
    #: Answered calls may be lost if they are counted.
    counts: bool = False
    #: It is played by `make test` as well.
    short: bool = True
    settings: dict[str, str] = field(default_factory=dict)

    def may_miss(self, call: Call) -> bool:
        """Tell whether a call may be without a row."""
        if call.end == "left":
            return call.id is None  # before its request had come whole
        return (self.refuses and call.status == 503) or (self.breaks and call.end == "none")

    def strange(self, parity: Parity) -> Iterator[str]:
        """Yield what a run shows that has nothing to do with the fault, or that it shows none."""
        if not self.breaks and (_broken(parity) or parity.lost > parity.counted):
            yield f"calls broke off although nobody died: {parity.ends} {parity.outcomes}"
        if parity.missing and not (self.counts or (self.small_disk and not may_mount())):
            yield f"{parity.missing} answered calls were lost"
        if not (_broken(parity) if self.breaks else self.felt(parity)):
            yield f"nothing was felt of it: {parity.ends} {parity.outcomes}"


#: A fault of the provider, and what is seen of it.
_PROVIDER: dict[str, tuple[str, Felt]] = {
    "429 with Retry-After, then well": ("again:429", _unfelt),
    "429": ("status:429", _saw("whole", "refused")),
    "500": ("status:500", _saw("whole", "failed")),
    "silent": ("silent", _saw("whole", "failed")),
    "slow first byte": ("slow:500", _unfelt),
    "cut mid-stream": ("cut", _saw("failed", "cut")),
    "reset mid-stream": ("reset", _saw("failed", "cut")),
    "garbage": ("garbage", _saw("whole", "failed")),
    "endless answer": ("drip:20+chunks:2000", _saw("failed", "cut")),
}
#: When clients leave, and what they ask for then.
_LEAVING = {
    "before the head": Mix(("up:slow:300+bills",), ("never", 0.1, 0.2)),
    "mid-stream": Mix(("up:drip:3+chunks:20+bills",), ("never", AT_FIRST_EVENT, 0.05), stream=True),
    "right at the end": Mix(("up:ok+bills", "up:drip:3+bills"), ("never", AT_FINISH), stream=True),
    "at any moment": Mix(BUSY.models, ("never", AT_FIRST_EVENT, AT_FINISH, 0.0, 0.02, 0.04, 0.1)),
}

#: Calls of every kind, all that goes wrong on the way to the store, and the sum of it.
LEDGER = Scenario(
    "ledger: all faults of providers and clients, kills of worker and drain",
    blows.kill_now_and_then,
    Mix((*BUSY.models * 4, *_models(*(model for model, _ in _PROVIDER.values()))), _SOMETIMES),
    clients=64,
    breaks=True,
)

SCENARIOS = (
    # --- processes die
    Scenario("worker killed", blows.kill(*["standpipe.worker"] * 2), breaks=True, short=False),
    Scenario("drain killed", blows.kill(*["standpipe.drain"] * 3), short=False),
    Scenario(
        "worker and drain killed by turns",
        blows.kill("standpipe.worker", "standpipe.drain", "standpipe.drain", "standpipe.worker"),
        breaks=True,
    ),
    Scenario(
        "engine killed",
        blows.kill_engine,
        Mix((LOCAL,)),
        _saw("whole", "failed"),
        clients=4,
        settings={"LOCAL_ENABLED": "true"},
    ),
    Scenario("supervisor killed, started again", blows.kill_supervisor, breaks=True),
    Scenario("all processes killed at once, started again", blows.kill_everything, breaks=True),
    # --- there is no room
    Scenario("disk full, room given back", blows.fill_disk, refuses=True, small_disk=True),
    Scenario(
        "disk full, losses counted",
        blows.fill_disk_of_who_counts,
        Mix(BUSY.models),  # a client that leaves is none of those who know what they miss
        small_disk=True,
        counts=True,
        short=False,
        settings={"SPOOL_WHEN_FULL": "count"},
    ),
    # --- the database is away
    Scenario("database file locked, let go", blows.lock_file, databases=("SQLite",)),
    Scenario("database stopped, started", blows.stop_database, databases=("PostgreSQL",)),
    *(
        Scenario(name, blow, databases=("PostgreSQL",), short=False)
        for name, blow in {
            "database killed, started": blows.kill_database,
            "database hangs, goes on": blows.hold_database,
        }.items()
    ),
    Scenario(
        "worker and drain killed while the database is stopped",
        blows.kill_without_database,
        databases=("PostgreSQL",),
        breaks=True,
        refuses=True,
    ),
    # --- the provider misbehaves
    *(
        Scenario(f"provider: {name}", mix=_well_and(model), felt=felt, short=False)
        for name, (model, felt) in _PROVIDER.items()
    ),
    Scenario(
        "provider: all of these",
        mix=_well_and(*(model for model, _ in _PROVIDER.values())),
        felt=lambda parity: all(felt(parity) for _, felt in _PROVIDER.values()),
    ),
    # --- clients leave
    *(
        Scenario(
            f"clients leave {when}",
            mix=mix,
            felt=lambda parity: parity.ends["left"] > 0,
            short=when == "at any moment",
        )
        for when, mix in _LEAVING.items()
    ),
)
