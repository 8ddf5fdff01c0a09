"""What is judged: an answer, and what it answers."""

from __future__ import annotations

from typing import Any

import msgspec

Json = dict[str, Any]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of a model, with the request's parts that a judge may see."""

    #: The assistant's message.
    output: Json
    messages: list[Json] = []
    tools: list[Json] = []
    tool_choice: Any = None

    @property
    def text(self) -> str:
        """The answer's text; of one that has none and calls a tool, the first call's arguments."""
        content = self.output.get("content")
        if isinstance(content, list):
            content = "".join(_text(part) for part in content)
        return content if isinstance(content, str) and content else self._arguments()

    def _arguments(self) -> str:
        calls = self.output.get("tool_calls") or [{"function": self.output.get("function_call")}]
        first = calls[0] if isinstance(calls, list) else None
        function = first.get("function") if isinstance(first, dict) else None
        arguments = function.get("arguments") if isinstance(function, dict) else None
        return arguments if isinstance(arguments, str) else ""


def _text(part: Any) -> str:
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""
