"""A client's program, running in the client's own environment: asked for a scenario, it plays it.

The program reads scenarios from standard input, one JSON object a line, and answers each with one
line: {"saw": ...}, or {"failed": "a traceback"}. See `playing.py` for the other side.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clients import environments

HERE = Path(__file__).parent
#: Seconds that a scenario may take before its program is ended; a guard, not a goal.
PATIENCE = 180.0


class Program:
    """A running program; after one that ended, the next scenario is another's."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._process = self._started()

    def play(self, scenario: str, **arguments: Any) -> Any:
        """Return what the scenario saw; AssertionError, with its traceback, if it failed."""
        if self._process.poll() is not None:
            self.end()
            self._process = self._started()
        line = self._said(json.dumps({"scenario": scenario, **arguments}))
        assert line, f"the program ended with {self._process.wait(10)} during {scenario}"
        answer = json.loads(line)
        assert "saw" in answer, answer["failed"]
        return answer["saw"]

    def end(self) -> None:
        """Kill it, if it still runs."""
        with self._process:
            self._process.kill()

    def _said(self, asked: str) -> str:
        """Return the line that answers this one, empty if the program ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        guard = threading.Timer(PATIENCE, self._process.kill)
        guard.start()
        try:
            self._process.stdin.write(asked + "\n")
            self._process.stdin.flush()
            return self._process.stdout.readline()
        finally:
            guard.cancel()

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


@contextlib.contextmanager
def python_program(environment: str, module: str, **places: str) -> Iterator[Program]:
    """Run `clients.<module>`; `places` (URLs, keys) are the arguments of all its scenarios."""
    command = [str(environments.python(environment)), "-m", f"clients.{module}"]
    with _program(command, places, PYTHONPATH=str(HERE.parent)) as program:
        yield program


@contextlib.contextmanager
def node_program(packages: str, script: str, **places: str) -> Iterator[Program]:
    """Run a script of this folder with Node, as if it lay beside the packages of a folder."""
    folder = environments.npm(packages)
    # Node looks for packages from where a script lies.
    link = folder / script
    with contextlib.suppress(FileExistsError):
        link.symlink_to(os.path.relpath(HERE / script, folder))
    command = [str(environments.node()), "--preserve-symlinks-main", str(link)]
    with _program(command, places) as program:
        yield program


@contextlib.contextmanager
def _program(command: list[str], places: dict[str, str], **more: str) -> Iterator[Program]:
    ours = ("OPENAI_", "OPENPIPE_", "STANDPIPE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    program = Program([*command, json.dumps(places)], {**kept, **more})
    try:
        yield program
    finally:
        program.end()
