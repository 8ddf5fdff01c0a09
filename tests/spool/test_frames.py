from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from standpipe.spool import frames


def unpacked(block: bytes) -> list[bytes]:
    payloads = []
    at = 0
    while (payload := frames.payload_at(block, at)) is not None:
        payloads.append(payload)
        at += frames.HEADER_BYTES + len(payload)
    return payloads


@given(st.lists(st.binary(max_size=300)))
def test_frames_come_back_as_they_went_in(payloads: list[bytes]) -> None:
    assert unpacked(b"".join(map(frames.pack, payloads))) == payloads


@given(st.lists(st.binary(max_size=60), min_size=1), st.data())
def test_a_cut_leaves_every_whole_frame_before_it(
    payloads: list[bytes], data: st.DataObject
) -> None:
    block = b"".join(map(frames.pack, payloads))
    cut = data.draw(st.integers(0, len(block)))
    kept = unpacked(block[:cut])
    assert kept == payloads[: len(kept)]
    size = sum(map(len, kept)) + len(kept) * frames.HEADER_BYTES
    next_frame = b"" if len(kept) == len(payloads) else frames.pack(payloads[len(kept)])
    assert cut == size or cut < size + len(next_frame)


@given(st.binary(min_size=1, max_size=100), st.data())
def test_a_flipped_bit_is_noticed(payload: bytes, data: st.DataObject) -> None:
    frame = bytearray(frames.pack(payload))
    bit = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << bit % 8
    assert frames.payload_at(bytes(frame)) is None


@given(st.binary(max_size=200))
def test_zeros_and_noise_are_no_frames(noise: bytes) -> None:
    assert frames.payload_at(bytes(len(noise))) is None
    assert frames.payload_at(noise.replace(b"SPf1", b"")) is None
