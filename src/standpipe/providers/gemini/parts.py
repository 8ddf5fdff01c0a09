"""The parts of a message: OpenAI's content parts as Gemini's. Pure.

https://ai.google.dev/gemini-api/docs/file-input-methods (seen 2026-11-23): data goes inline, an
https URL as `fileData`, which Gemini fetches.
"""

from __future__ import annotations

import mimetypes
import re
from typing import Any
from urllib.parse import urlsplit

from standpipe.errors import BadRequest

Json = dict[str, Any]

#: https://ai.google.dev/gemini-api/docs/audio (seen 2026-11-23), and the raw forms that Google's
#: list for the same models has: https://firebase.google.com/docs/ai-logic/input-file-requirements.
AUDIO = {
    "wav": "audio/wav",
    "mp3": "audio/mp3",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "m4a": "audio/m4a",
    "webm": "audio/webm",
    "opus": "audio/opus",
    "pcm16": "audio/pcm",
}

_DATA_URL = re.compile(r"data:(?P<mime>[\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,")
_FETCHED = ("https", "http", "gs")


def texts(content: Any) -> list[str]:
    """Return the texts of a message's content."""
    if isinstance(content, list):
        return [part.get("text") or part.get("refusal") or "" for part in content]
    return [content] if content else []


def signature(owner: Json) -> str | None:
    """Return the thought signature that a message or a tool call brings back, if it has one.

    In the place where Google's own compatible API has it, so that its clients keep it.
    """
    google = owner.get("extra_content")
    for name in ("google", "thought_signature"):
        google = google.get(name) if isinstance(google, dict) else None
    return google if isinstance(google, str) else None


def signed(sign: str) -> Json:
    """Return the fields of a message or tool call that carry a thought signature."""
    return {"extra_content": {"google": {"thought_signature": sign}}}


def drawn(message: Json) -> list[Json]:
    """Return the images of an earlier answer, which has them where our own answers do."""
    images = message.get("images")
    found = []
    for image in images if isinstance(images, list) else ():
        held = image.get("image_url") if isinstance(image, dict) else None
        url = held.get("url") if isinstance(held, dict) else None
        inline = _inline(url, "image/png") if isinstance(url, str) else None
        found += [inline] if inline else []
    return found


def media(part: Json, path: str) -> Json:
    """Return a part of a user's message; BadRequest for one that Gemini does not take."""
    kind = part.get("type")
    if kind == "text":
        return {"text": part["text"]}
    if kind == "image_url":
        return _at(part["image_url"]["url"], f"{path}.image_url.url")
    if kind == "input_audio":
        return _audio(part["input_audio"], f"{path}.input_audio.format")
    if kind == "file":
        return _file(part["file"], f"{path}.file")
    raise _no(f"{path}.type", f"content of type {str(kind)[:60]!r}")


def _audio(audio: Json, path: str) -> Json:
    mime = AUDIO.get(audio["format"])
    if mime is None:
        raise _no(path, f"audio in the format {audio['format']!r}")
    inline = _inline(audio["data"], mime)
    return inline or {"inlineData": {"mimeType": mime, "data": audio["data"]}}


def _file(file: Json, path: str) -> Json:
    name = file.get("filename")
    guessed = mimetypes.guess_type(name)[0] if isinstance(name, str) else None
    data, uploaded = file.get("file_data"), file.get("file_id")
    if isinstance(data, str):
        mime = guessed or "application/pdf"
        return _inline(data, mime) or {"inlineData": {"mimeType": mime, "data": data}}
    if isinstance(uploaded, str) and urlsplit(uploaded).scheme in _FETCHED:
        return _fetched(uploaded, guessed)
    raise _no(path, "a file that is neither in file_data nor, by its URI, in file_id")


def _at(url: str, path: str) -> Json:
    if inline := _inline(url, "image/png"):
        return inline
    if urlsplit(url).scheme not in _FETCHED:
        raise _no(path, "an image that is neither a base64 data URL nor an https URL")
    return _fetched(url, None)


def _inline(url: str, default: str) -> Json | None:
    found = _DATA_URL.match(url)
    if found is None:
        return None
    return {"inlineData": {"mimeType": found["mime"] or default, "data": url[found.end() :]}}


def _fetched(url: str, mime: str | None) -> Json:
    mime = mime or mimetypes.guess_type(urlsplit(url).path)[0]
    return {"fileData": {"fileUri": url} | ({"mimeType": mime} if mime else {})}


def _no(param: str, what: str) -> BadRequest:
    return BadRequest(f"{param}: Gemini does not take {what}", param=param)
