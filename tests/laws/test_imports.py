"""What a process does not need it does not import: what that takes, every start would take."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: What takes long to import, or much memory.
DATABASE = ("sqlalchemy", "alembic", "psycopg")
SERVER = ("starlette", "uvicorn", "uvloop", "httptools")
REST = (
    "genai_prices",
    "redis",
    "jsonschema",
    "zstandard",
    "yaml",
    "botocore",
    "xllamacpp",
    "numpy",
)
TERMINAL = ("rich", "typer")
LOOP = ("asyncio", "ssl")

HELP = """
import sys
import click
sys.argv[0] = "standpipe"
from standpipe.cli.commands import commands
import typer

def paths(command, path):
    yield path
    for name, each in getattr(command, "commands", {}).items():
        yield from paths(each, [*path, name])

for path in paths(typer.main.get_command(commands), []):
    commands([*path, "--help"], standalone_mode=False)
"""


def imported(program: str) -> set[str]:
    """Return the modules that a process has once it has run a program."""
    tell = f"{program}\nimport sys; sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", tell], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stderr.split())


def test_no_help_imports_what_only_the_command_needs() -> None:
    modules = imported(HELP.replace("import click\n", ""))
    assert "standpipe.cli.keys" in modules
    assert not modules & {*DATABASE, *SERVER, *REST, *LOOP, "sqlite3", "standpipe.cli.serve"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("standpipe.cli.commands", (*DATABASE, *SERVER, *REST, *LOOP, "rich")),
        ("standpipe.cli.serve", (*DATABASE, *SERVER, *LOOP, "genai_prices", "rich")),
        ("standpipe.supervisor", (*DATABASE, *SERVER, *REST, *TERMINAL, *LOOP, "msgspec")),
        ("standpipe.limits.process", (*DATABASE, *SERVER, *REST, *TERMINAL)),
        ("standpipe.drain.process", ("alembic", "psycopg", *SERVER, "genai_prices", *TERMINAL)),
        (
            "standpipe.worker",
            (
                *("alembic", "psycopg", "genai_prices", "redis", *TERMINAL),
                *("sqlalchemy.dialects.postgresql", "standpipe.drain.drain"),
                *("standpipe.api.openapi", "standpipe.api.page"),
                *(f"standpipe.providers.{each}" for each in ("anthropic", "bedrock", "gemini")),
                "standpipe.providers.local",
            ),
        ),
    ],
)
def test_process_imports_only_what_it_needs(module: str, absent: tuple[str, ...]) -> None:
    modules = imported(f"import {module}")
    assert module in modules
    assert not modules.intersection(absent)
