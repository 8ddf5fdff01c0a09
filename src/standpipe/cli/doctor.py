"""`standpipe doctor`: what is right, what is wrong, and what to do about it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from standpipe import config
from standpipe.cli import output
from standpipe.cli.options import ConfigOption
from standpipe.errors import StandpipeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from standpipe.cli.checks import Finding
    from standpipe.config import Settings
    from standpipe.store import Store

_STYLES = {"ok": "green", "note": "yellow", "wrong": "bold red"}
_INDENT = " " * 7


def doctor(*, config_path: ConfigOption = None) -> None:
    """Check configuration, data, keys, server, models and providers; exit with 1 if any is wrong.

    Nothing is changed, and no key is shown.
    """
    console = output.console()
    settings = config.load(config_path)
    wrong = 0
    with ExitStack() as stack:
        for finding in _findings(settings, stack):
            wrong += finding.state == "wrong"
            _print(console, finding)
    if wrong:
        console.print(f"\n{wrong} wrong", style="bold red")
        raise typer.Exit(1)


def _findings(settings: Settings, stack: ExitStack) -> Iterator[Finding]:
    from standpipe.cli import checks, spool_check

    patient = checks.Patient(settings, _store(settings, stack), checks.health(settings))
    for check in (
        checks.configuration,
        checks.home,
        checks.store,
        spool_check.spool,
        checks.keys,
        checks.port,
        checks.exposure,
        checks.embedded,
        checks.names,
        checks.providers,
    ):
        yield from check(patient)


def _store(settings: Settings, stack: ExitStack) -> Store | None:
    from standpipe.cli import stores

    try:
        return stack.enter_context(stores.opened(settings))
    except StandpipeError:
        return None  # which the check of the store explains


def _print(console: Console, finding: Finding) -> None:
    line = Text(f"{finding.state:6} ", style=_STYLES[finding.state])
    line.append(f"{finding.what}: ", style="bold").append(output.plain(finding.found), style="none")
    console.print(line, soft_wrap=True)
    if finding.advice:
        console.print(Text(_INDENT + output.plain(finding.advice), style="dim"), soft_wrap=True)
