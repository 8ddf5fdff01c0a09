"""`standpipe logs`: what was asked and what was answered, read from the store itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from standpipe import config
from standpipe.cli import output
from standpipe.cli.log_filters import filters, labels
from standpipe.cli.options import (
    ConfigOption,
    JsonOption,
    MetadataOption,
    ModelOption,
    OutcomeOption,
    ProjectOption,
    SinceOption,
    StatusOption,
    UntilOption,
)
from standpipe.errors import ConfigError

if TYPE_CHECKING:
    from standpipe.store import LogFilters

commands = typer.Typer(
    help="List, show, follow, export and delete calls; the server may run or not.",
    no_args_is_help=True,
)


@commands.command("list")
def list_calls(
    *,
    model: ModelOption = None,
    status: StatusOption = None,
    outcome: OutcomeOption = None,
    metadata: MetadataOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    project: ProjectOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many calls.")] = 20,
    as_json: JsonOption = False,
    config_path: ConfigOption = None,
) -> None:
    """List calls, the newest first."""
    from standpipe.cli import log_lines, stores

    wanted = filters(
        model=model, status=status, outcome=outcome, metadata=metadata, since=since, until=until
    )
    with stores.opened(config.load(config_path)) as store:
        of_project = stores.project_id(store, project)
        rows = store.logs(of_project, limit=limit, texts=False, **wanted)
    if as_json:
        for row in rows:
            output.print_json(log_lines.numbers(row))
        return
    console = output.console()
    console.print(log_lines.table(rows, console.width) if rows else "no call is like that")


@commands.command()
def show(
    call: Annotated[
        str,
        typer.Argument(metavar="ID", help="Id of the call, its beginning, or its completion's id."),
    ],
    *,
    project: ProjectOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config_path: ConfigOption = None,
) -> None:
    """Show one call: its numbers, its attempts, the request and the response."""
    from standpipe.cli import log_finding, log_lines, log_page, stores

    with stores.opened(config.load(config_path)) as store:
        row = log_finding.find(store, stores.project_id(store, project), call)
        names = stores.project_names(store)
    if as_json:
        output.print_json(log_lines.whole(row))
    else:
        log_page.show(output.console(), row, names.get(row.project, row.project))


@commands.command()
def tail(
    *,
    model: ModelOption = None,
    status: StatusOption = None,
    outcome: OutcomeOption = None,
    metadata: MetadataOption = None,
    project: ProjectOption = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many earlier calls come first.")
    ] = 10,
    as_json: JsonOption = False,
    config_path: ConfigOption = None,
) -> None:
    """Follow calls as they are stored, until Ctrl-C."""
    from standpipe.cli import log_lines, log_tail, stores

    wanted = filters(
        model=model, status=status, outcome=outcome, metadata=metadata, since=None, until=None
    )
    console = output.console()
    with stores.opened(config.load(config_path)) as store:
        of_project = stores.project_id(store, project)
        try:
            for row in log_tail.follow(store, of_project, wanted, earlier=lines):
                if as_json:
                    output.print_json(log_lines.numbers(row))
                else:
                    console.print(log_lines.line(row), no_wrap=True, overflow="ellipsis")
        except KeyboardInterrupt:
            return


@commands.command()
def export(
    *,
    destination: Annotated[
        Path | None,
        typer.Option(
            "--output", help="File to write; without it, standard output.", show_default=False
        ),
    ] = None,
    model: ModelOption = None,
    status: StatusOption = None,
    outcome: OutcomeOption = None,
    metadata: MetadataOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    project: ProjectOption = None,
    keep_duplicates: Annotated[
        bool, typer.Option("--keep-duplicates", help="Keep calls that are the same throughout.")
    ] = False,
    keep_errors: Annotated[
        bool, typer.Option("--keep-errors", help="Keep calls of other statuses than 200.")
    ] = False,
    config_path: ConfigOption = None,
) -> None:
    """Write logged calls as JSONL: input, output, cacheHit, durationMs and tags."""
    from standpipe.cli import log_export, stores

    wanted = filters(
        model=model, status=status, outcome=outcome, metadata=metadata, since=since, until=until
    )
    with stores.opened(config.load(config_path)) as store:
        rows = store.each_log(
            stores.project_id(store, project), **_exported(wanted, keep_errors=keep_errors)
        )
        log_export.run(
            log_export.exportable(rows, keep_errors=keep_errors),
            destination,
            keep_duplicates=keep_duplicates,
        )


@commands.command()
def delete(
    *,
    metadata: MetadataOption = None,
    project: ProjectOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config_path: ConfigOption = None,
) -> None:
    """Delete every call with this metadata for good, and say what went."""
    from standpipe.cli import log_deletion, stores

    wanted = labels(metadata)
    if not wanted:
        raise ConfigError("--metadata: say at least one NAME=VALUE, or every call would go")
    with stores.opened(config.load(config_path)) as store:
        owners = [stores.project_named(store, project)] if project else store.projects()
        if not yes:
            calls = log_deletion.count(store, owners, wanted)
            typer.echo(f"{calls:,} calls have this metadata.", err=as_json)
            typer.confirm("This cannot be undone. Delete them?", abort=True, err=as_json)
        removed = log_deletion.delete(store, owners, wanted)
    if as_json:
        output.print_json(log_deletion.line(removed))
    else:
        typer.echo(log_deletion.in_words(removed))


def _exported(wanted: LogFilters, *, keep_errors: bool) -> LogFilters:
    """Return the filters narrowed to what has text and, unless told otherwise, status 200."""
    status = wanted.get("status")
    if status is None and not keep_errors:
        status = 200
    return {**wanted, "status": status, "logged": True}
