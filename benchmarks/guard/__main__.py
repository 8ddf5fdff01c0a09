"""`make bench-guard`: count the instructions of a call and compare them with the baseline.

Ends with 1 if one takes more than recorded. Needs valgrind and a C compiler; no clock is read, so
that it may run on a busy machine. The counts are those of one Python build and one kind of machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from guard.compare import dearer, table
from guard.rig import counted

BASELINE = Path(__file__).parents[1] / "guard.json"


def main() -> int:
    """Count, print and compare, or write the baseline."""
    parser = argparse.ArgumentParser(prog="make bench-guard", description=__doc__)
    parser.add_argument("--write", action="store_true", help="record what is counted now")
    writes = parser.parse_args().write
    for tool in ("valgrind", "cc"):
        if shutil.which(tool) is None:
            print(f"bench-guard needs {tool}: apt-get install {tool.replace('cc', 'gcc')}")
            return 2
    recorded = json.loads(BASELINE.read_text()) if BASELINE.exists() else {"counts": {}}
    with tempfile.TemporaryDirectory(prefix="standpipe-guard-") as folder:
        found = counted(Path(folder))
    print(table(found, recorded["counts"]))
    if writes:
        BASELINE.write_text(json.dumps({**_machine(), "counts": found}, indent=1) + "\n")
        return 0
    if recorded.keys() - {"counts"} and _machine() != {n: recorded[n] for n in _machine()}:
        print(f"the baseline is of another interpreter: {recorded}; record one here with --write")
    worse = dearer(found, recorded["counts"])
    if worse:
        print(f"dearer than recorded: {', '.join(worse)}")
    return 1 if worse else 0


def _machine() -> dict[str, str]:
    return {"python": platform.python_version(), "machine": platform.machine()}


if __name__ == "__main__":
    sys.exit(main())
