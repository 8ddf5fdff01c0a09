"""The command line. Each command is a file; heavy imports wait until a command needs them."""

from __future__ import annotations

import os
import sys

from standpipe.errors import ApiError, StandpipeError


def main() -> None:
    """Run the command line; an error that we know is one line, not a stack trace."""
    # What we write holds what people asked: it is its owner's alone.
    os.umask(0o077)
    from standpipe.cli.commands import commands

    try:
        commands()
    except StandpipeError as error:
        message = error.message if isinstance(error, ApiError) else str(error)
        sys.stderr.write(f"standpipe: {message}\n")
        sys.exit(1)
