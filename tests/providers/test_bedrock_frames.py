"""The frames of an event stream: cut anywhere, and never taken for what they are not."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.providers.bedrock.frames import MAX_FRAME, Message, Splitter, frame

MESSAGES = [
    Message({":message-type": "event", ":event-type": "messageStart"}, b'{"role":"assistant"}'),
    Message({}, b""),
    Message({":event-type": "é"}, b"\x00" * 300),
]
DATA = b"".join(frame(message.headers, message.payload) for message in MESSAGES)
#: One header of each type of the format: name, type, value.
VALUES = [
    (0, b""), (1, b""), (2, b"\x01"), (3, b"\x00\x01"), (4, b"\x00" * 4), (5, b"\x00" * 8),
    (6, b"\x00\x02ab"), (7, b"\x00\x02ab"), (8, b"\x00" * 8), (9, b"\x00" * 16),
]  # fmt: skip


def raw(headers: bytes, payload: bytes = b"{}") -> bytes:
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def test_messages_come_out_as_they_went_in_cut_at_every_byte() -> None:
    for cut in range(len(DATA) + 1):
        splitter = Splitter()
        found = [*splitter.feed(DATA[:cut]), *splitter.feed(DATA[cut:])]
        assert found == MESSAGES
        assert splitter.rest == b""


def test_single_bytes_make_the_same_messages() -> None:
    splitter = Splitter()
    assert [m for byte in DATA for m in splitter.feed(bytes([byte]))] == MESSAGES


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=50)), st.binary())
def test_any_message_survives(headers: dict[str, str], payload: bytes) -> None:
    assert list(Splitter().feed(frame(headers, payload))) == [Message(headers, payload)]


def test_any_flipped_bit_is_noticed() -> None:
    whole = frame({":event-type": "metadata"}, b'{"usage":1}')
    for at in range(len(whole) * 8):
        broken = bytearray(whole)
        broken[at // 8] ^= 1 << at % 8
        with pytest.raises(ValueError, match="frame"):
            list(Splitter().feed(bytes(broken)))


def test_headers_that_are_no_strings_are_passed_over() -> None:
    lines = b"".join(b"\x01" + bytes([65 + kind, kind]) + value for kind, value in VALUES)
    [message] = Splitter().feed(raw(lines))
    assert message.headers == {"H": "ab"}


@pytest.mark.parametrize(
    "headers",
    [b"\x01", b"\x01a", b"\x01a\x0a", b"\x01a\x07\x00\x09ab", b"\x01a\x04\x00", b"\xffab"],
)
def test_headers_that_cannot_be_read_are_an_error(headers: bytes) -> None:
    with pytest.raises(ValueError, match="frame"):
        list(Splitter().feed(raw(headers)))


@pytest.mark.parametrize(
    ("total", "headers"), [(15, 0), (16, 1), (MAX_FRAME + 1, 0), (2**31, 2**30)]
)
def test_impossible_length_is_an_error_at_once(total: int, headers: int) -> None:
    lengths = struct.pack(">II", total, headers)
    with pytest.raises(ValueError, match="frame"):
        list(Splitter().feed(lengths + struct.pack(">I", zlib.crc32(lengths))))
