"""What is done for each feature that a provider's table calls emulated.

A feature without a line here is emulated by the dialect itself, in how it puts the request.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from standpipe.calls.emulation import audio_ids, fields, first_call, functions, replay, stops
from standpipe.calls.emulation.checked import Checked
from standpipe.calls.emulation.edits import Edit
from standpipe.calls.emulation.heard import Heard
from standpipe.calls.emulation.means import Means
from standpipe.calls.emulation.several import Several
from standpipe.calls.emulation.source import Make, Once, Source, Tries
from standpipe.calls.emulation.spoken import Spoken
from standpipe.providers.fidelity import Plan
from standpipe.wire import chat
from standpipe.wire.chat import ChatRequest

Json = dict[str, Any]


class Rewrite(msgspec.Struct, frozen=True):
    """A request put otherwise, and what its answer owes in return."""

    request: Callable[[Json], Json]
    #: Given the request as it came, returns what makes the edit of each choice.
    edit: Callable[[Json], Callable[[], Edit] | None] = lambda _: None


_FUNCTIONS = Rewrite(functions.as_tools, functions.owed)

#: In the order in which they are done; one that several features share is done once.
REWRITES: Mapping[str, Rewrite] = {
    "functions": _FUNCTIONS,
    "function_call:none": _FUNCTIONS,
    "function_call:name": _FUNCTIONS,
    "role:function": _FUNCTIONS,
    "role:developer": Rewrite(fields.developer_as_system),
    "message.name": Rewrite(fields.names_as_text),
    "message.audio": Rewrite(audio_ids.as_text),
    "max_tokens": Rewrite(fields.renamed("max_tokens", "max_completion_tokens")),
    "max_completion_tokens": Rewrite(fields.renamed("max_completion_tokens", "max_tokens")),
    "parallel_tool_calls:false": Rewrite(first_call.without_field, lambda _: first_call.FirstCall),
    "stop>4": Rewrite(stops.first_four, stops.cutter),
}


def _checked(make: Make, tries: Tries, means: Means) -> Make:
    return lambda body: Checked(make, tries, means.checker, body)


def _several(make: Make, tries: Tries, means: Means) -> Make:
    del tries, means
    return lambda body: Several(make, body)


def _replayed(make: Make, tries: Tries, means: Means) -> Make:
    del tries, means
    return lambda body: replay.Replayed(make(body))


def _spoken(make: Make, tries: Tries, means: Means) -> Make:
    del tries
    return lambda body: Spoken(make, means.speech, body)


def _heard(make: Make, tries: Tries, means: Means) -> Make:
    del tries
    return lambda body: Heard(make, means.speech, body)


#: How the sources of answers are put into one another, the innermost first.
WRAPPERS: Mapping[str, Callable[[Make, Tries, Means], Make]] = {
    "stream": _replayed,
    "response_format:json_object": _checked,
    "response_format:json_schema": _checked,
    "n>1": _several,
    "modalities:audio": _spoken,
    "content:input_audio": _heard,
}

#: Of these each choice is looked after by itself, also where the provider gives several.
_ONE_BY_ONE = ("response_format:json_object", "response_format:json_schema")


class Emulation:
    """What is to be done for one call."""

    def __init__(self, plan: Plan) -> None:
        body = _body(plan.request)
        #: As the caller asked, but for what was dropped.
        self.asked = plan.request
        plan = _with_several(plan)
        #: What the caller is told.
        self.noted = plan.noted()
        self._makers: list[Callable[[], Edit]] = []
        rewrites = {REWRITES[name]: None for name in REWRITES if name in plan.emulated}
        self._wrappers = [WRAPPERS[name] for name in WRAPPERS if name in plan.emulated]
        self._body = functools.reduce(self._rewritten, rewrites, body)

    @property
    def plain(self) -> bool:
        """Tell whether the answer needs no work: the request alone was put otherwise."""
        return not self._makers and not self._wrappers

    def request(self) -> ChatRequest:
        """Return the request as it is put otherwise."""
        return chat.parse(msgspec.json.encode(self._body))

    def source(self, tries: Tries, means: Means) -> Source:
        """Return where the answer comes from."""
        make: Make = functools.partial(Once, tries, self._makers)
        for wrap in self._wrappers:
            make = wrap(make, tries, means)
        return make(self._body)

    def _rewritten(self, body: Json, rewrite: Rewrite) -> Json:
        owed = rewrite.edit(body)
        if owed is not None:
            self._makers.append(owed)
        return rewrite.request(body)


def _with_several(plan: Plan) -> Plan:
    if plan.request.n == 1 or not set(_ONE_BY_ONE).intersection(plan.emulated):
        return plan
    emulated = dict.fromkeys((*plan.emulated, "n>1"))
    return msgspec.structs.replace(plan, emulated=tuple(emulated))


def _body(request: ChatRequest) -> Json:
    """Return the request: known fields decoded, without those that are null; the others raw."""
    known = request.values
    kept = (name for name in request.fields if name in known or name not in chat.FIELDS)
    return {name: known.get(name, request.fields[name]) for name in kept}
