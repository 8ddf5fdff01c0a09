"""A supervisor over scripted children, run as a program: `supervised.py '{"children": ...}'`.

It prints one line of JSON when all are ready, and logs to standard error.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

from typing_extensions import override

from standpipe.supervisor import Backoff, ChildSpec, Owner, Ready, Supervisor

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
        overlaps=entry.get("overlaps", False),
    )


class Told(Owner):
    """Says on standard error what it hears; at each SIGHUP it wants the next of a list."""

    def __init__(self, reloads: list[list[dict[str, Any]] | None]) -> None:
        self.reloads = reloads

    @override
    def on_ready(self, ready: Ready) -> None:
        print(json.dumps(ready), flush=True)

    @override
    def on_reload(self) -> list[ChildSpec] | None:
        wanted = self.reloads.pop(0)
        return None if wanted is None else [child_spec(entry) for entry in wanted]

    @override
    def on_reloaded(self, *, is_whole: bool) -> None:
        say(f"reloaded, whole: {is_whole}")

    @override
    def on_end(self, name: str, pid: int) -> None:
        say(f"end of {name}: {pid}")

    @override
    def on_stop(self) -> None:
        say("on_stop")


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def main() -> int:
    plan = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    supervisor = Supervisor(
        [child_spec(entry) for entry in plan["children"]],
        Told(plan.get("reloads", [])),
        backoff=Backoff(first=0.05, longest=plan.get("longest", 0.2), settled=10.0),
    )
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
