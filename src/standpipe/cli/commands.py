"""All commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from standpipe import __version__
from standpipe.cli import serve

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


commands.command("serve")(serve.serve)
