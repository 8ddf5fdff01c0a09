"""Prompts from a file, several judged answers to each from the running server."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import msgspec

from standpipe.cli import own_server, stores
from standpipe.cli.best_of_kept import Kept, Scored
from standpipe.config import Settings
from standpipe.criteria import selection
from standpipe.criteria.gain import Answer
from standpipe.errors import ConfigError
from standpipe.store.tokens import hash_token

Json = dict[str, Any]

#: What is not a prompt's to say here.
_OURS = ("model", "n", "stream", "stream_options", "criteria")
_PATH = "/api/v1/chat/completions"
#: Seconds that judges may take, and those that all of an answer may: nobody waits for it here.
_JUDGING_S = 600
_PATIENCE_S = 1800.0
#: What is so for each of the prompts: the key's rights, its budget, a name that there is not.
_OF_ALL = frozenset((402, 403, 404))
#: What is asked again after the pause that the answer tells, and how often.
_LATER = frozenset((429, 503))
_AGAIN = 5
#: So many prompts that fail, and none that is answered, are enough.
_ENOUGH = 10
INTERRUPTED = "interrupted"


class Asked(NamedTuple):
    """What is asked for each prompt."""

    #: What picks the best, and what says how good it is; the same, or another criterion.
    criterion: str
    worth: str
    model: str
    samples: int
    temperature: float

    @property
    def slugs(self) -> tuple[str, str]:
        """What picks and what says how good, as results are named."""
        return _slug(self.criterion), _slug(self.worth)

    @property
    def names(self) -> list[str]:
        """The criteria, each once."""
        return list(dict.fromkeys((self.criterion, self.worth)))

    def body(self, request: Json) -> Json:
        """Return what is sent for a prompt."""
        own = {"model": self.model, "n": self.samples}
        return {"temperature": self.temperature, **request, **own}

    def key(self, request: Json) -> str:
        """Return what tells a prompt that is asked so from all others."""
        said = msgspec.json.encode((self.body(request), self.names))
        return hashlib.blake2b(said, digest_size=16).hexdigest()


class Failed(NamedTuple):
    """A prompt that was not answered."""

    why: str


#: What a thread says of a prompt.
Said = Scored | Failed | Exception


class Done:
    """What became of the prompts."""

    def __init__(self, prompts: int) -> None:
        self.prompts = prompts
        self.scored: list[Scored] = []
        self.failed = 0
        self.last_error: str | None = None
        #: Why it came to an end before all were asked; None where it did not.
        self.stopped: str | None = None

    @property
    def unjudged(self) -> int:
        """How many answers there are about which a criterion said nothing."""
        return sum(each.unjudged for each in self.scored)

    def take(self, said: Scored | Failed) -> None:
        """Count a prompt; ConfigError where none is answered, and enough have failed."""
        if isinstance(said, Scored):
            self.scored.append(said)
            return
        self.failed += 1
        self.last_error = said.why
        if self.failed == min(_ENOUGH, self.prompts) and not self.scored:
            raise ConfigError(f"no prompt was answered; the last error: {said.why}")


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


def versions(settings: Settings, names: Sequence[str]) -> list[str]:
    """Return the versions that criteria of the key's project are now, such as `short@v2`.

    Raises NotFound for one that there is not. A key that is not known is the server's to refuse.
    """
    token = settings.first_key
    with stores.opened(settings) as store:
        key = token and store.key_by_hash(hash_token(token.reveal()))
        if not key:
            return list(names)
        references = [selection.parse(name) for name in dict.fromkeys(names)]
        found = store.criteria(key.project, [each.slug for each in references])
    chosen = selection.select(references, found)
    return [each.name for name in names for each in chosen if each.slug == _slug(name)]


def ask(
    settings: Settings,
    requests: Sequence[Json],
    asked: Asked,
    parallel: int,
    kept: Kept,
    *,
    tell: Callable[[int], None],
) -> Done:
    """Have each request answered and judged, but for those that were; `tell` hears how many are.

    Ctrl-C and a server that goes away are an early end, with what there is by then. Raises
    ConfigError where there is nothing: without a server or a key, and where all that is asked
    fails.
    """
    done = Done(len(requests))
    left: list[Json] = []
    for request in requests:
        known = kept.take(asked.key(request))
        left.append(request) if known is None else done.take(known)
    try:
        tell(len(done.scored))
        for said in _each(settings, left, asked, parallel):
            done.take(said)
            if isinstance(said, Scored):
                kept.add(said)
            tell(len(done.scored) + done.failed)
    except KeyboardInterrupt:
        done.stopped = INTERRUPTED
    except ConfigError as error:
        if not done.scored:
            raise
        done.stopped = str(error)
    return done


def _each(
    settings: Settings, requests: Sequence[Json], asked: Asked, parallel: int
) -> Iterator[Scored | Failed]:
    """Yield what becomes of each request as it does; its errors are raised here.

    The threads die with the process, so that an early end waits for no answer.
    """
    waiting = deque(requests)
    found: SimpleQueue[Said] = SimpleQueue()
    for _ in range(min(parallel, len(requests))):
        work = (settings, asked, waiting, found)
        threading.Thread(target=_work, args=work, daemon=True).start()
    try:
        for _ in requests:
            said = found.get()
            if isinstance(said, Exception):
                raise said
            yield said
    finally:
        waiting.clear()


def _work(settings: Settings, asked: Asked, waiting: deque[Json], found: SimpleQueue[Said]) -> None:
    while True:
        try:
            request = waiting.popleft()
        except IndexError:
            return
        try:
            found.put(_scored(settings, request, asked))
        except Exception as error:  # noqa: BLE001 (raised where it is waited for)
            found.put(error)


def _scored(settings: Settings, request: Json, asked: Asked) -> Scored | Failed:
    answer = _answer(settings, asked.body(request), asked.names)
    if answer.status in _OF_ALL:
        raise ConfigError(str(answer.said.get("message")))
    if answer.status != 200:
        return Failed(str(answer.said.get("message")))
    results = [choice["criteria_results"] for choice in answer.said["choices"]]
    if len(results) != asked.samples:
        return Failed(f"{asked.samples} answers were asked for, and {len(results)} came")
    picks, says = asked.slugs
    answers = [Answer(_score(each[picks]), _score(each[says])) for each in results]
    unjudged = sum(any(one["status"] != "success" for one in each.values()) for each in results)
    return Scored(asked.key(request), answer.headers["x-request-id"], answers, unjudged)


def _answer(settings: Settings, body: Json, names: list[str]) -> own_server.Answer:
    """Return the server's answer; where it says to come again later, what it says then."""
    headers = {
        "op-criteria": msgspec.json.encode(names).decode(),
        "standpipe-criteria-timeout": str(_JUDGING_S),
    }
    left = _AGAIN
    while True:
        answer = own_server.ask(settings, _PATH, body, headers, patience=_PATIENCE_S)
        pause = answer.headers.get("retry-after", "")
        if not (left and answer.status in _LATER and pause.isdigit()):
            return answer
        left -= 1
        time.sleep(int(pause))


def _slug(name: str) -> str:
    return name.partition("@")[0]


def _score(result: Json) -> float:
    """Return a result's score; what could not be judged is none and counts 0, as in a ranking."""
    return float(result["score"]) if result["status"] == "success" else 0.0
