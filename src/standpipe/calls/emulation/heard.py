"""`input_audio` for a model that cannot hear: what is said stands in its place, as text."""

from __future__ import annotations

from typing import Any

from standpipe.calls.emulation.source import Emit, Make
from standpipe.calls.emulation.speech import Speech

Json = dict[str, Any]

#: Stands for a recording in which nobody speaks; some models refuse an empty text.
NOTHING = "(no speech)"


class Heard:
    """Answers to requests whose recordings are transcribed first."""

    def __init__(self, make: Make, speech: Speech, body: Json) -> None:
        self._make = make
        self._speech = speech
        self._body = body

    async def whole(self) -> Json:
        """Return the completion."""
        return await self._make(await self._as_text()).whole()

    async def stream(self, emit: Emit) -> None:
        """Emit the chunks."""
        await self._make(await self._as_text()).stream(emit)

    async def _as_text(self) -> Json:
        messages = [
            await self._message(message, f"messages[{index}]")
            for index, message in enumerate(self._body["messages"])
        ]
        return {**self._body, "messages": messages}

    async def _message(self, message: Json, path: str) -> Json:
        content = message.get("content")
        if not isinstance(content, list):
            return message
        parts = [
            await self._part(part, f"{path}.content[{place}].input_audio")
            for place, part in enumerate(content)
        ]
        return {**message, "content": parts}

    async def _part(self, part: Json, path: str) -> Json:
        if part["type"] != "input_audio":
            return part
        audio = part["input_audio"]
        text = await self._speech.hear(audio["data"], audio["format"], path)
        return {"type": "text", "text": text or NOTHING}
