"""Segments of every kind, read whole: open, kept and put aside, with what cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.spool import Spool, archive, frames, names, new_boot
from standpipe.spool.reader import Frame, Unreadable, each_frame


def segment_of(path: Path, payloads: list[bytes]) -> Path:
    path.write_bytes(b"".join(map(frames.pack, payloads)))
    return path


def payloads_of(path: Path) -> list[bytes]:
    """Return the payloads of a segment in which all can be read."""
    found = list(each_frame(path))
    assert all(isinstance(each, Frame) for each in found), found
    return [each.payload for each in found if isinstance(each, Frame)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0-0-00000000.seg"


PAYLOADS = [b"one", b"", os.urandom(3 << 20), b"x" * 100_000]


def test_a_kept_segment_reads_as_it_was(path: Path) -> None:
    segment_of(path, PAYLOADS)
    kept = archive.compress(path)
    assert kept.name == "0-0-00000000.seg.zst"
    assert payloads_of(kept) == payloads_of(path) == PAYLOADS
    assert sorted(path.parent.iterdir()) == [path, kept]


def test_a_segment_that_is_written_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    spool = Spool(tmp_path, boot=new_boot(), worker=0, segment_bytes=1 << 20)
    spool.append(b"so far")
    (name,) = names.listed(tmp_path, names.SEGMENT)
    assert payloads_of(tmp_path / name) == [b"so far"]
    spool.close()


@given(
    st.lists(st.binary(max_size=60), min_size=1, max_size=20),
    st.sets(st.integers(0, 19), max_size=4),
    st.data(),
)
def test_every_frame_that_is_whole_is_read_whatever_lies_between(
    tmp_path_factory: pytest.TempPathFactory,
    payloads: list[bytes],
    harmed: set[int],
    data: st.DataObject,
) -> None:
    path = tmp_path_factory.mktemp("spool") / "0-0-00000000.damaged"
    blocks = [bytearray(frames.pack(payload)) for payload in payloads]
    for number in harmed & set(range(len(blocks))):
        block = blocks[number]
        block[data.draw(st.integers(0, len(block) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(b"".join(blocks) + b"\x00" * 50)
    read = [each.payload for each in each_frame(path) if isinstance(each, Frame)]
    assert read == [payload for number, payload in enumerate(payloads) if number not in harmed]


def test_what_cannot_be_read_is_told_with_its_place(path: Path) -> None:
    block = bytearray(b"".join(map(frames.pack, [b"before", b"harmed", b"after"])))
    size = frames.HEADER_BYTES + 6
    block[size + frames.HEADER_BYTES] ^= 1
    path.write_bytes(bytes(block) + b"torn")
    assert list(each_frame(path)) == [
        Frame(b"before", size),
        Unreadable(size, size),
        Frame(b"after", 3 * size - 1),
        Unreadable(3 * size - 1, 4),
    ]


@pytest.mark.parametrize("harm", ["cut", "flipped", "no head"])
def test_what_is_lost_of_a_kept_segment_is_told(path: Path, harm: str) -> None:
    segment_of(path, [os.urandom(1 << 18) for _ in range(20)])
    kept = archive.compress(path)
    block = bytearray(kept.read_bytes())
    if harm == "cut":
        del block[len(block) // 2 :]
    else:
        block[0 if harm == "no head" else len(block) // 2] ^= 0xFF
    kept.write_bytes(bytes(block))
    *_, last = each_frame(kept)
    assert isinstance(last, Unreadable)


def test_a_segment_that_is_gone_is_told_as_such(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(each_frame(path))
