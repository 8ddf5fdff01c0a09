"""`standpipe doctor`: what is right, what is wrong, and what to do about it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import typer

from standpipe import config
from standpipe.cli import output
from standpipe.cli.options import ConfigOption
from standpipe.errors import ConfigError, StandpipeError

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
    wrong = 0
    with ExitStack() as stack:
        for finding in _findings(config_path, stack):
            wrong += finding.state == "wrong"
            _print(console, finding)
    if wrong:
        console.print(f"\n{wrong} wrong", style="bold red")
        raise typer.Exit(1)


def _findings(config_path: str | None, stack: ExitStack) -> Iterator[Finding]:
    from standpipe.cli import checks, door_check, nodes_check, spool_check
    from standpipe.providers.rows import completed

    try:
        settings = completed(config.load(config_path))
    except ConfigError as error:
        advice = "nothing else can be checked before this"
        yield checks.Finding("wrong", "Configuration", str(error), advice)
        return
    patient = checks.Patient(settings, _store(settings, stack), checks.health(settings))
    for check in (
        checks.configuration,
        checks.home,
        nodes_check.files,
        checks.texts,
        checks.store,
        nodes_check.clock,
        spool_check.spool,
        checks.keys,
        checks.port,
        door_check.exposure,
        door_check.certificate,
        door_check.proxies,
        door_check.pages,
        nodes_check.limits,
        nodes_check.cache,
        checks.embedded,
        checks.names,
        checks.providers,
    ):
        try:
            yield from check(patient)
        except (StandpipeError, OSError) as error:
            yield checks.Finding("wrong", check.__name__.capitalize(), str(error))


def _store(settings: Settings, stack: ExitStack) -> Store | None:
    from standpipe.cli import stores

    try:
        return stack.enter_context(stores.opened(settings))
    except StandpipeError:
        return None  # which the check of the store explains


def _print(console: Console, finding: Finding) -> None:
    from rich.text import Text

    line = Text(f"{finding.state:6} ", style=_STYLES[finding.state])
    line.append(f"{finding.what}: ", style="bold").append(output.plain(finding.found), style="none")
    console.print(line, soft_wrap=True)
    if finding.advice:
        console.print(Text(_INDENT + output.plain(finding.advice), style="dim"), soft_wrap=True)
