from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from standpipe.cli.commands import commands

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
SECTIONS = dict(re.findall(r"(?ms)^## `([^`]+)`\n(.*?)(?=^## |\Z)", PAGE))


def real() -> Iterator[tuple[str, set[str]]]:
    """Yield every command with its options, but for --help."""
    waiting = [("standpipe", typer.main.get_command(commands))]
    while waiting:
        name, command = waiting.pop()
        options = {
            option
            for parameter in command.params
            if parameter.param_type_name == "option"
            for option in parameter.opts
        }
        below = getattr(command, "commands", {})
        if options or not below:
            yield name, options
        waiting += [(f"{name} {each}", child) for each, child in below.items()]


REAL = dict(real())


def test_page_has_every_command_and_no_other() -> None:
    assert sorted(SECTIONS) == sorted(REAL)


@pytest.mark.parametrize("name", sorted(REAL))
def test_page_has_every_option_of_the_command_and_no_other(name: str) -> None:
    rows = re.findall(r"^\| (`-.*?) \|", SECTIONS[name], re.MULTILINE)
    told = {word for row in rows for word in re.findall(r"`(--?[a-z-]+)", row)}
    assert told == REAL[name]


@pytest.mark.parametrize("name", sorted(REAL))
def test_every_option_has_help(name: str) -> None:
    command = typer.main.get_command(commands)
    for word in name.split()[1:]:
        command = vars(command)["commands"][word]
    assert command.help
    assert all(getattr(parameter, "help", None) for parameter in command.params)
