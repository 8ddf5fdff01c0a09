from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spooling import everything, payloads_of, start_python

from standpipe.spool import Spool, Tail, names, new_boot
from standpipe.spool.frames import HEADER_BYTES
from standpipe.spool.writer import ANSWER_BYTES, SpoolFull

KIB = 1 << 10


def new_spool(directory: Path, *, segment_bytes: int = 64 * KIB, worker: int = 0) -> Spool:
    return Spool(directory, boot=new_boot(), worker=worker, segment_bytes=segment_bytes)


def test_frames_are_read_back_in_order_while_the_writer_lives(tmp_path: Path) -> None:
    spool = new_spool(tmp_path)
    spool.append(b"one")
    spool.append(b"")
    spool.append(b"three")
    (name,) = names.listed(tmp_path, names.SEGMENT)
    assert payloads_of(tmp_path / name) == ([b"one", b"", b"three"], Tail.OPEN, 0)
    assert spool.appended == 3
    spool.close()


def test_closing_gives_unused_room_back(tmp_path: Path) -> None:
    spool = new_spool(tmp_path)
    spool.append(b"x" * 100)
    assert spool.reserve(10 * KIB)
    spool.close()
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size == HEADER_BYTES + 100
    assert payloads_of(path)[1] is Tail.END


def test_room_that_a_burst_took_is_given_back_after_it(tmp_path: Path) -> None:
    spool = new_spool(tmp_path)
    for _ in range(20):
        assert spool.reserve(ANSWER_BYTES)
    assert len(names.listed(tmp_path, names.SPARE)) > 1
    for _ in range(20):
        spool.release(ANSWER_BYTES)
    assert len(names.listed(tmp_path, names.SPARE)) == 1
    spool.append(b"still works")
    spool.close()


def test_a_writer_that_never_wrote_leaves_nothing(tmp_path: Path) -> None:
    new_spool(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_segment_is_followed_by_the_next(tmp_path: Path) -> None:
    payloads = [bytes([number]) * 20 * KIB for number in range(10)]
    spool = new_spool(tmp_path)
    for payload in payloads:
        spool.append(payload)
    listed = names.listed(tmp_path, names.SEGMENT)
    assert len(listed) == 4
    tails = [payloads_of(tmp_path / name)[1] for name in listed]
    assert tails == [Tail.END, Tail.END, Tail.END, Tail.OPEN]
    assert everything(tmp_path) == payloads
    spool.close()


def test_a_frame_larger_than_a_segment_gets_one_of_its_size(tmp_path: Path) -> None:
    payloads = [b"small", b"x" * 300 * KIB, b"small again"]
    spool = new_spool(tmp_path)
    for payload in payloads:
        spool.append(payload)
    assert everything(tmp_path) == payloads
    spool.close()


def test_a_start_that_has_written_before_is_refused(tmp_path: Path) -> None:
    boot = new_boot()
    spool = Spool(tmp_path, boot=boot, worker=1, segment_bytes=KIB)
    spool.append(b"x")
    spool.close()
    with pytest.raises(FileExistsError):
        Spool(tmp_path, boot=boot, worker=1, segment_bytes=KIB)
    Spool(tmp_path, boot=boot, worker=2, segment_bytes=KIB).close()


def test_boots_sort_by_time() -> None:
    boot = new_boot()
    assert len(boot) == 19
    assert boot[:13] <= new_boot()[:13]


@given(
    st.lists(st.integers(0, 600 * KIB), max_size=8),
    st.integers(0, 500 * KIB),
    st.randoms(use_true_random=False),
)
def test_what_is_promised_is_there_whatever_the_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], before: int, random: Random
) -> None:
    directory = tmp_path_factory.mktemp("spool")
    spool = new_spool(directory, segment_bytes=512 * KIB)
    spool.append(bytes(before))
    assert all(spool.reserve(size + ANSWER_BYTES) for size in sizes)
    files = set(directory.glob("*.spare"))
    random.shuffle(sizes)
    for size in sizes:
        spool.append(bytes(size + ANSWER_BYTES - HEADER_BYTES))
    # No room had to be asked of the disk: each new segment was a spare before.
    spares = set(directory.glob("*.spare"))
    segments = len(names.listed(directory, names.SEGMENT))
    assert spares <= files
    assert segments - 1 <= len(files) - len(spares)
    for size in sizes:
        spool.release(size + ANSWER_BYTES)
    assert spool.reserved == 0
    spool.close()


# A limit on the size of files stands for a disk that is full: it needs no privilege, and the
# kernel answers in the same places.
FULL_DISK = """
import resource, sys
from pathlib import Path
from standpipe.spool import Spool, SpoolFull, new_boot

directory = Path(sys.argv[1])
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
{body}
"""


def in_process(body: str, directory: Path) -> str:
    process = start_python(FULL_DISK.format(body=body), directory)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 0
    return output


def test_no_room_on_the_disk_is_told_before_the_call(tmp_path: Path) -> None:
    body = """
limit(1 << 16)
spool = Spool(directory, boot=new_boot(), worker=0, segment_bytes=1 << 20)
print(spool.reserve(1000), spool.reserved)
try:
    spool.append(b"x")
except SpoolFull as error:
    print(error.errno, spool.append_errors)
limit(1 << 30)
import time; time.sleep(0.3)
print(spool.reserve(1000), spool.reserved)
spool.append(b"after")
"""
    assert in_process(body, tmp_path).split() == ["False", "0", "27", "1", "True", "1000"]
    assert everything(tmp_path) == [b"after"]


def test_a_frame_cut_short_by_the_disk_leaves_nothing(tmp_path: Path) -> None:
    body = """
spool = Spool(directory, boot=new_boot(), worker=0, segment_bytes=1 << 20)
spool.append(b"before")
limit(1 << 12)
try:
    spool.append(b"x" * 8000)
except SpoolFull as error:
    print(spool.appended, spool.append_errors)
spool.append(b"small")
limit(1 << 30)
spool.append(b"after")
spool.close()
"""
    assert in_process(body, tmp_path).split() == ["1", "1"]
    assert everything(tmp_path) == [b"before", b"small", b"after"]
    assert {payloads_of(path)[1] for path in tmp_path.iterdir()} == {Tail.END}


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """Return a directory of somebody who, unlike root, is held to what its mode says."""
    directory = Path(tempfile.mkdtemp())
    user = os.geteuid()
    if user == 0:
        os.chown(directory, 65534, 65534)
        os.seteuid(65534)
    yield directory
    os.seteuid(user)
    shutil.rmtree(directory)


def test_a_directory_that_may_not_be_written_to_is_as_a_full_disk(
    as_nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("standpipe.spool.writer.RETRY_S", 0.0)
    spool = Spool(as_nobody, boot="b", worker=0, segment_bytes=1 << 16)
    as_nobody.chmod(0o500)
    with pytest.raises(SpoolFull):
        spool.append(b"the first spare cannot be renamed")
    assert not spool.reserve(1000)
    assert spool.is_full
    as_nobody.chmod(0o700)
    assert spool.reserve(1000)
    assert not spool.is_full
    spool.append(b"there")
    spool.close()
