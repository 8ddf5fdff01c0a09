"""What the process of the optional engines answers over HTTP, in OpenAI's forms where it has them.

- `POST /v1/speech {"texts", "format"}` answers `{"data"}`, base64 of a sound file of all texts;
- `POST /v1/transcriptions {"data", "format"}` answers `{"text"}`;
- `POST /v1/embeddings` is OpenAI's;
- `GET /standpipe` answers `{"engines"}`, of each whether it is loaded and how many calls it has.

Each engine works in one thread of its own, a sentence or a batch at a time, so that those who
wait take turns; the work of a caller who has left is not gone on with.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from standpipe import errors
from standpipe.engine.embedding_weights import MODEL
from standpipe.errors import ApiError, BadRequest, Unauthorized

if TYPE_CHECKING:
    from standpipe.engine.audio_hearing import Listener
    from standpipe.engine.audio_speech import Speaker
    from standpipe.engine.embedding import Embedder

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


class SpeechRequest(msgspec.Struct, frozen=True):
    """Texts to be spoken one after the other."""

    texts: list[str]
    format: str


class HearingRequest(msgspec.Struct, frozen=True):
    """A recording in base64."""

    data: str
    format: str


class _Gone(Exception):
    """Who asked has left."""


class Lazy(Generic[T]):
    """An engine in a thread of its own, made there at its first use."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: T | None = None
        self._thread = ThreadPoolExecutor(1)
        #: Calls that it has begun and not ended.
        self.calls = 0

    def state(self) -> dict[str, object]:
        """Return what there is to say of it."""
        return {"loaded": self._made is not None, "calls": self.calls}

    async def run(self, work: Callable[[T], Any]) -> Any:
        """Return what `work` makes of the engine."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(self._engine()))

    async def each(self, request: Request, work: Callable[[T], Iterator[Any]]) -> list[Any]:
        """Return all that `work` yields; others have their turns in between. _Gone if in vain."""
        steps = await self.run(work)
        found: list[Any] = []
        while (step := await self.run(lambda _: next(steps, None))) is not None:
            found.append(step)
            if await request.is_disconnected():
                raise _Gone
        return found

    def _engine(self) -> T:
        if self._made is None:
            self._made = self._make()
        return self._made


class Extras:
    """The engines that were asked for, and the application that answers for them."""

    def __init__(self, key: str, *, audio: bool, embeddings: str | None, threads: int) -> None:
        self._authorization = f"Bearer {key}".encode()
        self._speaker: Lazy[Speaker] = Lazy(_speaker)
        self._listener: Lazy[Listener] = Lazy(lambda: _listener(threads))
        folder = Path(embeddings or "")
        self._embedder: Lazy[Embedder] = Lazy(lambda: _embedder(folder))
        self._engines: dict[str, Lazy[Any]] = {}
        handlers: dict[str, Handler] = {"/v1/chat/completions": self._no_chat}
        if audio:
            self._engines |= {"speech": self._speaker, "hearing": self._listener}
            handlers |= {
                "/v1/speech": _counted(self._speech, self._speaker),
                "/v1/transcriptions": _counted(self._transcription, self._listener),
            }
        if embeddings is not None:
            self._engines |= {MODEL: self._embedder}
            handlers |= {"/v1/embeddings": _counted(self._embeddings, self._embedder)}
        self.app = Starlette(
            routes=[
                Route("/standpipe", self._guarded(self._state), methods=["GET"]),
                *(
                    Route(path, self._guarded(handler), methods=["POST"])
                    for path, handler in handlers.items()
                ),
            ]
        )

    async def _state(self, request: Request) -> Response:
        del request
        engines = {name: engine.state() for name, engine in self._engines.items()}
        return _json(msgspec.json.encode({"engines": engines}))

    def _guarded(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            try:
                given = request.headers.get("authorization", "").encode()
                if not hmac.compare_digest(given, self._authorization):
                    raise Unauthorized("UNAUTHORIZED")
                return await handler(request)
            except ApiError as error:
                return _json(msgspec.json.encode(errors.body(error)), error.status)
            except _Gone:
                return Response(status_code=499)

        return answer

    async def _speech(self, request: Request) -> Response:
        from standpipe.engine import audio_encoding

        wanted = _decoded(await request.body(), SpeechRequest)
        if wanted.format not in audio_encoding.FORMATS:
            offered = ", ".join(audio_encoding.FORMATS)
            raise BadRequest(f"audio.format: must be one of {offered}", param="audio.format")
        pieces = [
            piece
            for text in wanted.texts
            for piece in await self._speaker.each(request, _saying(text))
        ]
        data = await self._speaker.run(lambda _: audio_encoding.encode(pieces, wanted.format))
        return _json(msgspec.json.encode({"data": data}))

    async def _transcription(self, request: Request) -> Response:
        from standpipe.engine import audio_hearing

        wanted = _decoded(await request.body(), HearingRequest)
        data = _bytes(wanted.data)
        try:
            samples = await self._listener.run(lambda _: audio_hearing.decode(data, wanted.format))
        except audio_hearing.Unheard as error:
            raise BadRequest(str(error)) from None
        texts = await self._listener.each(request, lambda by: by.texts(samples))
        return _json(msgspec.json.encode({"text": "".join(texts).strip()}))

    async def _embeddings(self, request: Request) -> Response:
        from standpipe.engine import embedding_request

        wanted = embedding_request.parse(await request.body())
        given = embedding_request.inputs(wanted)
        tokens = given.tokens or await self._embedder.run(lambda by: by.tokens(given.texts))
        count = embedding_request.check(tokens)
        batches = await self._embedder.each(request, lambda by: by.vectors(tokens))
        vectors = dict(pair for batch in batches for pair in batch)
        ordered = [vectors[place] for place in range(len(tokens))]
        return _json(embedding_request.answer(wanted, ordered, count))

    async def _no_chat(self, request: Request) -> Response:
        del request
        raise BadRequest(
            f"model: {MODEL} makes embeddings and does not chat; POST /v1/embeddings", param="model"
        )


def _counted(handler: Handler, engine: Lazy[Any]) -> Handler:
    async def answer(request: Request) -> Response:
        engine.calls += 1
        try:
            return await handler(request)
        finally:
            engine.calls -= 1

    return answer


def _saying(text: str) -> Callable[[Speaker], Iterator[Any]]:
    return lambda by: by.pieces(text)


def _speaker() -> Speaker:
    from standpipe.engine.audio_speech import Speaker

    return Speaker()


def _listener(threads: int) -> Listener:
    from standpipe.engine.audio_hearing import Listener

    return Listener(threads=threads)


def _embedder(folder: Path) -> Embedder:
    from standpipe.engine.embedding import Embedder

    return Embedder(folder)


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise BadRequest(f"the body: {error}") from None


def _bytes(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("data: is not base64") from None


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")
