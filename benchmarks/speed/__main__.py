"""`make bench`: measure Standpipe and its peers in one run, and write docs/benchmarks anew.

Linux only. Peers are installed into .cache/bench; one that cannot be is named and left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from speed import machine
from speed.built import build, mocks
from speed.figures import Figures
from speed.measure import Effort
from speed.page import page
from speed.plot import plot
from speed.rows import PARTS, QUICK, TARGETS
from speed.run import Plan, Run

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "bench"


def main() -> None:
    """Measure, and write speed.json, speed.md and the plots."""
    asked = _arguments()
    if asked.again:
        _tell(json.loads((asked.write / "speed.json").read_text()), asked.write)
        return
    if shutil.which("taskset") is None:
        raise SystemExit("bench needs taskset: apt-get install util-linux")
    machine.end_with_all()
    asked.write.mkdir(parents=True, exist_ok=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    effort = Effort(1.0, 1) if asked.quick else Effort(asked.seconds, 3)
    rounds = 1 if asked.quick else asked.rounds
    targets = asked.targets or (QUICK if asked.quick else tuple(TARGETS))
    # On the disk that the repository is on: a spool in memory would be another one.
    with tempfile.TemporaryDirectory(prefix="run-", dir=CACHE) as folder:
        built = build(Path(folder))
        with mocks(built) as where:
            plan = Plan(targets, asked.only, rounds, effort, asked.minutes * 60)
            found = Run(plan, built, where, asked.write / "speed.json").everything()
    _tell(found, asked.write)


def _tell(found: dict[str, Any], folder: Path) -> None:
    told = page(found)
    (folder / "speed.md").write_text(told)
    (folder / "speed.svg").write_text(plot(Figures(found)))
    print(told)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one round of few targets, a second each"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a sample")
    parser.add_argument("--minutes", type=float, default=18.0, help="until no further round begins")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, metavar="TARGET")
    parser.add_argument("--again", action="store_true", help="write the page of the last run anew")
    parser.add_argument("--write", type=Path, default=ROOT / "docs" / "benchmarks")
    return parser.parse_args()


if __name__ == "__main__":
    main()
