"""The last byte of an answer waits for the disk, and who leaves meanwhile takes nothing along."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from calling import Gateway, Kept
from doubles import scripted

from standpipe.spool import new_boot
from standpipe.spool.disk import DiskSpool

streams = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


class Disk:
    """Notes what the client had when the disk was asked; the client may leave then."""

    def __init__(self, reply: Kept, *, leaves: bool = False) -> None:
        self.reply = reply
        self.seen: list[tuple[int, bytes, bool]] = []
        self._leaves = leaves

    def sync(self, descriptor: int) -> None:
        self.seen.append((self.reply.status, self.reply.body[-20:], self.reply.ended))
        if self._leaves:
            self.reply.gone = True
            time.sleep(0.2)  # long enough for the call to be cancelled
        os.fdatasync(descriptor)

    def spool(self, folder: Path) -> DiskSpool:
        return DiskSpool(folder, boot=new_boot(), worker=0, segment_bytes=1 << 20, sync=self.sync)


@streams
def test_the_last_byte_goes_out_when_the_record_is_on_the_disk(
    tmp_path: Path, stream: bool
) -> None:
    disk = Disk(Kept())
    with scripted() as double:
        gateway = Gateway(tmp_path, double.url, {}, spool=disk.spool)
        reply = gateway.ask(disk.reply, stream=stream)
    status, body, ended = disk.seen[0]
    assert (status, ended) == (200 if stream else 0, False)
    assert not body.endswith(b"[DONE]\n\n")
    assert reply.ended
    assert [record.outcome for record in gateway.records] == ["complete"]


def test_an_error_is_on_the_disk_before_it_is_answered(tmp_path: Path) -> None:
    disk = Disk(Kept())
    gateway = Gateway(tmp_path, "http://127.0.0.1:9", {}, spool=disk.spool)
    reply = gateway.ask(disk.reply, temperature="hot")
    assert disk.seen[0] == (0, b"", False)
    assert reply.status == 400
    assert [record.outcome for record in gateway.records] == ["refused"]


@streams
def test_a_client_that_leaves_while_the_disk_is_waited_for_has_one_record(
    tmp_path: Path, stream: bool
) -> None:
    disk = Disk(Kept(), leaves=True)
    with scripted() as double:
        gateway = Gateway(tmp_path, double.url, {}, spool=disk.spool)
        reply = gateway.ask(disk.reply, stream=stream)
    assert not reply.ended
    (record,) = gateway.records
    assert (record.outcome, record.status) == ("complete", 200)
    assert record.response
