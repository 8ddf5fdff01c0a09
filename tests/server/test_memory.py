"""What a worker's allocator keeps; in a process of its own, for the whole of which that holds."""

from __future__ import annotations

import json
import platform
import resource
import subprocess
import sys

import pytest

from standpipe import worker

ROUNDS = 5
MEGABYTES = 8
PAGES = (1 << 20) // 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_memory_of_large_bodies_is_kept_for_the_next_ones() -> None:
    told = subprocess.run([sys.executable, __file__], capture_output=True, check=True, timeout=300)
    before, after = json.loads(told.stdout)
    assert before > ROUNDS * PAGES
    assert after < PAGES


def faults() -> int:
    """Return how often the kernel has to give a page for large blocks, once there were some."""
    counts = []
    for _ in range(2):
        for _ in range(ROUNDS):
            _ = [bytes([number]) * (1 << 20) for number in range(MEGABYTES)]
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    return counts[1] - counts[0]


def main() -> None:
    before = faults()
    worker.keep_memory()
    print(json.dumps([before, faults()]))


if __name__ == "__main__":
    main()
