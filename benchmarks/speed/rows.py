"""The tables of a run: what is measured, and at which targets."""

from __future__ import annotations

from speed import ours, peers
from speed.load import Asked
from speed.ours import Standpipe
from speed.targets import MODEL, Place, Start, Target

#: Measurements by name; what is before the slash is the part that `--only` names.
MEASURES: dict[str, Asked] = {
    "closed/1": Asked(1),
    "closed/32": Asked(32),
    "closed/64": Asked(64),
    "closed/1024": Asked(1024),
    "open/100": Asked(64, rate=100),
    "open/500": Asked(64, rate=500),
    "open/1000": Asked(64, rate=1000),
    "bodies/32 KB": Asked(32, size=32 << 10),
    "bodies/1 MB": Asked(8, size=1 << 20),
    "streams/16": Asked(16, streamed=True),
    "streams/256": Asked(256, streamed=True),
}
#: Parts that are measured in ways of their own.
PARTS = (*dict.fromkeys(name.partition("/")[0] for name in MEASURES), "start", "drain")
_ALL = tuple(MEASURES)
_CLOSED = ("closed/1", "closed/32", "closed/64")

#: The one that others are compared with, and its names in other settings.
OURS = "standpipe"
DISK, NO_TEXT, HTTPS, TWO = (
    f"{OURS}, {what}" for what in ("disk", "no text", "HTTPS upstream", "2 workers")
)
DIRECT = "the provider itself"


def _direct(_: Place) -> Start:
    raise AssertionError("the provider runs already")


def _own(name: str, plan: tuple[str, ...], does: str, **settings: str) -> Target:
    start = ours.start_https if name == HTTPS else ours.start
    environment = {f"STANDPIPE_{setting}": value for setting, value in settings.items()}
    return Target(name, start, does, plan, running=Standpipe, pinned=False, environment=environment)


_TARGETS = (
    Target(
        DIRECT,
        _direct,
        "Answers the same bytes to everybody: what is measured of the others begins here.",
        ("closed/1", "open/100", "open/500", "open/1000", "streams/16", "streams/256"),
        model=MODEL,
    ),
    _own(
        OURS,
        _ALL,
        "Checks the key, parses and checks the request, routes with a name of its own for the "
        "model, keeps time-outs, retries and limits ready, relays, changes the model's name back, "
        "and has written the record with both texts before the last byte goes out; a process "
        "beside it folds, counts, prices and stores each record in SQLite.",
    ),
    _own(
        DISK,
        ("closed/1", "closed/32", "closed/64", "open/1000"),
        "The same, and the record is on the disk before the last byte goes out.",
        SPOOL_DURABILITY="disk",
    ),
    _own(
        NO_TEXT,
        ("closed/32", "closed/64", "streams/256"),
        "The same, and the record has numbers and no texts.",
        LOGGING_DEFAULT="none",
    ),
    _own(
        HTTPS,
        ("closed/32", "closed/64", "streams/16", "streams/256"),
        "The same, and the provider is asked over TLS.",
    ),
    _own(TWO, ("closed/64",), "The same with two workers.", SERVER_WORKERS="2"),
    Target(
        "nginx",
        peers.start_nginx,
        "Passes bytes on as they are, as a plain reverse proxy does: no key is checked, nothing is "
        "parsed, no usage is read, no record kept.",
        _ALL,
        model=MODEL,
        needs="nginx",
    ),
    Target(
        "vllm-router",
        peers.start_vllm_router,
        "A router in Rust, here to one place. It reads the request and writes it anew with "
        "defaults in it, and passes the answer on as it came. No key is checked, no model renamed, "
        "no record kept.",
        _ALL,
        model=MODEL,
        needs="vllm-router",
    ),
    Target(
        "ferrogw",
        peers.start_ferrogw,
        "A gateway in Go. It checks a master key, and writes request and answer anew. The model "
        "keeps its name. Its log of requests is off, so no record is kept.",
        _ALL,
        needs="ferrogw",
    ),
    Target(
        "portkey",
        peers.start_portkey,
        "A gateway in TypeScript. It takes provider and address from headers, writes the request "
        "anew and passes the answer on as it came. It checks no key of its own and keeps no "
        "record.",
        _ALL,
        headers=peers.portkey_headers,
        needs="portkey",
    ),
    Target(
        "litellm",
        peers.start_litellm,
        "A gateway in Python, one worker. It checks a master key, has a name of its own for the "
        "model, and writes request and answer anew. No database and no log are configured, so no "
        "record is kept.",
        (*_CLOSED, "open/100", "bodies/32 KB", "streams/16", "streams/256"),
        # Where 256 streams take it some 15 s, 3 s may show them begin and none of them end.
        least_s={"streams/256": 30.0},
        needs="litellm",
    ),
)
#: For a look.
QUICK = (DIRECT, OURS, "nginx", "vllm-router")
TARGETS = {each.name: each for each in _TARGETS}
