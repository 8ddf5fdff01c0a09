"""The way to the engines that speak and hear, in a process of their own on this machine."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from standpipe.calls.attempts import ANSWER_LIMIT
from standpipe.errors import BadRequest, Cut, Silent, Unavailable, Unreachable
from standpipe.upstream.transport import Request, Transport

Json = dict[str, Any]

#: Recordings whose words are remembered: a conversation sends its earlier ones with every turn.
REMEMBERED = 256
#: What its one voice is called.
VOICE = "heart"


class Speech(Protocol):
    """Speaks and hears."""

    def check(self, path: str) -> None:
        """Raise BadRequest naming the field at `path` where there are no engines."""

    async def speak(self, texts: Sequence[str], form: str) -> str:
        """Return a sound file of all texts, in base64.

        Of `pcm16` such files can be joined, without decoding them. Raises Unavailable.
        """

    async def hear(self, data: str, form: str, path: str) -> str:
        """Return what is said in a recording in base64, "" for nothing.

        Raises Unavailable, and BadRequest naming `path` for what cannot be read as `form`.
        """

    async def close(self) -> None:
        """Close the connections to the engines."""


class Silence:
    """Stands where the engines would be, and says what is missing."""

    def __init__(self, missing: str) -> None:
        self._missing = missing

    def check(self, path: str) -> None:
        """Raise BadRequest."""
        raise BadRequest(f"{path}: {self._missing}", param=path)

    async def speak(self, texts: Sequence[str], form: str) -> str:
        """Raise Unavailable: nobody has checked."""
        del texts, form
        raise Unavailable(self._missing)

    async def hear(self, data: str, form: str, path: str) -> str:
        """Raise BadRequest."""
        del data, form
        raise BadRequest(f"{path}: {self._missing}", param=path)

    async def close(self) -> None:
        """Do nothing."""


class Engines:
    """The engines of `standpipe.engine.extras`."""

    def __init__(self, transport: Transport, key: str) -> None:
        self._transport = transport
        self._headers = (
            (b"content-type", b"application/json"),
            (b"authorization", b"Bearer " + key.encode()),
        )
        self._heard: OrderedDict[bytes, str] = OrderedDict()

    def check(self, path: str) -> None:
        """Do nothing: they are there."""

    async def speak(self, texts: Sequence[str], form: str) -> str:
        """Return a sound file of all texts, in base64."""
        data: str = (await self._ask("/speech", {"texts": texts, "format": form}, "audio"))["data"]
        return data

    async def hear(self, data: str, form: str, path: str) -> str:
        """Return what is said in a recording."""
        digest = hashlib.sha256(f"{form} {data}".encode()).digest()
        text = self._heard.get(digest)
        if text is None:
            asked = {"data": data, "format": form}
            text = str((await self._ask("/transcriptions", asked, path))["text"])
        self._heard[digest] = text
        self._heard.move_to_end(digest)
        if len(self._heard) > REMEMBERED:
            self._heard.popitem(last=False)
        return text

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def _ask(self, path: str, body: Json, field: str) -> Json:
        request = Request("POST", path, self._headers, msgspec.json.encode(body))
        try:
            with await self._transport.send(request) as answer:
                raw = await answer.body(ANSWER_LIMIT)
        except (Unreachable, Cut, Silent) as error:
            raise Unavailable(
                "the speech engine is down and is being restarted; try again"
            ) from error
        said: Json = msgspec.json.decode(raw) if answer.status in (200, 400) else {}
        if answer.status == 400:
            raise BadRequest(f"{field}: {said['message']}", param=field)
        if answer.status != 200:
            raise Unavailable(f"the speech engine answered {answer.status}; try again")
        return said
