"""A real writer, killed again and again: what it was told is kept, is kept."""

from __future__ import annotations

import random
from pathlib import Path

from spooling import everything, payloads_of, start_python

from standpipe.spool import Tail, names

# Each id is printed after its append returned, as an answer would be sent. Payloads of all sizes,
# and segments small enough to be left many times.
WRITER = """
import os, random, sys
from pathlib import Path
from standpipe.spool import Spool, new_boot

start = int(sys.argv[2])
spool = Spool(Path(sys.argv[1]), boot=new_boot(), worker=0, segment_bytes=1 << 19)
sizes = random.Random(start)
number = 0
while True:
    number += 1
    name = f"{start}:{number}"
    size = sizes.choice((10, 1000, 30_000, 700_000 if number % 50 == 0 else 100))
    spool.append(name.encode() + b" " + os.urandom(8) * (size // 8))
    os.write(1, name.encode() + b"\\n")
"""
KILLS = 15


def test_every_frame_whose_append_returned_is_there_once_after_kills(tmp_path: Path) -> None:
    moments = random.Random(7)
    told: list[str] = []
    for start in range(KILLS):
        writer = start_python(WRITER, tmp_path, start)
        assert writer.stdout is not None
        told += [next(writer.stdout).strip() for _ in range(moments.randrange(1, 900))]
        writer.kill()
        # The last line may be cut; all before it was printed after its append.
        lines = writer.stdout.read().split("\n")
        told += lines[:-1]
        writer.wait()
        writer.stdout.close()

    kept = [payload.split(b" ", 1)[0].decode() for payload in everything(tmp_path)]
    assert len(kept) == len(set(kept))
    assert set(told) <= set(kept)
    # At most the frame in hand at each kill was kept and not told.
    assert len(kept) - len(told) <= KILLS
    tails = {payloads_of(tmp_path / name)[1] for name in names.listed(tmp_path, names.SEGMENT)}
    assert tails <= {Tail.END, Tail.TORN}
