"""A long conversation of an agent with its tools, as its provider gets it: the same every time."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

_SOUNDS = ("ba", "con", "de", "fi", "gra", "lo", "mer", "ni", "po", "qui", "ra", "sta", "tu", "ver")
_TOOLS = ("read_file", "write_file", "search", "run_tests", "list_folder", "fetch_page")


class Agent:
    """Speaks words of a made-up language, some of them far more often than others."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._words = [
            "".join(self._chance.choices(_SOUNDS, k=self._chance.choice((1, 2, 2, 3, 3, 4))))
            for _ in range(4_000)
        ]
        self._sums = list(accumulate(1 / (rank + 3) for rank in range(len(self._words))))

    def calls(self, turns: int) -> Iterator[tuple[str, str]]:
        """Yield the request and the response of each turn, each request with all the history."""
        tools = [self._tool(name) for name in _TOOLS]
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": self._text(2_000)},
            {"role": "user", "content": self._text(600)},
        ]
        for turn in range(turns):
            request = {"model": "gpt-4o", "temperature": 0.2, "tools": tools, "messages": messages}
            answer = self._answer(turn)
            yield json.dumps(request), json.dumps(self._completion(turn, answer))
            messages += [answer, *self._results(answer)]
            if turn % 10 == 9:
                messages.append({"role": "user", "content": self._text(300)})

    def _answer(self, turn: int) -> dict[str, Any]:
        called = [
            {
                "id": f"call_{self._chance.getrandbits(96):024x}",
                "type": "function",
                "function": {
                    "name": self._chance.choice(_TOOLS),
                    "arguments": json.dumps({"path": self._text(40), "reason": self._text(80)}),
                },
            }
            for _ in range(1 + turn % 2)
        ]
        return {"role": "assistant", "content": self._text(200), "tool_calls": called}

    def _results(self, answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for called in answer["tool_calls"]:
            text = self._text(self._chance.choice((100, 400, 1_500, 4_000)))
            yield {"role": "tool", "tool_call_id": called["id"], "content": text}

    def _completion(self, turn: int, answer: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self._chance.getrandbits(120):030x}",
            "object": "chat.completion",
            "created": 1_750_000_000 + turn,
            "model": "gpt-4o-2024-08-06",
            "choices": [{"index": 0, "message": answer, "finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 900 * turn, "completion_tokens": 90, "total_tokens": 1},
        }

    def _tool(self, name: str) -> dict[str, Any]:
        fields = {
            self._text(8): {"type": "string", "description": self._text(120)} for _ in range(3)
        }
        parameters = {"type": "object", "properties": fields}
        function = {"name": name, "description": self._text(250), "parameters": parameters}
        return {"type": "function", "function": function}

    def _text(self, length: int) -> str:
        words = self._chance.choices(self._words, cum_weights=self._sums, k=1 + length // 6)
        return " ".join(words)
