"""What prompts have scored, in a file: a run that was stopped goes on where it was."""

from __future__ import annotations

from pathlib import Path

import msgspec

from standpipe.criteria.gain import Answer
from standpipe.errors import ConfigError


class Scored(msgspec.Struct, frozen=True):
    """What became of a prompt that was answered."""

    #: What tells what was asked from all else that might be.
    asked: str
    #: The id of the call.
    call: str
    answers: list[Answer]
    #: Answers about which a criterion said nothing.
    unjudged: int = 0


class Kept:
    """The scores of a file, one a line; without a file nothing is kept."""

    def __init__(self, file: Path | None) -> None:
        """Read what is there; ConfigError for a line that is none, and for what is no file."""
        self._known: dict[str, list[Scored]] = {}
        self._file = file
        if file is None:
            return
        try:
            with file.open("ab+") as opened:
                opened.seek(0)
                text = opened.read()
                whole = text.rfind(b"\n") + 1
                opened.truncate(whole)  # the last line of a run that was killed
        except OSError as error:
            raise ConfigError(f"{file} cannot be written: {error.strerror}") from error
        for number, line in enumerate(text[:whole].splitlines(), 1):
            scored = _read(f"{file}, line {number}", line)
            self._known.setdefault(scored.asked, []).append(scored)

    def take(self, asked: str) -> Scored | None:
        """Take out what was scored for what is asked, None for nothing."""
        known = self._known.get(asked)
        return known.pop() if known else None

    def add(self, scored: Scored) -> None:
        """Write a line."""
        if self._file is None:
            return
        try:
            with self._file.open("ab") as opened:
                opened.write(msgspec.json.encode(scored) + b"\n")
        except OSError as error:
            raise ConfigError(f"{self._file} cannot be written: {error.strerror}") from error


def _read(where: str, line: bytes) -> Scored:
    try:
        return msgspec.json.decode(line, type=Scored)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{where}: nothing that a run has kept: {error}") from error
