"""One answer of the local model as it is written: its text, its calls, and whether it is right.

A grammar that the engine cannot read enforces nothing, and the engine says nothing of it; so an
answer that ends is looked at before anybody calls it a success. Pure.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from standpipe.providers.local import grammar as local_grammar
from standpipe.providers.local.calls import Arguments, Begin, Calls, Piece, Text
from standpipe.providers.local.check import fits
from standpipe.wire.chat import ChatRequest

Json = dict[str, Any]


class Wrong(ValueError):
    """The answer is not what the request wants of it; the message says how."""


class Written:
    """One choice of an answer."""

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._schema = local_grammar.schema(request)
        self._functions = {each["name"]: each for each in local_grammar.tools(request)}
        self._calls = Calls(self._functions) if self._functions else None
        self._is_kept = self._schema is not None or self._calls is not None
        self._text: list[str] = []
        self._called: list[tuple[str, list[str]]] = []

    def feed(self, text: str) -> list[Piece]:
        """Return what the next text of the model means."""
        return self._keep([Text(text)] if self._calls is None else self._calls.feed(text))

    def finish(self, reason: str) -> tuple[list[Piece], str]:
        """Return the last pieces and OpenAI's reason; raises Wrong."""
        pieces = self._keep(self._calls.close() if self._calls is not None else [])
        if reason != "stop":
            return pieces, reason
        self._check()
        return pieces, "tool_calls" if self._called else reason

    def _keep(self, pieces: list[Piece]) -> list[Piece]:
        for piece in pieces if self._is_kept else ():
            if isinstance(piece, Begin):
                self._called.append((piece.name, []))
            elif isinstance(piece, Arguments):
                self._called[piece.call][1].append(piece.text)
            elif self._schema is not None:
                self._text.append(piece.text)
        return pieces

    def _check(self) -> None:
        for name, pieces in self._called:
            self._check_call(name, "".join(pieces))
        if local_grammar.must_call(self._request) and not self._called:
            raise Wrong("the local model did not call a tool")
        if self._schema is not None and not self._called:
            value = _decoded("".join(self._text), "answer")
            if not fits(value, self._schema, self._schema):
                raise Wrong("the local model's answer is not valid against the schema")

    def _check_call(self, name: str, text: str) -> None:
        function = self._functions[name]
        arguments, wanted = _decoded(text, f"call of {name!r}"), function.get("parameters") or {}
        if not isinstance(arguments, dict):
            raise Wrong(f"the local model's call of {name!r} has arguments that are no object")
        if function.get("strict") is True and not fits(arguments, wanted, wanted):
            raise Wrong(f"the local model's call of {name!r} is not valid against its schema")


def _decoded(text: str, what: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Wrong(f"the local model's {what} is not JSON") from error


def call_id(completion_id: object, choice: int, call: int) -> str:
    """Return the id of a call, the same for the same call."""
    seed = f"{completion_id}/{choice}/{call}".encode()
    return f"call_{hashlib.sha256(seed).hexdigest()[:24]}"


def tokens(logprobs: Any, most: int) -> list[Json]:
    """Return the tokens of llama.cpp's logprobs as OpenAI puts them, with `most` alternatives."""
    entries = logprobs.get("content") if isinstance(logprobs, dict) else None
    return [
        {**_token(entry), "top_logprobs": [_token(o) for o in _others(entry)[:most]]}
        for entry in entries or ()
    ]


def _others(entry: Json) -> list[Json]:
    others: list[Json] = entry.get("top_logprobs") or []
    return others


def _token(entry: Json) -> Json:
    return {name: entry.get(name) for name in ("token", "logprob", "bytes")}
