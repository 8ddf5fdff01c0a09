"""A worker's side as a program: begins so many calls, says how many it may, and waits to be killed.

`python worker_process.py SOCKET CALLS HEX [SPOOL]`, HEX being the call to begin with new ids. With
a spool, it has noted something in there, and says the ids of its calls as well.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from standpipe.limits.client import Limiter
from standpipe.limits.messages import Want
from standpipe.spool import Spool, new_boot
from standpipe.wire.ids import new_id


async def main(socket: str, calls: str, like: str, *spool: str) -> None:
    want = msgspec.msgpack.decode(bytes.fromhex(like), type=Want)
    noted = [Spool(Path(path), boot=new_boot(), worker=0, segment_bytes=1 << 16) for path in spool]
    for each in noted:
        each.append(b"something")
    limiter = Limiter(Path(socket), *(each.writer for each in noted))
    begun = [
        await limiter.begin(msgspec.structs.replace(want, call=new_id())) for _ in range(int(calls))
    ]
    print(sum(verdict.reason is None for verdict in begun), flush=True)
    if noted:
        print(*(verdict.call for verdict in begun), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
