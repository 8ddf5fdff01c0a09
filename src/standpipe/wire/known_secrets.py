"""Secrets that are known by their value, and nothing else of which may tell them. Pure."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from typing_extensions import override

from standpipe.wire import record
from standpipe.wire.record import Begin, Record

#: What stands in a secret's place.
MARK = "***"
#: Characters of a secret, at least: what is shorter is a word that a keyless place was given.
LEAST = 12
#: Callers' secrets of which it is remembered how they are written.
_REMEMBERED = 1024

Kept = TypeVar("Kept", Record, Begin)


class KnownSecrets:
    """The secrets of a configuration; those of a caller are named with what it sent."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._written = _written(values)

    @override
    def __repr__(self) -> str:
        return f"KnownSecrets({len(self._written)})"

    def hide(self, data: bytes, own: bytes | None = None) -> bytes:
        """Return bytes that go out or into a log, without the secrets and the caller's own."""
        return _hidden(data, self._found(data, own)) if self.are_in(data, own) else data

    def hide_in(self, text: str, own: bytes | None = None) -> str:
        """Return a text without the secrets and the caller's own."""
        return self.hide(text.encode("utf-8", "surrogatepass"), own).decode(
            "utf-8", "surrogatepass"
        )

    def out_of(self, frame: Kept, own: bytes | None = None) -> Kept:
        """Return what is kept of a call, without the secrets and the caller's own anywhere."""
        payload = record.encode(frame)
        if not self.are_in(payload, own):
            return frame
        told = msgspec.msgpack.decode(payload)
        return msgspec.convert(_without(told, self._found(payload, own)), type(frame))

    def are_in(self, data: bytes, own: bytes | None = None, end: int | None = None) -> bool:
        """Tell whether a secret, or the caller's own, is in the first `end` bytes; None for all."""
        # Every record and every piece of a stream comes here: so there is a loop, and `partition`,
        # which takes one argument. `find` parses its own, which takes as long as to look through
        # 300 bytes, and `in` takes bytes for a number first and raises: three times that.
        for secret in self._written if own is None else (*self._written, *_forms(own)):
            if data.partition(secret)[1] and (end is None or data.find(secret, 0, end) >= 0):
                return True
        return False

    def _found(self, data: bytes, own: bytes | None) -> list[bytes]:
        known = [secret for secret in self._written if secret in data]
        return known if own is None else known + [each for each in _forms(own) if each in data]


def _written(values: Iterable[str]) -> tuple[bytes, ...]:
    """Return the secrets as texts and as JSON has them; the longest first: one may hold another."""
    forms = {form for value in values for form in _forms(value.encode())}
    return tuple(sorted(forms, key=len, reverse=True))


@functools.lru_cache(_REMEMBERED)
def _forms(secret: bytes) -> tuple[bytes, ...]:
    """Return a secret as a text and, where that is another, as JSON has it; none if it is short."""
    if len(secret) < LEAST:
        return ()
    if not (secret.partition(b'"')[1] or secret.partition(b"\\")[1]):
        return (secret,)
    return secret, secret.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _without(value: Any, secrets: list[bytes]) -> Any:
    match value:
        case str():
            return _hidden(value.encode("utf-8", "replace"), secrets).decode()
        case bytes():
            return _hidden(value, secrets)
        case list():
            return [_without(each, secrets) for each in value]
        case dict():
            return {_without(k, secrets): _without(v, secrets) for k, v in value.items()}
        case _:
            return value


def _hidden(data: bytes, secrets: list[bytes]) -> bytes:
    for secret in secrets:
        data = data.replace(secret, MARK.encode())
    return data
