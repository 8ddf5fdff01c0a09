"""Images, documents and sounds of a message, from OpenAI's form into Converse's blocks. Pure."""

from __future__ import annotations

import re
from typing import Any

from standpipe.providers.anthropic.messages import bad
from standpipe.wire.checks import Path, shown

Json = dict[str, Any]

_IMAGES = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    _WORD: "docx",
    "application/vnd.ms-excel": "xls",
    _SHEET: "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
#: Endings of a file's name that are not the format's own.
_ENDINGS = {"htm": "html", "markdown": "md", "text": "txt"}
_FORMATS = tuple(_DOCUMENTS.values())
#: OpenAI's names of formats, and those that others take, to Converse's.
_AUDIO = {
    "wav": "wav", "mp3": "mp3", "flac": "flac", "opus": "opus", "pcm16": "pcm", "ogg": "ogg",
    "aac": "aac", "m4a": "m4a", "webm": "webm",
}  # fmt: skip
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w-]+=[^;,]*)*;base64,", re.ASCII)
#: What a document's name cannot have, runs of spaces among it.
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9\-()\[\]]+")
_LONGEST_NAME = 190  # of 200: two of one name are numbered
_NAMELESS = "document"


def image(said: Json, path: Path) -> Json:
    """Return an image block; BadRequest for what is not inline or of another format."""
    kind, data = _inline(said["url"], (*path, "url"))
    if kind not in _IMAGES:
        raise bad((*path, "url"), f"images of type {kind} are not taken; png, jpeg, gif, webp are")
    return {"image": {"format": _IMAGES[kind], "source": {"bytes": data}}}


def document(said: Json, path: Path) -> Json:
    """Return a document block; `file_id` may be the `s3://` URI of one."""
    data, stored, name = said.get("file_data"), said.get("file_id"), said.get("filename")
    source: Json
    if isinstance(data, str):
        kind, content = _inline(data, path) if data.startswith("data:") else ("", data)
        source = {"bytes": content}
    elif isinstance(stored, str) and stored.startswith("s3://"):
        kind, source = "", {"s3Location": {"uri": stored}}
        name = name or stored.rpartition("/")[2]
    else:
        raise bad(path, "needs file_data, or the s3:// URI of a file in file_id")
    name = name if isinstance(name, str) else ""
    form = _DOCUMENTS.get(kind) or _ending(name) or ("" if kind or name else "pdf")
    if form not in _FORMATS:
        allowed = ", ".join(_FORMATS)
        raise bad(path, f"files of type {shown(kind or name)} are not taken; {allowed} are")
    return {"document": {"format": form, "name": _name(name), "source": source}}


def audio(said: Json, path: Path) -> Json:
    """Return an audio block."""
    kind = _AUDIO.get(said["format"])
    if kind is None:
        allowed = ", ".join(_AUDIO)
        raise bad((*path, "format"), f"{shown(said['format'])} is not taken; {allowed} are")
    return {"audio": {"format": kind, "source": {"bytes": said["data"]}}}


def _ending(name: str) -> str:
    ending = name.rpartition(".")[2].lower()
    return _ENDINGS.get(ending, ending)


def _inline(url: str, path: Path) -> tuple[str, str]:
    """Return media type and base64 data of a data URL."""
    found = _DATA_URL.match(url)
    if found is None:
        raise bad(path, "must be a data URL in base64 for this provider")
    return (found[1] or "text/plain").lower(), url[found.end() :]


def _name(filename: str) -> str:
    """Return a name of the characters that Bedrock takes, without its ending."""
    stem = filename.rpartition(".")[0] or filename
    return _NOT_IN_NAMES.sub(" ", stem).strip()[:_LONGEST_NAME].strip() or _NAMELESS
