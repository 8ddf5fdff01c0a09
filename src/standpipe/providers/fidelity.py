"""What becomes of each thing that a request asks for, at the provider that it goes to.

The table is data: a dialect's own, with what a provider's row says otherwise on top. Nothing that a
caller asked for is dropped in silence: it is native, it is emulated and the caller is told, or the
call is refused before anything is sent. A caller who wants it may have the refused fields dropped,
and is told which.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from standpipe.errors import BadRequest
from standpipe.providers.table import Provider
from standpipe.wire import chat
from standpipe.wire.chat import ChatRequest
from standpipe.wire.features import features

#: What leaves the request with a feature that is dropped. Others cannot be dropped without
#: changing what is asked, and are refused even then.
DROPPABLE: Mapping[str, tuple[str, ...]] = {
    "temperature>1": ("temperature",),
    "logprobs": ("logprobs", "top_logprobs"),
    "top_logprobs": ("top_logprobs",),
    "parallel_tool_calls:false": ("parallel_tool_calls",),
    **{
        name: (name,)
        for name in (
            "temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "logit_bias",
            "user", "reasoning_effort", "prediction", "service_tier", "verbosity",
        )
    },
}  # fmt: skip


class Plan(msgspec.Struct, frozen=True):
    """A request that its provider can answer, and what had to be done to it."""

    request: ChatRequest
    emulated: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    def noted(self) -> tuple[str, ...]:
        """Return what the caller is told, an entry a feature."""
        emulated = tuple(f"{name}=emulated" for name in self.emulated)
        return emulated + tuple(f"{name}=dropped" for name in self.dropped)


def plan(request: ChatRequest, provider: Provider, *, best_effort: bool) -> Plan:
    """Decide what becomes of each feature; BadRequest names one that is refused."""
    asked = features(request, provider.lacking) if provider.lacking else {}
    unknown = () if provider.dialect.passes_unknown else _unknown(request, provider)
    if not asked and not unknown:
        return Plan(request)
    emulated: list[str] = []
    dropped: dict[str, tuple[str, ...]] = {}
    for name, path in asked.items():
        word = provider.word(name)
        if word == "emulated":
            emulated.append(name)
        elif word == "refused":
            dropped[name] = _dropped(name, path, provider, best_effort=best_effort)
    for name in unknown:
        if not best_effort:
            raise _refusal(name, name, provider, may_drop=True)
        dropped[name] = (name,)
    fields = {field for fields in dropped.values() for field in fields}
    left = _without(request, fields) if fields else request
    return Plan(left, tuple(emulated), tuple(dropped))


def _dropped(name: str, path: str, provider: Provider, *, best_effort: bool) -> tuple[str, ...]:
    if not best_effort or name not in DROPPABLE:
        raise _refusal(name, path, provider, may_drop=name in DROPPABLE)
    return DROPPABLE[name]


def _unknown(request: ChatRequest, provider: Provider) -> list[str]:
    """Return the fields that a dialect which is not OpenAI's has no way to pass on."""
    own = provider.dialect.own_fields
    return [name for name in request.fields if name not in chat.FIELDS and name not in own]


def _without(request: ChatRequest, fields: set[str]) -> ChatRequest:
    return chat.parse(chat.rebuild(request, changes={}, without=fields))


def _refusal(name: str, path: str, provider: Provider, *, may_drop: bool) -> BadRequest:
    what = "" if path == name else f" ({name})"
    advice = ", or send `standpipe-fidelity: best-effort`" if may_drop else ""
    return BadRequest(
        f"{path}{what}: provider {provider.name!r} cannot honour it; "
        f"remove it, route the call to another provider{advice}",
        param=path,
    )
