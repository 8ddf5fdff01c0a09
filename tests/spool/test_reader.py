from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spooling import payloads_of

from standpipe.spool import Segment, Spool, Tail, ends, frames, is_drained, names, new_boot
from standpipe.spool.reader import remove_dead_spares

MIB = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0-0-00000000.seg"


def cut(payloads: list[bytes], kept: int, zeros: int) -> bytes:
    """Return what a writer that was killed has left of its frames."""
    return b"".join(map(frames.pack, payloads))[:kept] + bytes(zeros)


@given(
    st.lists(st.binary(min_size=1, max_size=60).filter(lambda payload: payload[-1]), min_size=1),
    st.integers(0, 100),
    st.data(),
)
def test_whole_frames_before_a_torn_one_are_read(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes], zeros: int, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("spool") / "0-0-00000000.seg"
    size = sum(map(len, payloads)) + len(payloads) * frames.HEADER_BYTES
    kept = data.draw(st.integers(0, size))
    path.write_bytes(cut(payloads, kept, zeros))
    read, tail, lost = payloads_of(path)
    whole = sum(map(len, read)) + len(read) * frames.HEADER_BYTES
    assert read == payloads[: len(read)]
    assert len(read) == len(payloads) or kept < whole + len(frames.pack(payloads[len(read)]))
    # The bytes of a length may be zeros, and zeros at the end can't be told from unwritten ones.
    assert lost <= kept - whole
    assert tail is (Tail.TORN if lost else Tail.END)


def test_a_large_frame_is_read_whole_and_alone(tmp_path: Path) -> None:
    payloads = [b"a", os.urandom(5 * MIB), b"b"]
    spool = Spool(tmp_path, boot=new_boot(), worker=0)
    for payload in payloads:
        spool.append(payload)
    (name,) = names.listed(tmp_path, names.SEGMENT)
    assert payloads_of(tmp_path / name)[0] == payloads
    spool.close()


def test_limits_leave_the_rest_for_next_time(path: Path) -> None:
    path.write_bytes(b"".join(frames.pack(bytes([number]) * 100) for number in range(50)))
    with Segment(path) as segment:
        some = segment.read(0, max_frames=7)
        assert (len(some.payloads), some.tail) == (7, Tail.MORE)
        few = segment.read(some.payloads[-1][1], max_bytes=300)
        assert few.payloads[0][0][0] == 7
        assert sum(len(payload) for payload, _ in few.payloads) <= 400
        assert few.tail is Tail.MORE
        one = segment.read(few.payloads[-1][1], max_bytes=1)
        assert len(one.payloads) == 1


def test_part_of_a_frame_is_not_yet_while_the_writer_lives(tmp_path: Path) -> None:
    spool = Spool(tmp_path, boot=new_boot(), worker=0, segment_bytes=MIB)
    spool.append(b"whole")
    (name,) = names.listed(tmp_path, names.SEGMENT)
    path = tmp_path / name
    frame = frames.pack(b"in the making")
    with path.open("r+b") as file:
        file.seek(frames.HEADER_BYTES + 5)
        file.write(frame[:-3])
    assert payloads_of(path) == ([b"whole"], Tail.OPEN, 0)
    spool.append(b"in the making")
    assert payloads_of(path)[0] == [b"whole", b"in the making"]
    spool.close()


@pytest.mark.parametrize(
    "damage",
    [b"not a frame at all", frames.pack(b"x" * 50)[:-1] + b"?" + frames.pack(b"after")],
    ids=["noise", "flipped"],
)
def test_damage_in_the_middle_is_not_taken_for_a_torn_end(path: Path, damage: bytes) -> None:
    path.write_bytes(frames.pack(b"before") + damage + bytes(100))
    assert payloads_of(path) == ([b"before"], Tail.DAMAGED, len(damage))


def test_a_length_beyond_the_file_is_not_believed(path: Path) -> None:
    path.write_bytes(b"SPf1\xff\xff\xff\xff1234abcd")
    assert payloads_of(path) == ([], Tail.TORN, 16)
    assert ends(path.parent, {}) == {path.name: 0}


def test_ends_are_found_from_headers_and_positions(tmp_path: Path) -> None:
    spools = [
        Spool(tmp_path, boot=new_boot(), worker=worker, segment_bytes=MIB) for worker in (0, 1)
    ]
    spools[0].append(b"x" * 10)
    spools[0].append(b"y" * 20)
    before = ends(tmp_path, {})
    (first,) = before
    assert before == {first: 2 * frames.HEADER_BYTES + 30}
    spools[0].append(b"z")
    spools[1].append(b"other")
    now = ends(tmp_path, before)
    assert now[first] == before[first] + frames.HEADER_BYTES + 1
    assert len(now) == 2
    assert not is_drained(tmp_path, now, before)
    assert is_drained(tmp_path, now, now)
    assert is_drained(tmp_path, before, now)
    (tmp_path / first).unlink()
    assert is_drained(tmp_path, before, {})
    for spool in spools:
        spool.close()


def test_a_spool_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert ends(tmp_path / "none", {}) == {}


def test_only_the_spares_of_the_dead_are_removed(tmp_path: Path) -> None:
    (tmp_path / "0-0-00000000.spare").write_bytes(bytes(100))
    spool = Spool(tmp_path, boot=new_boot(), worker=0, segment_bytes=MIB)
    remove_dead_spares(tmp_path)
    (name,) = names.listed(tmp_path, names.SPARE)
    assert names.writer_of(name) == spool.writer
    spool.append(b"still there")
    (name,) = names.listed(tmp_path, names.SEGMENT)
    assert payloads_of(tmp_path / name)[0] == [b"still there"]
    spool.close()
