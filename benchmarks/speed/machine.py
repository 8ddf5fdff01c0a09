"""The machine: which core is whose, what processes take, and who else is busy. Linux only."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil

#: The core of what is measured, and those of all else; one core must do where there is one.
CORES = sorted(os.sched_getaffinity(0))
TARGET_CORE = CORES[-1]
OTHER_CORES = CORES[:-1] or CORES
#: Seconds that a sample waits for the target's core to be free, and how free that is.
QUIET_S, QUIET = 6.0, 0.06
#: Seconds that a process has to end.
_END_S = 10.0
#: What makes a Python faster that is built with it.
_FASTER = ("--enable-optimizations", "--with-lto")


def pinned(cores: Iterable[int]) -> list[str]:
    """Return the words before a command that keep it on these cores."""
    return ["taskset", "-c", ",".join(map(str, cores))]


@contextlib.contextmanager
def first(pids: Iterable[int]) -> Iterator[None]:
    """Let processes go before all else on their cores, where this user may grant that; root may."""
    pids = tuple(pids)
    for pid in pids:
        _schedule(pid, os.SCHED_FIFO, 1)
    try:
        yield
    finally:
        for pid in pids:
            _schedule(pid, os.SCHED_OTHER, 0)


def may_go_first() -> bool:
    """Tell whether `first` does anything."""
    may = _schedule(0, os.SCHED_FIFO, 1)
    return _schedule(0, os.SCHED_OTHER, 0) and may


def _schedule(pid: int, policy: int, priority: int) -> bool:
    try:
        os.sched_setscheduler(pid, policy, os.sched_param(priority))
    except (PermissionError, ProcessLookupError):
        return False
    return True


def pin(pid: int, cores: Iterable[int]) -> None:
    """Keep all threads of a process on these cores."""
    words = ["taskset", "-a", "-p", "-c", ",".join(map(str, cores)), str(pid)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, timeout=10)


def tree(pid: int) -> list[int]:
    """Return the ids of a process and of all below it; none once it is gone."""
    try:
        root = psutil.Process(pid)
        return [pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.Error:
        return []


def cpu_s(pids: Iterable[int]) -> float:
    """Return the seconds of a processor that processes have used, to the nanosecond."""
    return sum(_cpu_ns(pid) for pid in pids) / 1e9


def _cpu_ns(pid: int) -> int:
    # A clock of another process's: clock_getcpuclockid(3), as Linux encodes it.
    try:
        return time.clock_gettime_ns(~pid << 3 | 2)
    except OSError:
        return 0


def pss_mb(pids: Iterable[int]) -> float:
    """Return the memory of processes, what they share counted once, in 10^6 bytes."""
    return sum(_pss(pid) for pid in pids) / 1e6


def _pss(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def core_busy_s() -> float:
    """Return the seconds that the target's core has worked since the machine's start."""
    name = f"cpu{TARGET_CORE} "
    lines = Path("/proc/stat").read_text().splitlines()
    ticks = [int(each) for each in next(x for x in lines if x.startswith(name)).split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(limit: float = QUIET_S) -> None:
    """Wait until nobody else needs the target's core, but not for ever."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        before = core_busy_s()
        time.sleep(0.25)
        if core_busy_s() - before < QUIET:
            return


def free_port() -> int:
    """Return a port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Return once somebody listens; TimeoutError if that takes too long."""
    until = time.monotonic() + _END_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.01)
    raise TimeoutError(f"nobody listens at port {port}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all below it, by force if it must be."""
    below = [psutil.Process(pid) for pid in tree(process.pid) if psutil.pid_exists(pid)]
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    for each in below:
        with contextlib.suppress(psutil.Error):
            each.kill()
    process.wait(_END_S)


def end_with_all() -> None:
    """Let SIGTERM end this process as an error does, so that all that was started is ended too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def described() -> dict[str, Any]:
    """Return what a reader must know of this machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": len(CORES),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "python_built": python_built(),
        "others_first": may_go_first(),
        "load_before": [round(each, 1) for each in psutil.getloadavg()],
    }


def python_built() -> str | None:
    """Return what Python was configured with that makes it faster, None if it does not say.

    Who builds it may ask for the same in other ways, of which it says nothing: Debian does.
    """
    told = sysconfig.get_config_var("CONFIG_ARGS")
    if told is None:
        return None
    named = [each for each in shlex.split(told) if each.startswith(_FASTER)]
    return f"configured with {' and '.join(named) or 'neither ' + ' nor '.join(_FASTER)}"
