"""A supervisor over scripted children, run as a program: `supervised.py '{"children": ...}'`.

It prints one line of JSON when all are ready, and logs to standard error.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

from standpipe.supervisor import Backoff, ChildSpec, Supervisor

CHILD = str(Path(__file__).with_name("child.py"))


def child_spec(entry: dict[str, Any]) -> ChildSpec:
    return ChildSpec(
        name=entry["name"],
        argv=entry.get("argv", [sys.executable, "-S", CHILD]),
        spec=entry.get("spec", {}) | {"name": entry["name"]},
        pass_fds=tuple(entry.get("pass_fds", ())),
        ready_timeout=entry.get("ready_timeout", 20.0),
        essential=entry.get("essential", True),
        stop_order=entry.get("stop_order", 0),
        grace=entry.get("grace", 20.0),
        once=entry.get("once", False),
        finishes=entry.get("finishes", False),
    )


def main() -> int:
    plan = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    supervisor = Supervisor(
        [child_spec(entry) for entry in plan["children"]],
        backoff=Backoff(first=0.05, longest=plan.get("longest", 0.2), settled=10.0),
        on_stop=lambda: print("on_stop", file=sys.stderr, flush=True),
    )
    return supervisor.run(lambda ready: print(json.dumps(ready), flush=True))


if __name__ == "__main__":
    sys.exit(main())
