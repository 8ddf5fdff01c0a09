"""By which name an answer is kept: a hash of all that can change it."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from standpipe.calls import incoming as control
from standpipe.calls.call import Call
from standpipe.calls.dispatch import Dispatch
from standpipe.wire.chat import ChatRequest

#: What of a request changes no answer.
_NOT_ASKED = ("metadata", "store", "user", "stream", "stream_options", "criteria")
#: Of the form of what is hashed.
_FORM = 1
#: Models of which it is remembered where they lead, at most: a provider may have any names.
_MOST = 1024

#: The very words of a call: its project, its body, and the headers that may change its answer.
Asked = tuple[str, bytes, bytes | None, bytes | None, bytes | None]

_encoder = msgspec.json.Encoder(order="sorted")


def asked_of(call: Call) -> Asked:
    """Return what a call asks, word for word; those who ask the same have the same key."""
    incoming = call.incoming
    words = (incoming.fallback, incoming.fidelity, incoming.tags)
    return (call.caller.project, call.body, *words)


class Keys:
    """Makes the keys of a worker's calls."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        #: By model, where all of its calls lead; not of those whose callers have a say in it.
        self._places: dict[str, bytes] = {}

    def of(self, call: Call, request: ChatRequest) -> bytes:
        """Return the hash of what is asked.

        Raises NotFound or BadRequest for a model that leads nowhere.
        """
        places = None if call.incoming.fallback else self._places.get(request.model)
        if places is None:
            places = self._found(call, request.model)
        best_effort = control.wants_best_effort(call.incoming)
        asked = (_FORM, call.caller.project, best_effort, _fields(request, call.body))
        return hashlib.sha256(places + _encoder.encode(asked)).digest()

    def _found(self, call: Call, model: str) -> bytes:
        """Return where a call leads, and the values that choose among its targets."""
        targets = self._dispatch.targets(model, call.incoming)
        sticky = self._dispatch.sticky(model, call)
        found = [(target.provider, target.model, target.parameters) for target in targets]
        places = _encoder.encode((found, sticky))
        if not (call.incoming.fallback or sticky) and len(self._places) < _MOST:
            self._places[model] = places
        return places


def _fields(request: ChatRequest, body: bytes) -> dict[str, Any]:
    """Return what is asked, so that spaces and the order of names do not matter."""
    try:
        values: dict[str, Any] = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):  # such as a number that nothing holds
        values = {name: _value(raw) for name, raw in request.fields.items()}
    for name in _NOT_ASKED:
        values.pop(name, None)
    return values


def _value(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return raw
