"""What a caller sent besides the body: the control headers (spec 1.3)."""

from __future__ import annotations

import msgspec
from typing_extensions import override

from standpipe.errors import BadRequest
from standpipe.wire.tags import parse_tags

#: The request headers that mean something; all others are ignored and kept nowhere.
NAMES = {
    b"authorization": "authorization",
    b"x-api-key": "api_key",
    b"content-type": "content_type",
    b"user-agent": "user_agent",
    b"op-log-request": "log_request",
    b"op-tags": "tags",
    b"op-cache": "cache",
    b"op-criteria": "criteria",
    b"standpipe-criteria-timeout": "criteria_timeout",
    b"standpipe-criteria-budget": "criteria_budget",
    b"standpipe-fidelity": "fidelity",
    b"standpipe-fallback": "fallback",
    b"traceparent": "traceparent",
    b"tracestate": "tracestate",
    b"x-stainless-retry-count": "retry_count",
}

#: Those that a request may have once: of two, each reader could believe another.
ONCE = frozenset(NAMES) - {
    *(b"user-agent", b"traceparent", b"tracestate", b"x-stainless-retry-count")
}
#: Of those that may come more than once, the ones of which each counts.
_LISTS = frozenset((b"traceparent", b"tracestate"))

#: Models that a caller may name in `standpipe-fallback`.
MOST_FALLBACKS = 10

#: Longest text of a header that a record keeps, in characters.
KEPT = 256


class Told(msgspec.Struct, frozen=True):
    """Headers as a record keeps them."""

    user_agent: str | None
    traceparent: str | None
    #: How often the client says it has tried before.
    retries: int | None


class Incoming(msgspec.Struct, dict=True):
    """The headers of one request that mean something; None for those that did not come.

    They are those of the next request too, where that has the same head.
    """

    authorization: bytes | None = None
    #: Where Anthropic's clients send a key; only the messages route takes it from there.
    api_key: bytes | None = None
    content_type: bytes | None = None
    user_agent: bytes | None = None
    log_request: bytes | None = None
    tags: bytes | None = None
    cache: bytes | None = None
    criteria: bytes | None = None
    criteria_timeout: bytes | None = None
    criteria_budget: bytes | None = None
    fidelity: bytes | None = None
    fallback: bytes | None = None
    traceparent: bytes | None = None
    tracestate: bytes | None = None
    retry_count: bytes | None = None

    def __post_init__(self) -> None:
        # Each call asks for both, and `cached_property` takes a lock for the first time of each.
        #: The caller's key as it was sent, None without one.
        self.token = token_of(self.authorization) or self.api_key
        #: What a record keeps of them.
        self.told = Told(text(self.user_agent), text(self.traceparent), retry_count(self))

    @override
    def __repr__(self) -> str:
        # The headers hold the caller's key.
        return "Incoming()"


def token_of(authorization: bytes | None) -> bytes | None:
    """Return what follows the scheme of an Authorization header, None without one."""
    return (authorization or b"").partition(b" ")[2] or None


def read(headers: list[tuple[bytes, bytes]]) -> Incoming:
    """Pick what means something out of a request's headers; names are in lower case.

    Raises BadRequest for one of ONCE that is given twice.
    """
    found: dict[str, bytes] = {}
    for name, value in headers:
        field = NAMES.get(name)
        if field is None:
            continue
        if field not in found:
            found[field] = value
        elif name in ONCE:
            raise BadRequest(f"{name.decode()}: given twice", param=name.decode())
        else:
            found[field] = found[field] + b"," + value if name in _LISTS else value
    return Incoming(**found)


def wants_log(incoming: Incoming) -> bool | None:
    """Return what `op-log-request` says; None if it is absent or empty, BadRequest if unclear."""
    value = incoming.log_request and incoming.log_request.strip()
    if not value:
        return None
    if value.lower() in (b"true", b"false"):
        return value.lower() == b"true"
    raise BadRequest(
        f"op-log-request: must be 'true' or 'false', not {_shown(value)}", param="op-log-request"
    )


def wants_best_effort(incoming: Incoming) -> bool:
    """Tell whether fields that cannot be honoured may be dropped; BadRequest if that is unclear."""
    if not incoming.fidelity:
        return False
    value = incoming.fidelity.strip()
    if value.lower() in (b"strict", b"best-effort"):
        return value.lower() == b"best-effort"
    raise BadRequest(
        f"standpipe-fidelity: must be 'strict' or 'best-effort', not {_shown(value)}",
        param="standpipe-fidelity",
    )


def fallback(incoming: Incoming) -> list[str]:
    """Return the models in `standpipe-fallback`, [] if there are none; BadRequest if unclear."""
    if not incoming.fallback:
        return []
    try:
        models = _models.decode(incoming.fallback)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _bad_fallback(f"must be a JSON list of model names: {error}") from None
    if len(models) > MOST_FALLBACKS:
        raise _bad_fallback(f"{len(models)} models are over the {MOST_FALLBACKS} that may be named")
    return models


def _bad_fallback(what: str) -> BadRequest:
    return BadRequest(f"standpipe-fallback: {what}", param="standpipe-fallback")


_models = msgspec.json.Decoder(list[str])


def tagged(metadata: dict[str, str], incoming: Incoming) -> dict[str, str]:
    """Return metadata with what is in `op-tags`; BadRequest if that cannot be read."""
    return {**metadata, **parse_tags(incoming.tags)} if incoming.tags else metadata


class CacheMode(msgspec.Struct, frozen=True):
    """What a call does with the response cache."""

    reads: bool
    writes: bool


_BOTH = CacheMode(reads=True, writes=True)
#: What `op-cache` may say; anything else is no cache (spec 5.4). `true` is of older clients.
_CACHE_MODES = {
    b"readwrite": _BOTH,
    b"true": _BOTH,
    b"readonly": CacheMode(reads=True, writes=False),
    b"writeonly": CacheMode(reads=False, writes=True),
}


def cache_mode(incoming: Incoming) -> CacheMode | None:
    """Return what `op-cache` asks for, None if nothing."""
    return _CACHE_MODES.get((incoming.cache or b"").strip().lower())


def refuse_unsupported(incoming: Incoming) -> None:
    """Raise BadRequest for a control header that asks for what a route cannot do."""
    if cache_mode(incoming) is not None:
        raise BadRequest(
            f"op-cache: {_shown(incoming.cache or b'')}: only chat completions are cached; leave "
            "the header out",
            param="op-cache",
        )
    refuse_criteria(incoming)


def refuse_criteria(incoming: Incoming) -> None:
    """Raise BadRequest for a call that asks to be judged."""
    if incoming.criteria is not None and incoming.criteria.strip() not in (b"", b"[]"):
        raise BadRequest(
            "op-criteria: only answers of chat completions and messages are judged; leave the "
            "header out",
            param="op-criteria",
        )


def text(value: bytes | None) -> str | None:
    """Return a header's text as a record keeps it."""
    return None if value is None else value[:KEPT].decode("latin-1")


def retry_count(incoming: Incoming) -> int | None:
    """Return how often the client says it has tried before, None if it says nothing usable."""
    value = incoming.retry_count or b""
    return int(value) if value.isdigit() and len(value) < 4 else None


def _shown(value: bytes) -> str:
    return repr(value[:60].decode("latin-1"))
