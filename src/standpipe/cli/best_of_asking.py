"""Prompts from a file, several judged answers to each from the running server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from standpipe.cli import own_server
from standpipe.config import Settings
from standpipe.criteria.gain import Answer
from standpipe.errors import ConfigError

Json = dict[str, Any]

#: What is not a prompt's to say here.
_OURS = ("model", "n", "stream", "stream_options", "criteria")
_PATH = "/api/v1/chat/completions"
#: Seconds that judges may take: nobody waits for an answer here.
_JUDGING_S = "600"


class Asked(NamedTuple):
    """What is asked for each prompt."""

    #: What picks the best, and what says how good it is; None for the same.
    criterion: str
    worth: str | None
    model: str
    samples: int
    temperature: float

    @property
    def slugs(self) -> tuple[str, str]:
        """What picks and what says how good, as results are named."""
        return _slug(self.criterion), _slug(self.worth or self.criterion)

    @property
    def names(self) -> list[str]:
        """The criteria, each once."""
        return list(dict.fromkeys(filter(None, (self.criterion, self.worth))))


class Done:
    """What became of the prompts."""

    def __init__(self) -> None:
        #: Of each that was answered.
        self.answers: list[list[Answer]] = []
        #: The calls' ids.
        self.ids: set[str] = set()
        self.failed = 0
        self.last_error: str | None = None
        #: Answers about which a criterion said nothing.
        self.unjudged = 0


def prompts(file: Path) -> list[Json]:
    """Return the requests of a JSONL file; ConfigError names the line that is none."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    found = [_prompt(f"{file}, line {n}", line) for n, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ConfigError(f"{file} has no prompts")
    return found


def _prompt(where: str, line: bytes) -> Json:
    try:
        said = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{where}: no JSON: {error}") from error
    if isinstance(said, str):
        return {"messages": [{"role": "user", "content": said}]}
    if not isinstance(said, dict) or not isinstance(said.get("messages"), list):
        raise ConfigError(f"{where}: neither an object with `messages` nor a text")
    if taken := [name for name in _OURS if name in said]:
        raise ConfigError(f"{where}: {taken[0]!r} is not a prompt's to say")
    return said


def ask(
    settings: Settings,
    requests: Sequence[Json],
    asked: Asked,
    parallel: int,
    *,
    tell: Callable[[int], None],
) -> Done:
    """Have each request answered and judged; `tell` hears how many were asked so far.

    Raises ConfigError without a server, without a key, and for a criterion that there is not.
    """
    done = Done()
    with ThreadPoolExecutor(parallel) as threads:
        waiting = threads.map(lambda request: _asked(settings, request, asked), requests)
        try:
            for number, answer in enumerate(waiting, 1):
                _take(done, answer, asked)
                tell(number)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    return done


def _asked(settings: Settings, request: Json, asked: Asked) -> own_server.Answer:
    own = {"model": asked.model, "n": asked.samples}
    headers = {
        "op-criteria": msgspec.json.encode(asked.names).decode(),
        "standpipe-criteria-timeout": _JUDGING_S,
    }
    body = {"temperature": asked.temperature, **request, **own}
    return own_server.ask(settings, _PATH, body, headers)


def _take(done: Done, answer: own_server.Answer, asked: Asked) -> None:
    if answer.status in (401, 403, 404):  # so it is for each of them
        raise ConfigError(str(answer.said.get("message")))
    if answer.status != 200:
        done.failed += 1
        done.last_error = str(answer.said.get("message"))
        return
    done.ids.add(answer.headers["x-request-id"])
    results = [choice["criteria_results"] for choice in answer.said["choices"]]
    picks, says = asked.slugs
    done.answers.append([Answer(_score(each[picks]), _score(each[says])) for each in results])
    done.unjudged += sum(
        any(one["status"] != "success" for one in each.values()) for each in results
    )


def _slug(name: str) -> str:
    return name.partition("@")[0]


def _score(result: Json) -> float:
    """Return a result's score; what could not be judged is none and counts 0, as in a ranking."""
    return float(result["score"]) if result["status"] == "success" else 0.0
