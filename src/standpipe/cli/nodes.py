"""`standpipe nodes`: what nodes that are away hold of budgets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from standpipe import config
from standpipe.cli import output
from standpipe.cli.options import ConfigOption, JsonOption
from standpipe.errors import ConfigError

if TYPE_CHECKING:
    from redis import Redis

commands = typer.Typer(
    help="List the nodes whose calls hold money while they are away, and forget one.",
    no_args_is_help=True,
)

#: Seconds that Redis may take.
_WITHIN_S = 10.0


@commands.command("list")
def list_nodes(*, as_json: JsonOption = False, config_path: ConfigOption = None) -> None:
    """List the nodes with calls of which nobody has told how they ended."""
    from standpipe.limits.absent import absent
    from standpipe.limits.limits import dollars

    table = output.table("Node", "Calls", "Dollars", "Since", right=("Calls", "Dollars"))
    with _redis(config_path) as client:
        found = absent(client)
    for each in found:
        held, since = str(dollars(each.held)), output.iso(each.since)
        if as_json:
            line = {"node": each.node, "calls": each.calls, "dollars": held, "since": since}
            output.print_json(line)
        table.add_row(output.cell(each.node), f"{each.calls:,}", held, since)
    if not as_json:
        output.console().print(table)


@commands.command()
def forget(
    node: Annotated[str, typer.Argument(metavar="NODE", help="Name of the node, as listed.")],
    *,
    config_path: ConfigOption = None,
) -> None:
    """Give back what a node holds whose records will never be stored, for its disk is gone."""
    from standpipe.limits import absent

    with _redis(config_path) as client:
        if all(each.node != node for each in absent.absent(client)):
            raise ConfigError(f"no node {node!r} holds anything: `standpipe nodes list`")
        absent.forget(client, node)
    typer.echo(f"what {node} holds is given back within seconds of the next call")


@contextmanager
def _redis(config_path: str | None) -> Iterator[Redis]:
    url = config.load(config_path).limits.redis
    if url is None:
        raise ConfigError("limits.redis is not set: each node counts by itself, and holds nothing")
    shown = config.without_password(url.reveal())
    try:
        from redis import Redis, RedisError
    except ImportError as error:
        raise ConfigError("limits.redis: needs the extra `redis`: standpipe[redis]") from error
    try:
        with Redis.from_url(
            url.reveal(),
            socket_timeout=_WITHIN_S,
            socket_connect_timeout=_WITHIN_S,
            decode_responses=True,
        ) as client:
            yield client
    except (RedisError, OSError) as error:
        why = config.without_password(str(error).partition("\n")[0])
        raise ConfigError(f"limits.redis: {shown}: {why or type(error).__name__}") from error
