"""All commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from standpipe import __version__
from standpipe.cli import (
    alignment,
    backup,
    best_of,
    criteria,
    doctor,
    import_litellm,
    keys,
    logs,
    models,
    nodes,
    projects,
    verify,
)
from standpipe.cli.options import ConfigOption, WorkersOption
from standpipe.cli.usage import usage

commands = typer.Typer(
    name="standpipe",
    help="A self-hosted, OpenAI-compatible inference gateway that remembers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"standpipe {__version__}")
        raise typer.Exit


@commands.callback()
def standpipe(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Say which version this is."
        ),
    ] = False,
) -> None:
    """Take the options that are no command's own."""
    del version


@commands.command()
def serve(*, config_path: ConfigOption = None, workers: WorkersOption = None) -> None:
    """Serve the API until Ctrl-C."""
    from standpipe.cli.serve import serve as run

    run(config_path, workers)


commands.add_typer(keys.commands, name="keys")
commands.add_typer(projects.commands, name="projects")
criteria.commands.add_typer(alignment.commands)
commands.add_typer(criteria.commands, name="criteria")
commands.add_typer(logs.commands, name="logs")
commands.add_typer(models.commands, name="models")
commands.add_typer(nodes.commands, name="nodes")
commands.add_typer(import_litellm.commands, name="import")
commands.command("doctor")(doctor.doctor)
commands.command("bench-of-n")(best_of.bench)
commands.command("usage")(usage)
commands.command("backup")(backup.backup)
commands.command("restore")(backup.restore)
commands.command("verify")(verify.verify)
