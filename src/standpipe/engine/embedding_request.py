"""`/embeddings` as the local model answers it: OpenAI's form, every field honoured or refused.

https://platform.openai.com/docs/api-reference/embeddings (seen 2026-11)
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from standpipe.engine.embedding_weights import MODEL
from standpipe.errors import BadRequest

Json = dict[str, Any]
DIMENSIONS = 384
#: Tokens of a text at most, the two around it included; the model was made for no more.
CONTEXT = 256
VOCABULARY = 30_522
#: Texts in one request, as OpenAI has it.
MOST = 2048
#: Tokens in one request, as OpenAI has it.
MOST_TOKENS = 300_000
#: Where a decoder's message names a field.
_NAMED = re.compile(r"field `(\w+)`|`\$\.(\w+)")
_AROUND = 2  # the tokens that stand around each text


class EmbeddingRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields that can be honoured; `user` says nothing that a local model could heed."""

    model: str
    input: str | list[Any]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    user: str | None = None


class Input(msgspec.Struct, frozen=True):
    """What is to be embedded: texts, or their tokens where the caller has these already."""

    texts: list[str] = []
    tokens: list[list[int]] = []


def parse(body: bytes) -> EmbeddingRequest:
    """Return the request of a body; BadRequest for a field that is wrong or unknown."""
    try:
        request = msgspec.json.decode(body, type=EmbeddingRequest)
    except msgspec.ValidationError as error:
        named = _NAMED.search(str(error))
        raise BadRequest(
            f"{MODEL}: {error}", param=named[1] or named[2] if named else None
        ) from None
    except msgspec.DecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    if request.dimensions not in (None, DIMENSIONS):
        raise BadRequest(
            f"dimensions: {MODEL} makes vectors of {DIMENSIONS}; ask for that or leave it out",
            param="dimensions",
        )
    return request


def inputs(request: EmbeddingRequest) -> Input:
    """Return what is to be embedded; BadRequest for nothing, too much, or what has no text."""
    given = request.input
    if isinstance(given, str) or (given and all(type(item) is int for item in given)):
        given = [given]
    if not 0 < len(given) <= MOST:
        raise _wrong("input", f"must have 1 to {MOST} texts, not {len(given)}")
    if all(isinstance(item, str) for item in given):
        return Input(texts=_filled(given))
    return Input(tokens=[_tokens(item, place) for place, item in enumerate(given)])


def check(tokens: Sequence[Sequence[int]]) -> int:
    """Return how many tokens there are; BadRequest for a text that is too long, or all together."""
    for place, text in enumerate(tokens):
        if len(text) + _AROUND > CONTEXT:
            raise _wrong(
                f"input[{place}]",
                f"has {len(text)} tokens, and {MODEL} reads {CONTEXT - _AROUND} at most; "
                "cut it into pieces",
            )
    total = sum(map(len, tokens))
    if total > MOST_TOKENS:
        raise _wrong("input", f"has {total} tokens, over the {MOST_TOKENS} of one request")
    return total


def answer(request: EmbeddingRequest, vectors: Sequence[Any], tokens: int) -> bytes:
    """Return the answer's body for vectors in the order of the texts."""
    shown = _base64 if request.encoding_format == "base64" else _numbers
    data = [
        {"object": "embedding", "index": place, "embedding": shown(vector)}
        for place, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    body = {"object": "list", "data": data, "model": request.model, "usage": usage}
    return msgspec.json.encode(body)


def _base64(vector: Any) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _numbers(vector: Any) -> list[float]:
    numbers: list[float] = vector.tolist()
    return numbers


def _filled(texts: list[str]) -> list[str]:
    for place, text in enumerate(texts):
        if not text.strip():
            raise _wrong(f"input[{place}]", "has no text")
    return texts


def _tokens(item: object, place: int) -> list[int]:
    path = f"input[{place}]"
    if not isinstance(item, list) or not item or not all(type(token) is int for token in item):
        raise _wrong(path, "must be text, or an array of tokens, like the others")
    for token in item:
        if not 0 <= token < VOCABULARY:
            raise _wrong(
                path, f"token {token} is not of {MODEL}'s {VOCABULARY}; send text instead of tokens"
            )
    return item


def _wrong(path: str, fault: str) -> BadRequest:
    return BadRequest(f"{path}: {fault}", param=path)
