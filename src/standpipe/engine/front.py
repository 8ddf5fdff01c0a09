"""The engine's one door: HTTP on the port that the supervisor chose, before llama.cpp's own.

A connection carries one request and one answer, so that who is connected is who is served: a
caller who leaves closes both ends, which frees the slot, and a model without connections is idle.
It turns a model's name into the numbers of its adapters, and knows two requests of its own:
`GET /standpipe` (what is loaded) and `PUT /standpipe/adapters` (a JSON object, path by name).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from standpipe.engine.llama import HOST, Config, Llama, LoadFailed
from standpipe.engine.model import Model

MAX_HEAD = 64 * 1024
MAX_BODY = 64 * 1024 * 1024
_PIECE = 64 * 1024
#: What the dialect writes for the token that ends a turn (`providers.local.grammar.END`).
_END = "end: <|im_end|>\n"

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_adapters = msgspec.json.Decoder(dict[str, str])


class Refused(Exception):
    """The request cannot be passed on."""

    def __init__(self, status: HTTPStatus, message: str, kind: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind


class Asked(msgspec.Struct, frozen=True):
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Front:
    """Serves one model."""

    def __init__(self, config: Config, model: Model) -> None:
        self._config = config
        self._model = model
        self._key = f"Bearer {config.key}".encode()

    async def listen(self) -> asyncio.Server:
        """Begin to serve; raises OSError where the port is taken."""
        return await asyncio.start_server(self._serve, HOST, self._config.port, limit=MAX_HEAD)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except Refused as error:
            said = {"message": error.message, "type": error.kind, "code": int(error.status)}
            await _reply(writer, error.status, {"error": said})
        except LoadFailed as error:
            said = {"message": str(error), "type": "unavailable_error", "code": 503}
            await _reply(writer, HTTPStatus.SERVICE_UNAVAILABLE, {"error": said})
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # the caller has left, llama.cpp has ended, or it was no request
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await _read(reader)
        given = asked.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, self._key):
            raise Refused(HTTPStatus.UNAUTHORIZED, "Invalid API Key", "authentication_error")
        if asked.path.startswith("/standpipe"):
            await _reply(writer, HTTPStatus.OK, await self._own(asked))
            return
        async with self._model.lease() as llama:
            body = self._body(asked, llama) if asked.path.startswith("/v1/") else asked.body
            await _relay(reader, writer, llama.port, _head(asked, len(body)) + body)

    async def _own(self, asked: Asked) -> object:
        if (asked.method, asked.path) == ("PUT", "/standpipe/adapters"):
            try:
                adapters = _adapters.decode(asked.body)
            except msgspec.DecodeError as error:
                raise Refused(HTTPStatus.BAD_REQUEST, str(error), "bad_request") from None
            await self._model.swap(adapters)
        return {
            "name": self._config.name,
            "loaded": self._model.is_loaded,
            "calls": self._model.calls,
            "adapters": self._model.adapters,
        }

    def _body(self, asked: Asked, llama: Llama) -> bytes:
        """Return the body as llama.cpp wants it: adapters by number, the end of a turn by token."""
        try:
            fields = _fields.decode(asked.body)
            model = msgspec.json.decode(fields.pop("model", msgspec.Raw(b"null")))
            grammar = msgspec.json.decode(fields.get("grammar", msgspec.Raw(b"null")))
        except msgspec.DecodeError:
            return asked.body  # llama.cpp says what is wrong with it
        scales = self._scales(model, llama)
        changed: dict[str, object] = {**fields, "model": self._config.name}
        changed |= {"lora": scales} if scales else {}
        if isinstance(grammar, str) and grammar.endswith(_END) and llama.end is not None:
            changed["grammar"] = f"{grammar.removesuffix(_END)}end: <[{llama.end}]>\n"
        return msgspec.json.encode(changed)

    def _scales(self, model: object, llama: Llama) -> list[dict[str, float]]:
        """Return the scale of every adapter: one that is left out would be on for all calls."""
        base, _, adapter = str(model).rpartition(":")
        if base != self._config.name:
            adapter = ""
        if adapter and adapter not in llama.adapters:
            message = f"The model `{model}` does not exist"
            raise Refused(HTTPStatus.NOT_FOUND, message, "adapter_not_found")
        return [
            {"id": index, "scale": float(name == adapter)}
            for index, name in enumerate(llama.adapters)
        ]


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, path, *_ = [*first.split(" "), "", ""]
    named = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in named}
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MAX_BODY:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large", "bad_request")
    return Asked(method, path, headers, await reader.readexactly(int(length)))


def _head(asked: Asked, length: int) -> bytes:
    kept = ("authorization", "content-type", "accept")
    lines = [f"{asked.method} {asked.path} HTTP/1.1", f"host: {HOST}", "connection: close"]
    lines += [f"{name}: {asked.headers[name]}" for name in kept if name in asked.headers]
    return "\r\n".join([*lines, f"content-length: {length}", "", ""]).encode("latin-1")


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, request: bytes
) -> None:
    """Pass a request and its answer on, until the answer ends or the caller leaves."""
    answer, inner = await asyncio.open_connection(HOST, port)
    try:
        inner.write(request)
        ends = {asyncio.create_task(reader.read(1)), asyncio.create_task(_pump(answer, writer))}
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        for task in done:
            task.result()
    finally:
        inner.close()


async def _pump(answer: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    while data := await answer.read(_PIECE):
        writer.write(data)
        await writer.drain()
    return b""


async def _reply(writer: asyncio.StreamWriter, status: HTTPStatus, said: object) -> None:
    body = msgspec.json.encode(said)
    head = (
        f"HTTP/1.1 {int(status)} {status.phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
