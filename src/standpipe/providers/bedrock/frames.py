"""The frames of `application/vnd.amazon.eventstream`: bytes to messages. Pure.

https://smithy.io/2.0/aws/amazon-eventstream.html (seen 2026-11): a frame is its length, the length
of its headers and a CRC-32 of the two; then headers, payload and a CRC-32 of all before it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import msgspec

#: Largest frame and largest headers of one, in bytes, as the format allows.
MAX_FRAME = 24 * 1024 * 1024
MAX_HEADERS = 128 * 1024

_PRELUDE = struct.Struct(">III")
_CHECKSUM = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_LEAST = _PRELUDE.size + _CHECKSUM.size
#: Bytes of a header's value by its type, where the type alone tells: booleans, numbers, a time, a
#: UUID. Byte arrays (6) and strings (7) tell their own length.
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_BYTES, _STRING = 6, 7


class Message(msgspec.Struct, frozen=True):
    """One frame's content."""

    #: Those that are strings; nothing that we read is anything else.
    headers: dict[str, str]
    payload: bytes


class Splitter:
    """Cuts a stream of bytes into messages."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def rest(self) -> bytes:
        """Return the bytes after the last whole frame."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are whole now; ValueError at a frame that cannot be one."""
        self._buffer += data
        while len(self._buffer) >= _PRELUDE.size:
            total, headers_size, checksum = _PRELUDE.unpack_from(self._buffer)
            _check(zlib.crc32(self._buffer[: _PRELUDE.size - _CHECKSUM.size]), checksum)
            if not _LEAST + headers_size <= total <= MAX_FRAME or headers_size > MAX_HEADERS:
                raise ValueError(f"a frame of {total} bytes with headers of {headers_size}")
            if len(self._buffer) < total:
                return
            frame = bytes(self._buffer[:total])
            del self._buffer[:total]
            yield _message(frame, headers_size)


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """Return the frame of a message."""
    lines = b"".join(map(_line, headers.items()))
    total = _LEAST + len(lines) + len(payload)
    lengths = struct.pack(">II", total, len(lines))
    body = lengths + _CHECKSUM.pack(zlib.crc32(lengths)) + lines + payload
    return body + _CHECKSUM.pack(zlib.crc32(body))


def _line(header: tuple[str, str]) -> bytes:
    name, value = header[0].encode(), header[1].encode()
    return bytes([len(name)]) + name + bytes([_STRING]) + _LENGTH.pack(len(value)) + value


def _check(found: int, told: int) -> None:
    if found != told:
        raise ValueError("a frame whose checksum is wrong")


def _message(frame: bytes, headers_size: int) -> Message:
    end = len(frame) - _CHECKSUM.size
    _check(zlib.crc32(frame[:end]), _CHECKSUM.unpack_from(frame, end)[0])
    payload_at = _PRELUDE.size + headers_size
    return Message(dict(_headers(frame[_PRELUDE.size : payload_at])), frame[payload_at:end])


def _headers(data: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    try:
        while at < len(data):
            name_end = at + 1 + data[at]
            start, size = _value(data, name_end)
            if data[name_end] == _STRING:
                yield data[at + 1 : name_end].decode(), data[start : start + size].decode()
            at = start + size
    except (IndexError, struct.error) as error:
        raise ValueError("a frame whose headers cannot be read") from error
    if at != len(data):
        raise ValueError("a frame whose headers cannot be read")


def _value(data: bytes, at: int) -> tuple[int, int]:
    """Return where the value begins whose type is there, and its size."""
    kind = data[at]
    if kind in {_BYTES, _STRING}:
        return at + 1 + _LENGTH.size, _LENGTH.unpack_from(data, at + 1)[0]
    if kind not in _SIZES:
        raise ValueError(f"a frame with a header of type {kind}")
    return at + 1, _SIZES[kind]
