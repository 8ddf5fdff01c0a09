"""Commands run as processes of their own, on a data directory that need not be there yet."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from serving import PATIENCE, environment

from standpipe.store import Row

#: Puts a call into the store; fields may be given.
RowAdder = Callable[..., Row]


@dataclass
class CommandLine:
    """Runs commands on one data directory."""

    home: Path

    def run(
        self,
        *arguments: str,
        keys: str | None = None,
        **settings: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; settings are environment variables, those of Standpipe by full name.

        `keys` are what is typed.
        """
        return subprocess.run(
            [sys.executable, "-m", "standpipe", *arguments],
            env=self.environment(**settings),
            cwd=self.home.parent,
            capture_output=True,
            input=keys,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def __call__(self, *arguments: str, **settings: str) -> str:
        """Run a command that must do well; return what it prints."""
        done = self.run(*arguments, **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def fails(self, *arguments: str, **settings: str) -> str:
        """Run a command that must fail with one line; return that line."""
        done = self.run(*arguments, **settings)
        assert done.returncode == 1, done.stdout
        assert done.stderr.startswith("standpipe: ")
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr

    def fails_at_last(self, *arguments: str, **settings: str) -> str:
        """Run a command that must fail after it has said something; return its last line."""
        done = self.run(*arguments, **settings)
        assert done.returncode == 1, done.stdout
        return done.stderr.splitlines()[-1]

    def environment(self, **settings: str) -> dict[str, str]:
        quiet = {"STANDPIPE_LOCAL_ENABLED": "false", "TZ": "UTC"}
        return environment(self.home, **{**quiet, **settings})
