"""`modalities: ["text", "audio"]` for a model that only writes: its text is spoken here.

A stream has the transcript as it is written, and the sound of each sentence when that is whole:
raw samples and wav as they are made, the other formats, whose files are one piece, at the end.
"""

from __future__ import annotations

import base64
import struct
import time
from collections.abc import Iterator
from typing import Any

from standpipe.calls.emulation.audio_ids import id_of
from standpipe.calls.emulation.sentences import Sentences, split
from standpipe.calls.emulation.source import Emit, Make
from standpipe.calls.emulation.speech import Speech
from standpipe.errors import BadRequest

Json = dict[str, Any]

#: Seconds for which an answer says that it can be referred to; its id works for longer.
KEPT = 24 * 3600
#: Samples a second.
RATE = 24_000
#: Longest piece of sound in a stream, in characters of base64.
PIECE = 64 * 1024

#: The head of a wav file whose length nobody knows yet. Two bytes of nothing make its length a
#: multiple of three, so that its base64 and that of the samples can be joined.
_UNKNOWN = 0xFFFF_FFFF
_WAV = (
    struct.pack("<4sI4s", b"RIFF", _UNKNOWN, b"WAVE")
    + struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, RATE * 2, 2, 16)
    + struct.pack("<4sI2s", b"JUNK", 2, b"")
    + struct.pack("<4sI", b"data", _UNKNOWN)
)
#: What a stream of a format begins with, for those that need not wait for the end.
STREAMED = {"pcm16": "", "wav": base64.b64encode(_WAV).decode()}


class Spoken:
    """Answers whose text is spoken."""

    def __init__(self, make: Make, speech: Speech, body: Json) -> None:
        if body.get("audio") is None:
            raise BadRequest('audio: is required when modalities has "audio"', param="audio")
        self._make = make
        self._speech = speech
        self._form = str(body["audio"]["format"])
        self._body = {name: body[name] for name in body if name not in ("modalities", "audio")}

    async def whole(self) -> Json:
        """Return the completion, with `audio` in the place of its content."""
        self._speech.check("modalities")
        answer = await self._make(self._body).whole()
        return {**answer, "choices": [await self._choice(each) for each in answer["choices"]]}

    async def stream(self, emit: Emit) -> None:
        """Emit the chunks, with `audio` in the place of content."""
        self._speech.check("modalities")
        retelling = _Retelling(self._speech, self._form, emit)
        await self._make(self._body).stream(retelling.take)
        await retelling.close()

    async def _choice(self, choice: Json) -> Json:
        message = choice["message"]
        text = message.get("content")
        if not isinstance(text, str) or not text:
            return choice
        data = await self._speech.speak(split(text), self._form)
        audio = {**_named(text), "data": data, "transcript": text}
        return {**choice, "message": {**message, "content": None, "audio": audio}}


def _named(transcript: str) -> Json:
    return {"id": id_of(transcript), "expires_at": int(time.time()) + KEPT}


class _Retelling:
    """Tells a stream again, choice by choice."""

    def __init__(self, speech: Speech, form: str, emit: Emit) -> None:
        self._speech = speech
        self._form = form
        self._emit = emit
        self._frame: Json = {}
        self._choices: dict[int, _Choice] = {}

    async def take(self, chunks: list[Json]) -> None:
        """Emit some chunks, and what there is to hear by then."""
        for chunk in chunks:
            self._frame = {name: chunk[name] for name in chunk if name != "choices"}
            if not chunk.get("choices"):
                await self._emit([chunk])
            for piece in chunk.get("choices") or ():
                await self._piece(piece)

    async def close(self) -> None:
        """Emit what is still to be heard where a choice was left without an end."""
        for index, choice in self._choices.items():
            await self._end(index, choice)

    async def _piece(self, piece: Json) -> None:
        index = piece.get("index", 0)
        choice = self._choices.setdefault(index, _Choice(self._speech, self._form))
        text, delta = _told(piece)
        ends = piece.get("finish_reason")
        if delta or not ends:
            await self._emit([self._chunk({**piece, "delta": delta, "finish_reason": None})])
            piece = {**piece, "logprobs": None}
        if text:
            await self._sound(index, await choice.feed(text))
        if ends:
            await self._end(index, choice)
            await self._emit([self._chunk({**piece, "delta": {}})])

    async def _end(self, index: int, choice: _Choice) -> None:
        await self._sound(index, await choice.close())
        # Of the end only the expiry is told, as OpenAI's last piece has it.
        for name, value in choice.named().items():
            await self._emit([self._chunk(_audio(index, {name: value}))])

    async def _sound(self, index: int, data: str) -> None:
        for piece in _cut(data):
            await self._emit([self._chunk(_audio(index, {"data": piece}))])

    def _chunk(self, piece: Json) -> Json:
        return {**self._frame, "choices": [piece]}


class _Choice:
    """What was said in one choice, and how much of it was heard."""

    def __init__(self, speech: Speech, form: str) -> None:
        self._speech = speech
        self._form = form
        self._sentences = Sentences()
        self._said: list[str] = []
        self._is_open = False
        self._is_ended = False

    async def feed(self, text: str) -> str:
        """Return the sound that there is to hear now."""
        self._said.append(text)
        return await self._spoken(self._sentences.feed(text))

    async def close(self) -> str:
        """Return the rest of the sound; "" where nothing was said, or all was heard."""
        if self._is_ended or not self._said:
            return ""
        if self._form not in STREAMED:
            return await self._speech.speak(split("".join(self._said)), self._form)
        return await self._spoken(self._sentences.close()) or self._opening()

    def named(self) -> Json:
        """Return the id and the expiry of what was said, once; {} where nothing was."""
        if self._is_ended or not self._said:
            return {}
        self._is_ended = True
        return _named("".join(self._said))

    async def _spoken(self, sentences: list[str]) -> str:
        if not sentences or self._form not in STREAMED:
            return ""
        return self._opening() + await self._speech.speak(sentences, "pcm16")

    def _opening(self) -> str:
        opening = "" if self._is_open else STREAMED[self._form]
        self._is_open = True
        return opening


def _told(piece: Json) -> tuple[str, Json]:
    """Return the text of a piece, and its delta with the text as a transcript."""
    delta = dict(piece.get("delta") or {})
    text = delta.pop("content", None)
    if not isinstance(text, str) or not text:
        return "", delta
    return text, {**delta, "audio": {"transcript": text}}


def _audio(index: int, audio: Json) -> Json:
    delta = {"audio": audio}
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}


def _cut(data: str) -> Iterator[str]:
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]
