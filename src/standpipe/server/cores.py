"""How many cores there are for us."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

_PROCESS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def cores() -> int:
    """Return the cores that this process may use, as far as its container is given them."""
    allowed = len(os.sched_getaffinity(0))
    return max(1, math.ceil(min(allowed, quota(_PROCESS, _GROUPS))))


def quota(process: Path, groups: Path) -> float:
    """Return the cores that a process's control group (version 2) has, infinity for any number."""
    with contextlib.suppress(OSError, ValueError):
        for line in process.read_text().splitlines():
            if line.startswith("0::"):
                share, period = (groups / line[3:].strip("/") / "cpu.max").read_text().split()
                return int(share) / int(period)
    return math.inf
