"""`standpipe projects`: whose calls and keys are kept apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from standpipe import config
from standpipe.cli import output
from standpipe.cli.options import ConfigOption, JsonOption
from standpipe.errors import ConfigError

if TYPE_CHECKING:
    from standpipe.store import Store

commands = typer.Typer(
    help="Make, list, rename and remove projects; each has keys and calls of its own.",
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
    """List the projects, with how many working keys and calls each has."""
    from standpipe.cli import stores

    table = output.table(
        "Name", "Keys", "Calls", "Created", "ID", right=("Keys", "Calls"), elastic=("Name",)
    )
    with stores.opened(config.load(config_path)) as store:
        for project in store.projects():
            keys, calls = _counts(store, project.id)
            if as_json:
                line = {"id": project.id, "name": project.name, "keys": keys, "calls": calls}
                output.print_json({**line, "created_at": output.iso(project.created_at)})
            figures = (f"{keys:,}", f"{calls:,}", output.date(project.created_at))
            table.add_row(output.cell(project.name), *figures, project.id)
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


def _counts(store: Store, project_id: str) -> tuple[int, int]:
    """Return how many working keys and how many calls a project has."""
    working = [key for key in store.keys(project_id) if key.revoked_at is None]
    return len(working), sum(store.counts(project_id).values())


def _check(name: str) -> None:
    if not 1 <= len(name) <= _LONGEST or not name.isprintable() or name != name.strip():
        raise ConfigError(f"{name!r}: a name is 1 to {_LONGEST} printable characters")
