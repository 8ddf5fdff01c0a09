"""Records on the disk before their answers end: tickets shared, failures told, kills survived."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from spooling import everything, payloads_of, start_python

from standpipe.spool import Tail, disk, names, new_boot
from standpipe.spool.disk import DiskSpool
from standpipe.spool.writer import ANSWER_BYTES

KIB = 1 << 10
#: A guard against hangs, in seconds.
DEADLINE = 30


class Disk:
    """Stands for a disk: counts what it is asked, may be slow and may fail."""

    def __init__(self) -> None:
        self.asked = 0
        self.failures = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def sync(self, descriptor: int) -> None:
        self.asked += 1
        assert self.may_go_on.wait(DEADLINE)
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fdatasync(descriptor)


def new_spool(directory: Path, sync: Disk, segment_bytes: int = 64 * KIB) -> DiskSpool:
    return DiskSpool(
        directory, boot=new_boot(), worker=0, segment_bytes=segment_bytes, sync=sync.sync
    )


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work(), DEADLINE)

    asyncio.run(bounded())


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 (there is no event to wait for)
        await asyncio.sleep(0.001)


def tails_in(directory: Path) -> list[Tail]:
    """Return what follows the frames of each segment."""
    return [payloads_of(directory / name)[1] for name in names.listed(directory, names.SEGMENT)]


@pytest.fixture
def sync() -> Disk:
    return Disk()


def test_all_who_wait_while_one_sync_runs_share_the_next(tmp_path: Path, sync: Disk) -> None:
    spool = new_spool(tmp_path, sync)

    async def work() -> None:
        sync.may_go_on.clear()
        spool.append(b"first")
        first = asyncio.create_task(spool.synced())
        await until(lambda: sync.asked == 1)
        for number in range(64):
            spool.append(str(number).encode())
        others = [asyncio.create_task(spool.synced()) for _ in range(64)]
        await asyncio.sleep(0)
        sync.may_go_on.set()
        assert await first
        assert all(await asyncio.gather(*others))
        assert (sync.asked, spool.syncs) == (2, 2)
        assert await spool.synced()  # nothing has been appended since
        assert sync.asked == 2

    run(work)
    spool.close()
    assert len(everything(tmp_path)) == 65


def test_all_of_a_turn_and_of_the_next_share_one_sync(tmp_path: Path, sync: Disk) -> None:
    spool = new_spool(tmp_path, sync)

    async def call() -> bool:
        spool.append(b"record")
        return await spool.synced()

    async def work() -> None:
        calls = [asyncio.create_task(call()) for _ in range(8)]
        await asyncio.sleep(0)
        calls += [asyncio.create_task(call()) for _ in range(8)]
        assert all(await asyncio.gather(*calls))
        assert sync.asked == 1

    run(work)
    spool.close()
    assert len(everything(tmp_path)) == 16


def test_round_that_is_due_when_the_spool_closes_is_not_begun(tmp_path: Path, sync: Disk) -> None:
    spool = new_spool(tmp_path, sync)

    async def work() -> None:
        failed: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: failed.append(told))
        spool.append(b"record")
        waits = asyncio.create_task(spool.synced())
        await asyncio.sleep(0)
        spool.close()  # which syncs by itself
        for _ in range(3):
            await asyncio.sleep(0)
        waits.cancel()
        assert (sync.asked, failed) == (1, [])

    run(work)
    assert everything(tmp_path) == [b"record"]


def test_who_leaves_while_waiting_takes_nothing_along(tmp_path: Path, sync: Disk) -> None:
    spool = new_spool(tmp_path, sync)

    async def work() -> None:
        sync.may_go_on.clear()
        waits = []
        for name in (b"leaves", b"stays"):
            spool.append(name)
            waits.append(asyncio.create_task(spool.synced()))
        await until(lambda: sync.asked == 1)
        waits[0].cancel()
        sync.may_go_on.set()
        assert await waits[1]
        assert waits[0].cancelled()

    run(work)
    spool.close()
    assert everything(tmp_path) == [b"leaves", b"stays"]


def test_segments_that_fill_up_reach_the_disk_before_they_are_closed(
    tmp_path: Path, sync: Disk
) -> None:
    spool = new_spool(tmp_path, sync)
    payloads = [bytes([number]) * 40 * KIB for number in range(5)]

    async def work() -> None:
        for payload in payloads:
            spool.append(payload)
        assert tails_in(tmp_path) == [Tail.OPEN] * 5
        assert await spool.synced()
        assert sync.asked == 5
        assert tails_in(tmp_path) == [Tail.END] * 4 + [Tail.OPEN]

    run(work)
    spool.close()
    assert everything(tmp_path) == payloads


def test_what_a_failed_sync_may_have_lost_is_written_again_elsewhere(
    tmp_path: Path, sync: Disk
) -> None:
    spool = new_spool(tmp_path, sync)

    async def work() -> None:
        spool.append(b"safe")
        assert await spool.synced()
        sync.failures = 1
        spool.append(b"in danger")
        assert await spool.synced()
        assert not spool.is_failing()
        assert (spool.sync_errors, spool.records_unsynced) == (1, 0)
        spool.append(b"after")
        assert await spool.synced()

    run(work)
    spool.close()
    bad, good = names.listed(tmp_path, names.SEGMENT)
    assert payloads_of(tmp_path / bad)[0] == [b"safe", b"in danger"]
    assert payloads_of(tmp_path / good)[0] == [b"in danger", b"after"]


def test_a_disk_that_fails_is_told_until_it_works_again(
    tmp_path: Path, sync: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "PROBE_S", 0.0)
    spool = new_spool(tmp_path, sync)

    async def work() -> None:
        sync.failures = 1000
        spool.append(b"kept by the kernel")
        assert not await spool.synced()
        assert spool.is_failing()
        assert not spool.has_room()
        assert spool.records_unsynced == 1
        sync.failures = 0
        await until(lambda: not spool.is_failing())
        assert spool.has_room()
        spool.append(b"safe")
        assert await spool.synced()

    run(work)
    spool.close()
    assert set(everything(tmp_path)) == {b"kept by the kernel", b"safe"}


def test_a_spool_that_was_removed_is_made_again(
    tmp_path: Path, sync: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("standpipe.spool.writer.RETRY_S", 0.0)
    directory = tmp_path / "spool"
    spool = new_spool(directory, sync)

    async def work() -> None:
        spool.append(b"gone")
        assert await spool.synced()
        shutil.rmtree(directory)
        assert spool.reserve(ANSWER_BYTES)
        spool.append(b"there")
        assert await spool.synced()

    run(work)
    spool.close()
    assert everything(directory) == [b"there"]


# Each id is printed once its record is on the disk, as an answer would be sent.
WRITER = """
import asyncio, os, sys
from pathlib import Path
from standpipe.spool import new_boot
from standpipe.spool.disk import DiskSpool

async def main():
    spool = DiskSpool(Path(sys.argv[1]), boot=new_boot(), worker=0, segment_bytes=1 << 16)
    async def call(worker):
        for number in range(10 ** 9):
            name = f"{worker}:{number}".encode()
            spool.append(name + b" " + bytes(1000))
            assert await spool.synced()
            os.write(1, name + b"\\n")
    await asyncio.gather(*(call(worker) for worker in range(16)))

asyncio.run(main())
"""


def test_every_record_whose_answer_went_out_is_there_after_a_kill(tmp_path: Path) -> None:
    writer = start_python(WRITER, tmp_path)
    assert writer.stdout is not None
    told = [next(writer.stdout).strip() for _ in range(2000)]
    writer.kill()
    told += writer.stdout.read().split("\n")[:-1]
    writer.wait()
    writer.stdout.close()
    kept = [payload.split(b" ", 1)[0].decode() for payload in everything(tmp_path)]
    assert len(kept) == len(set(kept))
    assert set(told) <= set(kept)
