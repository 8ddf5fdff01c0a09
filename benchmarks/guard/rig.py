"""Count: start what is counted under valgrind, place calls, read what valgrind wrote."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count, cycle
from pathlib import Path

import msgspec

from guard.counted import MARKED
from guard.lockstep import Lockstep
from standpipe.server.sockets import bind
from standpipe.store import Store, new_token

HERE = Path(__file__).parent
#: Calls before anything is counted; the first ones fill caches of the interpreter's.
WARM = 30
#: Calls of a phase, and half those of the next one; the difference divided is what one takes.
CALLS, UNSEEN, STREAMS = 100, 40, 20
#: Keys that call in turn; each 16th head is remembered, and must be another's.
IN_TURN = 17
#: Frames of a phase of the spool's.
FRAMES = 2_000
#: How often both phases are counted; the median counts.
ROUNDS = 3

#: By name: the calls of a phase, and what places one.
Asked = dict[str, tuple[int, Callable[[], None]]]


def counted(folder: Path) -> dict[str, int]:
    """Return the instructions of one of each; `folder` is for what is written meanwhile."""
    marks = folder / "marks.so"
    subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", "-o", marks, HERE / "marks.c"], check=True, timeout=60
    )
    return {**_calls(folder, marks), "spool append": _appends(folder, marks)}


def _calls(folder: Path, marks: Path) -> dict[str, int]:
    with closing(Store.open(f"sqlite:///{folder}/standpipe.db")) as store:
        store.migrate()
        project = store.add_project("default").id
        tokens = [new_token()[1] for _ in range(IN_TURN + ROUNDS * 3 * UNSEEN)]
        for token in tokens:
            store.add_key(project, name="bench", read_only=False, token=token)
    key, in_turn, unseen = tokens[0], cycle(tokens[:IN_TURN]), iter(tokens[IN_TURN:])
    with _worker(folder, marks) as (process, lockstep):
        asked: Asked = {
            "call": (CALLS, lambda: lockstep.whole(key)),
            "stream of 64 chunks": (STREAMS, lambda: lockstep.streamed(key)),
            "call answered from memory": (CALLS, lambda: lockstep.again(key)),
            # The last: their heads all differ, so that the connection remembers few.
            "call with the next of 17 keys": (CALLS, lambda: lockstep.whole(next(in_turn))),
            "call with a key not seen before": (UNSEEN, lambda: lockstep.whole(next(unseen))),
        }
        lockstep.whole(key, cached=True)
        for _ in range(WARM):
            lockstep.whole(key)
            lockstep.streamed(key)
            lockstep.again(key)
        for _ in range(2 * IN_TURN):
            lockstep.whole(next(in_turn))
        for _ in range(2):
            lockstep.whole(key)
        found = _phases(folder, process, asked)
    with _worker(folder, marks, "[cache]\nmemory_bytes = 0\n") as (process, lockstep):
        for _ in range(WARM):
            lockstep.again(key)
        stored: Asked = {"call answered from the store": (CALLS, lambda: lockstep.again(key))}
        return found | _phases(folder, process, stored)


def _phases(folder: Path, process: subprocess.Popen[bytes], asked: Asked) -> dict[str, int]:
    _mark(process)
    marks_set = count(1)
    found = {}
    for name, (calls, ask) in asked.items():
        phases = []
        for size in (calls, 2 * calls) * ROUNDS:
            for _ in range(size):
                ask()
            _mark(process)
            phases.append(_instructions(folder / "counts.worker", next(marks_set)))
        found[name] = per_one(phases, calls)
    return found


def per_one(phases: Sequence[int], calls: int) -> int:
    """Return the median of what one call takes, from phases of N, 2N, N, 2N … calls."""
    pairs = zip(phases[::2], phases[1::2], strict=True)
    return round(statistics.median((twice - once) / calls for once, twice in pairs))


@contextmanager
def _worker(
    folder: Path, marks: Path, more: str = ""
) -> Iterator[tuple[subprocess.Popen[bytes], Lockstep]]:
    """Run a worker on a socket of its own, with its provider here."""
    listening = bind("127.0.0.1", 0)
    lockstep = Lockstep(listening.getsockname()[1])
    spec = {"config": None, "text": _configuration(lockstep.port) + more, "worker": 0}
    words = [*_valgrind(folder / "counts.worker", marks), "worker"]
    pipe = subprocess.PIPE
    with (
        closing(lockstep),
        (folder / "worker.log").open("wb") as log,
        subprocess.Popen(
            words,
            stdin=pipe,
            stdout=pipe,
            stderr=log,
            env=_environment(folder),
            pass_fds=[listening.fileno()],
        ) as process,
    ):
        try:
            assert process.stdin is not None
            process.stdin.write(
                msgspec.json.encode({**spec, "sockets": [listening.fileno()]}) + b"\n"
            )
            process.stdin.flush()
            _expect(process, b'{"ready":true}\n')
            yield process, lockstep
        except (OSError, AssertionError) as error:
            raise SystemExit(f"{error}\n{(folder / 'worker.log').read_text()[-2000:]}") from error
        finally:
            listening.close()
            process.kill()


def _configuration(port: int) -> str:
    return f'[providers.up]\nbase_url = "http://127.0.0.1:{port}/v1"\n[logging]\ndefault = "all"\n'


def _appends(folder: Path, marks: Path) -> int:
    phases = [str(each) for each in (FRAMES, 2 * FRAMES) * ROUNDS]
    words = [*_valgrind(folder / "counts.spool", marks), "spool", str(folder / "frames"), *phases]
    subprocess.run(words, env=_environment(folder), check=True, timeout=600)
    found = [_instructions(folder / "counts.spool", number + 1) for number in range(len(phases))]
    return per_one(found, FRAMES)


def _valgrind(out: Path, marks: Path) -> list[str]:
    options = ["--quiet", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]
    return ["valgrind", *options, sys.executable, "-m", "guard.counted", str(marks)]


def _environment(home: Path) -> dict[str, str]:
    """Return an environment in which each run hashes the same way."""
    ours = {n: v for n, v in os.environ.items() if not n.startswith("STANDPIPE_")}
    own = {"STANDPIPE_HOME": str(home), "STANDPIPE_LOCAL_ENABLED": "false", "PYTHONHASHSEED": "0"}
    paths = [str(HERE.parent), ours.get("PYTHONPATH", "")]
    return {**ours, **own, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _mark(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGUSR2)
    _expect(process, MARKED)


def _expect(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdout is not None
    said = process.stdout.readline()
    if said != line:
        raise OSError(f"the worker said {said!r}")


def _instructions(out: Path, number: int) -> int:
    """Return what valgrind counted up to a mark; it writes a file for each."""
    for line in Path(f"{out}.{number}").read_text().splitlines():
        if line.startswith("summary:"):
            return int(line.split()[1])
    raise LookupError(f"{out}.{number} has no summary")
