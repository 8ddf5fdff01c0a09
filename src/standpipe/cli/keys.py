"""`standpipe keys`: who may call."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
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
from standpipe.cli.options import ConfigOption, JsonOption, ProjectOption
from standpipe.config import Content
from standpipe.errors import ConfigError

if TYPE_CHECKING:
    from standpipe.store import Key, Store

commands = typer.Typer(help="Make, list and end the keys that callers hold.", no_args_is_help=True)

KeyArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the key, or its beginning.")]

ContentOption = Annotated[
    Content | None,
    typer.Option("--content", help="What is kept of its calls' text.", show_default=False),
]

_COLUMNS = ("ID", "Project", "Name", "Rights", "Content", "Created", "Revoked")
#: Ours are shorter; those of foreign keys are UUIDs, which their beginning tells apart.
_SHORT_ID = 13

_KEEP = """\
This is shown once and kept nowhere: store it now where its holder finds it.
Send it as `Authorization: Bearer <key>`; OpenAI's client takes it as `api_key`.
"""


@commands.command()
def create(
    *,
    project: ProjectOption = None,
    name: Annotated[str, typer.Option("--name", help="What the key is for.")] = "",
    read_only: Annotated[bool, typer.Option("--read-only", help="No logging, no writing.")] = False,
    admin: Annotated[bool, typer.Option("--admin", help="It may use the admin API too.")] = False,
    content: ContentOption = None,
    config_path: ConfigOption = None,
) -> None:
    """Make a key and print it: the one time that it can be seen."""
    from standpipe.cli import stores

    with stores.made(config.load(config_path)) as store:
        owner = stores.project_named(store, project) if project else stores.first(store)
        _add(store, owner.id, name=name, read_only=read_only, admin=admin, content=content)


@commands.command("list")
def list_keys(
    *, project: ProjectOption = None, as_json: JsonOption = False, config_path: ConfigOption = None
) -> None:
    """List the keys, revoked ones too; what is listed opens nothing."""
    from standpipe.cli import stores

    with stores.opened(config.load(config_path)) as store:
        names = stores.project_names(store)
        keys = store.keys(stores.project_id(store, project))
    if as_json:
        for key in keys:
            output.print_json(_as_json(key, names[key.project]))
    else:
        _print_table(keys, names)


@commands.command("set")
def set_key(
    key: KeyArgument,
    *,
    content: Annotated[
        Literal["full", "redacted", "none", "default"],
        typer.Option("--content", help="What is kept of its calls' text from now on."),
    ],
    config_path: ConfigOption = None,
) -> None:
    """Change what is kept of a key's calls; running servers learn of it within 2 seconds."""
    from standpipe.cli import stores

    with stores.opened(config.load(config_path)) as store:
        found = _find(store, key)
        store.change_key(found.id, {"content": None if content == "default" else content})
    typer.echo(f"{found.id} has content {content}")


@commands.command()
def limit(
    key: KeyArgument,
    *,
    requests_per_minute: RequestsOption = None,
    tokens_per_minute: TokensOption = None,
    concurrent_calls: ConcurrentOption = None,
    dollars_per_day: DayOption = None,
    dollars_per_month: MonthOption = None,
    models: Annotated[
        str | None,
        typer.Option(
            "--models",
            metavar="PATTERNS",
            help="The models it may ask for, such as gpt-4o*,claude-*.",
            show_default=False,
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", metavar="WHEN", help="When it ends: 30d, or a date.", show_default=False
        ),
    ] = None,
    config_path: ConfigOption = None,
) -> None:
    """Say what a key may do; `none` takes a limit away, and without options it is shown."""
    from standpipe.cli import stores

    limits = limiting.given(
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        concurrent_calls=concurrent_calls,
        dollars_per_day=dollars_per_day,
        dollars_per_month=dollars_per_month,
    )
    changes: dict[str, str | int | None] = {}
    if models is not None:
        changes["models"] = limiting.patterns(models)
    if expires is not None:
        changes["expires_at"] = limiting.moment(expires, datetime.now().astimezone())
    with stores.opened(config.load(config_path)) as store:
        found = _find(store, key)
        if limits:
            changes["limits"] = limiting.changed(found.limits, limits)
        found = (store.change_key(found.id, changes) if changes else None) or found
    typer.echo(f"{found.id}: {_limits(found)}")


@commands.command()
def revoke(key: KeyArgument, *, config_path: ConfigOption = None) -> None:
    """End a key for good; running servers learn of it within 2 seconds."""
    from standpipe.cli import stores

    with stores.opened(config.load(config_path)) as store:
        found = _find(store, key)
        store.revoke_key(found.id)
    typer.echo(f"{found.id} is revoked")


@commands.command()
def rotate(key: KeyArgument, *, config_path: ConfigOption = None) -> None:
    """Replace a key: make a new one with all that the old one has, then revoke the old."""
    from standpipe.cli import stores

    with stores.opened(config.load(config_path)) as store:
        old = _find(store, key)
        # In this order: if the second step fails, its holder still has a key that works.
        _add(store, old.project, **{name: getattr(old, name) for name in _KEPT})
        store.revoke_key(old.id)
    typer.echo(f"{old.id} is revoked", err=True)


#: What a key hands down to the one that replaces it.
_KEPT = ("name", "read_only", "content", "admin", "expires_at", "models", "limits")


def _add(store: Store, project_id: str, **chosen: Any) -> None:
    """Make a key and print it; `chosen` are fields of `Key`."""
    from standpipe.store import new_token

    _, token = new_token()
    store.add_key(project_id, token=token, **chosen)
    typer.echo(token)
    typer.echo(_KEEP, err=True, nl=False)


def _find(store: Store, beginning: str) -> Key:
    """Return the one key that works whose id begins so; ConfigError where that is not one."""
    found = [key for key in store.keys(None) if beginning and key.id.startswith(beginning)]
    exact = [key for key in found if key.id == beginning]
    working = [key for key in exact or found if key.revoked_at is None]
    if len(working) == 1:
        return working[0]
    if working:
        raise ConfigError(f"several keys begin with {beginning!r}: {_ids(working)}")
    if found:
        raise ConfigError(f"{_ids(found)}: revoked before")
    raise ConfigError(f"there is no key {beginning!r}; `standpipe keys list` shows their ids")


def _limits(key: Key) -> str:
    """Return in words what a key may do."""
    told = [limiting.in_words(key.limits)] if key.limits else []
    if key.models is not None:
        told.append("models " + ", ".join(msgspec.json.decode(key.models, type=list[str])))
    if key.expires_at is not None:
        told.append(f"until {output.local_time(key.expires_at):%Y-%m-%d %H:%M}")
    return ", ".join(told) or "no limits of its own"


def _ids(keys: list[Key]) -> str:
    return ", ".join(key.id for key in keys)


def _print_table(keys: list[Key], names: dict[str, str]) -> None:
    table = output.table(*_COLUMNS, elastic=("Project", "Name"))
    for key in keys:
        style = "" if key.revoked_at is None else "dim"
        cells = (key.id[:_SHORT_ID], names[key.project], key.name, _rights(key), key.content or "")
        dates = (output.date(key.created_at), output.date(key.revoked_at))
        table.add_row(*(output.cell(text, style) for text in (*cells, *dates)))
    output.console().print(table)


def _rights(key: Key) -> str:
    rights = "read-only" if key.read_only else "read/write"
    return f"admin, {rights}" if key.admin else rights


def _as_json(key: Key, project: str) -> dict[str, Any]:
    revoked = None if key.revoked_at is None else output.iso(key.revoked_at)
    return {
        "id": key.id,
        "project": project,
        "name": key.name,
        "read_only": key.read_only,
        "admin": bool(key.admin),
        "content": key.content,
        "limits": limiting.as_json(key.limits),
        "models": None if key.models is None else msgspec.json.decode(key.models),
        "expires_at": None if key.expires_at is None else output.iso(key.expires_at),
        "created_at": output.iso(key.created_at),
        "revoked_at": revoked,
    }
