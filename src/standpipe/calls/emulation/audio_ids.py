"""Ids of spoken answers, by which a later request refers to one: `audio: {"id"}`.

An id holds the answer's text, packed, so that it can be read on every node, after every restart,
and whether or not the call was logged.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any

from standpipe.errors import BadRequest

Json = dict[str, Any]

_PREFIX = "audio_"
#: Longest text of an id that came from outside, in bytes.
_LONGEST = 1 << 20


def id_of(transcript: str) -> str:
    """Return the id of a spoken answer."""
    packed = zlib.compress(transcript.encode(), 9)
    return _PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def transcript_of(identity: str) -> str | None:
    """Return what was said in the answer of an id; None for an id that is not ours."""
    packed = identity.removeprefix(_PREFIX)
    if packed == identity:
        return None
    unpacker = zlib.decompressobj()
    try:
        raw = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
        text = unpacker.decompress(raw, _LONGEST)
        return text.decode() if unpacker.eof else None
    except (binascii.Error, zlib.error, ValueError):
        return None


def as_text(body: Json) -> Json:
    """Return the request with the text of each earlier answer that it refers to.

    Raises BadRequest for an id of an answer that was not spoken here.
    """
    messages = [_as_text(message, index) for index, message in enumerate(body["messages"])]
    return {**body, "messages": messages}


def _as_text(message: Json, index: int) -> Json:
    audio = message.get("audio")
    if audio is None:
        return message
    path = f"messages[{index}].audio.id"
    text = transcript_of(audio.get("id") or "")
    if text is None:
        raise BadRequest(
            f"{path}: is not of an answer that was spoken here; send its transcript as `content`",
            param=path,
        )
    rest = {name: message[name] for name in message if name != "audio"}
    return {**rest, "content": message.get("content") or text}
