"""Calls as a busy project makes them, made up: frames for a spool, quickly and always the same.

Texts are made of words that are drawn as a language's are, the common ones often, so that they
compress about as texts do. Nothing of it was ever said.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import msgspec

from standpipe.wire.record import Attempt, Begin, Record, encode

DAYS = 30
#: Providers and their models; the names are in the price table.
MODELS = (
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4o"),
    ("openai", "gpt-4.1"),
    ("anthropic", "claude-3-5-haiku-latest"),
    ("anthropic", "claude-sonnet-4-0"),
    ("gemini", "gemini-2.0-flash"),
    ("mistral", "mistral-small-latest"),
    ("groq", "llama-3.3-70b-versatile"),
)
KEYS = 20
#: What one call in so many has under a name of metadata; usage is summed up by the first.
TEAM, PROMPT = "team", "prompt_id"
LABELS = {TEAM: 20, PROMPT: 200, "user": 50_000}
#: One call in so many has a prompt's name; the others have none under it.
NAMED = 10
PROMPTS = 200
#: One call in so many is a turn of a conversation of so many turns.
TALKING = 10
TURNS = 10
#: Bytes of text: of a prompt of the system's, of a question, of an answer.
SYSTEM, ASKED, TURN, SAID = 560, 600, 200, 180
#: Characters of a piece of a stream.
PIECE = 5

_US = 1_000_000
_encode = msgspec.json.encode


def key_of(chance: random.Random) -> str:
    """Return one of the keys that call."""
    return f"key{chance.randrange(KEYS):07}"


def value_of(name: str, chance: random.Random) -> str:
    """Return one of the values that a name of metadata has."""
    values = LABELS[name] // NAMED if name == PROMPT else LABELS[name]
    return f"{name}-{chance.randrange(values)}"


class Traffic:
    """So many calls of a project, spread evenly over the last thirty days.

    With `streamed`, every answer is a stream.
    """

    def __init__(self, project: str, calls: int, *, streamed: bool = False) -> None:
        self.project = project
        self.calls = calls
        #: Microseconds since the Unix epoch, both.
        self.end = time.time_ns() // 1000
        self.begin = self.end - DAYS * 24 * 3600 * _US
        self._step = (self.end - self.begin) // calls
        self._streamed = streamed
        self._chance = random.Random(7)
        self._text = _prose(self._chance, 1 << 20)
        self._systems = [self._words(SYSTEM) for _ in range(PROMPTS)]
        self._talks: list[list[dict[str, str]]] = []

    def frames(self) -> Iterator[bytes]:
        """Yield the payloads, the oldest call first."""
        for number in range(self.calls):
            yield from self._call(number, self.begin + number * self._step)

    def _call(self, number: int, at: int) -> Iterator[bytes]:
        chance = self._chance
        provider, model = MODELS[min(int(chance.expovariate(0.5)), len(MODELS) - 1)]
        names = [name for name in LABELS if name != PROMPT or number % NAMED == 1]
        labels = {name: value_of(name, chance) for name in names}
        failed = chance.random() < 0.03
        took = 400_000 + chance.randrange(2_000_000)
        common: dict[str, Any] = {
            "id": _id(chance, at),
            "project": self.project,
            "key": key_of(chance),
            "requested_at": at,
            "model": model,
            "provider": provider,
            "metadata": labels,
            "logged": True,
            "user_agent": "OpenAI/Python 1.99.1",
            "request": _encode(self._request(number, model)),
            "kind": "chat",
        }
        answer = f"chatcmpl-{chance.getrandbits(116):029x}"
        form = "json" if failed or not self._streamed else "sse"
        if form == "sse":
            yield encode(Begin(**common, completion_id=answer))
        yield encode(
            Record(
                **common,
                received_at=at + took,
                first_byte_at=at + took // 2,
                outcome="failed" if failed else "complete",
                status=502 if failed else 200,
                streamed=form == "sse",
                attempts=(
                    Attempt(provider, model, at + 900, 502 if failed else 200, None, 350_000),
                ),
                response=self._failure() if failed else self._answer(answer, model, at, form),
                response_form="sse" if form == "sse" else "json",
            )
        )

    def _request(self, number: int, model: str) -> dict[str, Any]:
        chance = self._chance
        if number % TALKING:
            system = {"role": "system", "content": chance.choice(self._systems)}
            asked = {"role": "user", "content": self._words(ASKED)}
            messages = [system, asked]
        else:
            messages = self._turn()
        return {
            "model": model,
            "messages": messages,
            "temperature": 0.2,
            "max_tokens": 512,
            "stream": self._streamed,
            "store": True,
        }

    def _turn(self) -> list[dict[str, str]]:
        """Return the messages of the next turn of one of the conversations under way."""
        chance = self._chance
        if len(self._talks) < 100:
            self._talks.append([{"role": "system", "content": chance.choice(self._systems)}])
        at = chance.randrange(len(self._talks))
        talk = self._talks[at]
        if len(talk) > 1:
            talk.append({"role": "assistant", "content": self._words(TURN)})
        talk.append({"role": "user", "content": self._words(TURN)})
        if len(talk) >= 2 * TURNS:
            del self._talks[at]
        return talk

    def _answer(self, name: str, model: str, at: int, form: str) -> bytes:
        text = self._words(SAID)
        prompt, said = 300 + self._chance.randrange(64), 45 + self._chance.randrange(16)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": said,
            "total_tokens": prompt + said,
            "prompt_tokens_details": {"cached_tokens": 128, "audio_tokens": 0},
        }
        told: dict[str, Any] = {"id": name, "created": at // _US, "model": model}
        if form == "sse":
            return b"".join(_events(told, text, usage))
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        whole = {"object": "chat.completion", **told, "choices": [choice], "usage": usage}
        return _encode(whole)

    def _failure(self) -> bytes:
        return _encode({"error": {"message": "the provider is overloaded", "code": "BAD_GATEWAY"}})

    def _words(self, size: int) -> str:
        start = self._chance.randrange(len(self._text) - 2 * size)
        return self._text[start : start + size + self._chance.randrange(size // 2) - size // 4]


def _events(told: dict[str, Any], text: str, usage: dict[str, Any]) -> Iterator[bytes]:
    told = {"object": "chat.completion.chunk", **told}
    pieces = [{"content": text[at : at + PIECE]} for at in range(0, len(text), PIECE)]
    for delta in ({"role": "assistant", "content": ""}, *pieces):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        yield b"data: " + _encode({**told, "choices": [choice]}) + b"\n\n"
    last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    yield b"data: " + _encode({**told, "choices": [last]}) + b"\n\n"
    yield b"data: " + _encode({**told, "choices": [], "usage": usage}) + b"\n\ndata: [DONE]\n\n"


def _prose(chance: random.Random, size: int) -> str:
    """Return a text of made-up words, the n-th of which is n times as rare as the first."""
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in ("a", "e", "i", "o", "u", "en", "ar")]
    words = ["".join(chance.choices(syllables, k=chance.choice((1, 2, 2, 3)))) for _ in range(4000)]
    often = list(accumulate(1 / n for n in range(1, len(words) + 1)))
    return " ".join(chance.choices(words, cum_weights=often, k=size // 5))


def _id(chance: random.Random, at: int) -> str:
    """Return the UUIDv7 of a time; the clock cannot be asked for one of the past."""
    value = (at // 1000) << 80 | 0x7 << 76 | chance.getrandbits(12) << 64
    text = f"{value | 0b10 << 62 | chance.getrandbits(62):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
