"""`standpipe backup` and `standpipe restore`: all that is kept, in one file and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from standpipe import config
from standpipe.cli import output
from standpipe.cli.options import ConfigOption

if TYPE_CHECKING:
    from standpipe.cli.backing_up import Tell

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Path of the backup.")]

#: Records between two words of progress.
_WORD_EVERY = 200

_WHAT = {"Project": "projects", "Key": "keys", "Row": "calls"}


def backup(file: FileArgument, *, config_path: ConfigOption = None) -> None:
    """Write projects, keys, calls and usage to a new file, while the server runs or not.

    Of keys it has the hashes alone, and of providers nothing.
    """
    from standpipe.cli import stores
    from standpipe.cli.backing_up import back_up
    from standpipe.providers.rows import completed

    settings = completed(config.load(config_path))
    with stores.opened(settings) as store, _progress("backing up") as tell:
        counts = back_up(settings, store, file, tell)
    listed = ", ".join(f"{counts[kind]:,} {name}" for kind, name in _WHAT.items())
    typer.echo(f"{listed} are in {file}", err=True)


def restore(
    file: FileArgument,
    *,
    rename: Annotated[
        bool,
        typer.Option(
            "--rename", help="Give projects whose name is another's here a name of their own."
        ),
    ] = False,
    config_path: ConfigOption = None,
) -> None:
    """Put a backup into the store, which may be new, of another kind, or in use.

    What is there stays as it is. Nothing is changed unless the whole file can be read.
    """
    from standpipe.cli import stores
    from standpipe.cli.backing_up import Restoring, checked
    from standpipe.cli.undrained import begun

    settings = config.load(config_path)
    with _progress("checking") as tell:
        projects = checked(file, tell)
    with stores.migrated(settings) as store:
        restoring = Restoring(store, rename=rename, begun=begun(store, settings.spool_dir))
        restoring.name(projects)
        with _progress("restoring") as tell:
            restoring.run(file, tell)
    table = output.table(
        "", "New", "Left as it was", "Removed here", right=("New", "Left as it was", "Removed here")
    )
    for kind, name in _WHAT.items():
        done = restoring.done[kind]
        table.add_row(name, *(f"{done[each]:,}" for each in ("new", "there", "removed")))
    output.console().print(table)
    for old, new in restoring.names.items():
        typer.echo(f"the project {old} is now {new!r}")


@contextmanager
def _progress(what: str) -> Iterator[Tell]:
    """Show on standard error how many records there were, where that is a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = output.console(stderr=True)
    shown = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with shown as progress:
        task = progress.add_task(what, total=None)

        def tell(done: int, expected: int) -> None:
            if done % _WORD_EVERY == 0:
                progress.update(task, completed=done, total=max(done, expected))

        yield tell
