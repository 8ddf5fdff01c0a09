"""A worker's side as a program: begins so many calls, says how many it may, and waits to be killed.

`python worker_process.py SOCKET CALLS HEX`, the last being the call to begin with new ids.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from standpipe.limits.client import Limiter
from standpipe.limits.messages import Want
from standpipe.wire.ids import new_id


async def main(socket: str, calls: str, like: str) -> None:
    want = msgspec.msgpack.decode(bytes.fromhex(like), type=Want)
    limiter = Limiter(Path(socket))
    begun = [
        await limiter.begin(msgspec.structs.replace(want, call=new_id())) for _ in range(int(calls))
    ]
    print(sum(verdict.reason is None for verdict in begun), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
