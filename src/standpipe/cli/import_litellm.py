"""`standpipe import`: another gateway's configuration as a `standpipe.toml`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from standpipe.errors import ConfigError

if TYPE_CHECKING:
    from standpipe.cli.litellm.part import Note

commands = typer.Typer(help="Bring another gateway's configuration.", no_args_is_help=True)


@commands.callback()
def _group() -> None:
    """Bring another gateway's configuration."""


@commands.command()
def litellm(
    file: Annotated[Path, typer.Argument(metavar="CONFIG", help="LiteLLM's YAML file.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write to this new file instead of standard output.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Turn a LiteLLM configuration into a standpipe.toml, and name what it could not carry.

    What could not be carried is told on standard error, and in the file as comments.
    """
    from standpipe.cli import toml_text
    from standpipe.cli.litellm import form

    config, lines = _parsed(file)
    tree, notes = form.translated(config)
    told = [_told(note, lines) for note in sorted(notes, key=lambda note: _line(note, lines))]
    head = [f"# From {file.name}, by `standpipe import litellm`.", *(f"# {each}" for each in told)]
    _write(output, "\n".join([*head, "", toml_text.written(tree)]))
    for each in told:
        typer.echo(f"not carried as it was: {each}", err=True)
    _check(toml_text.written(tree))


def _told(note: Note, lines: dict[str, int]) -> str:
    """Return a note on one line, with the line of the file that it is about."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in note.place)
    return f"line {_line(note, lines)}, {shown}: {note.why}"


def _line(note: Note, lines: dict[str, int]) -> int:
    """Return the line of a note's place, or of what that is in."""
    place = note.place
    while place and place not in lines:
        place = place.rpartition("[" if place.endswith("]") else ".")[0]
    return lines.get(place, 1)


def _parsed(file: Path) -> tuple[Any, dict[str, int]]:
    """Return what a YAML file says, and the line of each place in it."""
    try:
        import yaml  # type: ignore[import-untyped]  # typed by a package of its own
    except ImportError as error:
        raise ConfigError("reading YAML needs PyYAML: pip install 'standpipe[litellm]'") from error
    try:
        text = file.read_text(encoding="utf-8")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        lines: dict[str, int] = {}
        _note_lines(yaml.compose(text, Loader=loader), "", lines, set())
        return yaml.load(text, Loader=loader), lines  # noqa: S506 (the safe one)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is not YAML: {' '.join(str(error).split())}") from error


def _note_lines(node: Any, place: str, lines: dict[str, int], seen: set[int]) -> None:
    if node is None or id(node) in seen:  # what an alias repeats has one place
        return
    seen.add(id(node))
    lines.setdefault(place, node.start_mark.line + 1)
    if node.id == "mapping":
        for key, value in node.value:
            inner = f"{place}.{key.value}" if place else str(key.value)
            lines[inner] = key.start_mark.line + 1
            _note_lines(value, inner, lines, seen)
    elif node.id == "sequence":
        for number, value in enumerate(node.value):
            _note_lines(value, f"{place}[{number}]", lines, seen)


def _write(output: Path | None, text: str) -> None:
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        # A key may stand in it.
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigError(f"{output} is there already: choose another name") from error
    except OSError as error:
        raise ConfigError(f"{output}: {error.strerror}") from error
    with os.fdopen(handle, "w", encoding="utf-8") as written:
        written.write(text)


def _check(text: str) -> None:
    """Say what keeps the result from being loaded here and now."""
    from standpipe import config
    from standpipe.calls import upstreams
    from standpipe.providers.rows import completed

    try:
        settings = completed(config.load(text=text))
        upstreams.routing(settings, upstreams.providers(settings))
    except ConfigError as error:
        typer.echo(f"before it can be used: {error}", err=True)
