"""What an obliging provider says, whatever the form in which it is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import doubles

Json = dict[str, Any]

CONTENT = "Hello there, how can I help?"
#: Fits every schema that the clients' scenarios have.
PARIS, ROME = {"city": "Paris"}, {"city": "Rome"}
#: Tokens of every prompt and of every answer.
USAGE = (doubles.USAGE["prompt_tokens"], doubles.USAGE["completion_tokens"])


@dataclass(frozen=True)
class Call:
    """A tool's call."""

    id: str
    name: str
    arguments: Json


@dataclass(frozen=True)
class Wish:
    """What a request asks for, in any form."""

    #: Names of the tools that may be called.
    tools: list[str] = field(default_factory=list)
    #: A tool must be called, …
    is_forced: bool = False
    #: … or no more than one may.
    is_single: bool = False
    #: What tools have answered since the user last spoke.
    results: list[str] = field(default_factory=list)
    #: The answer is to be JSON.
    is_json: bool = False


def turn(wish: Wish) -> str | list[Call]:
    """Return what is said: words or calls.

    A tool is called while none has answered, and while one must be: then the next each time.
    """
    if wish.tools and wish.is_forced:
        name = wish.tools[min(len(wish.results), len(wish.tools) - 1)]
        return [Call(f"call_{len(wish.results)}", name, PARIS)]
    if wish.tools and not wish.results:
        cities = [PARIS] if wish.is_single else [PARIS, ROME]
        return [Call(f"call_{i}", wish.tools[0], city) for i, city in enumerate(cities)]
    if wish.is_json:
        return json.dumps(PARIS)
    return f"I hear: {'; '.join(wish.results)}" if wish.results else CONTENT


def need(condition: object, what: str) -> None:
    """Refuse a request where the condition does not hold."""
    assert condition, what


def pieces(text: str) -> list[str]:
    """Return a text in the pieces that a stream sends."""
    return [text[i : i + 7] for i in range(0, len(text), 7)]
