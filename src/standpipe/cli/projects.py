"""`standpipe projects`: whose calls and keys are kept apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from standpipe import config
from standpipe.cli import limiting, output
from standpipe.cli.limiting import (
    ConcurrentOption,
    DayOption,
    MonthOption,
    RequestsOption,
    TokensOption,
)
from standpipe.cli.options import ConfigOption, JsonOption
from standpipe.errors import ConfigError

if TYPE_CHECKING:
    from standpipe.store import Project, Store

commands = typer.Typer(
    help="Make, list, change and remove projects; each has keys and calls of its own.",
    no_args_is_help=True,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name or id of the project.")]

_LONGEST = 64


@commands.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new project.")],
    *,
    config_path: ConfigOption = None,
) -> None:
    """Make a project; it has no key yet."""
    from standpipe.cli import stores

    settings = config.load(config_path)
    _check(name)
    is_new = stores.is_absent(settings)
    with stores.made(settings) as store:
        # A new store has a project already.
        if not (is_new and store.project(name)):
            store.add_project(name)
    typer.echo(f"{name} is there; `standpipe keys create --project {name}` makes a key for it")


@commands.command("list")
def list_projects(*, as_json: JsonOption = False, config_path: ConfigOption = None) -> None:
    """List the projects, with their working keys, their calls, and how long these are kept."""
    from standpipe.cli import keeping, stores

    table = output.table(
        *("Name", "Keys", "Calls", "Texts", "Kept", "Created", "ID"),
        right=("Keys", "Calls", "Texts"),
        elastic=("Name", "Kept"),
    )
    settings = config.load(config_path)
    with stores.opened(settings) as store:
        sizes = store.content_sizes()
        for project in store.projects():
            keys, calls = _counts(store, project.id)
            texts = sizes.get(project.id, 0)
            if as_json:
                output.print_json(_line(project, keys, calls, texts))
            figures = (f"{keys:,}", f"{calls:,}", keeping.size(texts))
            kept = output.cell(keeping.in_words(project, settings.retention))
            created = output.date(project.created_at)
            table.add_row(output.cell(project.name), *figures, kept, created, project.id)
    if not as_json:
        output.console().print(table)


@commands.command()
def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Name or id of the project.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    *,
    config_path: ConfigOption = None,
) -> None:
    """Give a project another name; its keys and calls stay with it."""
    from standpipe.cli import stores

    _check(new)
    with stores.opened(config.load(config_path)) as store:
        project = stores.project_named(store, old)
        store.rename_project(project.id, new)
    typer.echo(f"{project.name} is now {new}")


@commands.command()
def keep(
    name: NameArgument,
    *,
    content_days: Annotated[
        str | None,
        typer.Option(
            "--content-days",
            metavar="DAYS",
            help="Days that texts are kept; 0 is for ever.",
            show_default=False,
        ),
    ] = None,
    records_days: Annotated[
        str | None,
        typer.Option(
            "--records-days",
            metavar="DAYS",
            help="Days that the numbers of a call are kept; 0 is for ever.",
            show_default=False,
        ),
    ] = None,
    content_bytes: Annotated[
        str | None,
        typer.Option(
            "--content-bytes",
            metavar="BYTES",
            help="Bytes that the texts may take; 0 is no limit.",
            show_default=False,
        ),
    ] = None,
    config_path: ConfigOption = None,
) -> None:
    """Say how long a project's calls are kept; `default` is what the configuration says."""
    from standpipe.cli import keeping, stores

    changes = keeping.changes(
        content_days=content_days, records_days=records_days, content_bytes=content_bytes
    )
    settings = config.load(config_path)
    with stores.opened(settings) as store:
        project = stores.project_named(store, name)
        if changes:
            project = store.change_project(project.id, changes) or project
    typer.echo(f"{project.name} keeps {keeping.in_words(project, settings.retention)}")


@commands.command()
def limit(
    name: NameArgument,
    *,
    requests_per_minute: RequestsOption = None,
    tokens_per_minute: TokensOption = None,
    concurrent_calls: ConcurrentOption = None,
    dollars_per_day: DayOption = None,
    dollars_per_month: MonthOption = None,
    config_path: ConfigOption = None,
) -> None:
    """Say what a project's keys may do together; `none` takes a limit away."""
    from standpipe.cli import stores

    limits = limiting.given(
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        concurrent_calls=concurrent_calls,
        dollars_per_day=dollars_per_day,
        dollars_per_month=dollars_per_month,
    )
    with stores.opened(config.load(config_path)) as store:
        project = stores.project_named(store, name)
        if limits:
            changes = {"limits": limiting.changed(project.limits, limits)}
            project = store.change_project(project.id, changes) or project
    typer.echo(f"{project.name}: {limiting.in_words(project.limits) or 'no limits'}")


@commands.command()
def remove(
    name: NameArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config_path: ConfigOption = None,
) -> None:
    """Delete a project for good, with its keys and every call it has kept."""
    from standpipe.cli import stores

    with stores.opened(config.load(config_path)) as store:
        project = stores.project_named(store, name)
        keys, calls = _counts(store, project.id)
        typer.echo(f"{project.name}: {keys:,} working keys end, {calls:,} calls are deleted.")
        if not yes:
            typer.confirm("This cannot be undone. Remove it?", abort=True)
        store.remove_project(project.id)
    typer.echo(f"{project.name} is removed")


def _line(project: Project, keys: int, calls: int, texts: int) -> dict[str, Any]:
    """Return what is printed of a project for programs; null is what the configuration says."""
    return {
        "id": project.id,
        "name": project.name,
        "keys": keys,
        "calls": calls,
        "text_bytes": texts,
        "content_days": project.content_days,
        "records_days": project.records_days,
        "content_bytes": project.content_bytes,
        "limits": limiting.as_json(project.limits),
        "created_at": output.iso(project.created_at),
    }


def _counts(store: Store, project_id: str) -> tuple[int, int]:
    """Return how many working keys and how many calls a project has."""
    working = [key for key in store.keys(project_id) if key.revoked_at is None]
    return len(working), sum(store.counts(project_id).values())


def _check(name: str) -> None:
    if not 1 <= len(name) <= _LONGEST or not name.isprintable() or name != name.strip():
        raise ConfigError(f"{name!r}: a name is 1 to {_LONGEST} printable characters")
