"""How `standpipe bench-of-n` asks: what is asked again, kept, given up, and done without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import doubles
import pytest
from doubles import Answer, Asked, Double, Said

from standpipe import config
from standpipe.cli import best_of_asking
from standpipe.cli.best_of_asking import Done
from standpipe.cli.best_of_kept import Kept
from standpipe.errors import ConfigError

Json = dict[str, Any]

ASKED = best_of_asking.Asked("short@v1", "good@v2", "m", 2, 0.7)
#: Nothing that a client could read.
NONSENSE = Said(events=[b"nonsense"])


def judged(scores: list[float], **more: Any) -> Said:
    """Return what Standpipe answers; what is under 0 could not be judged."""
    results = [
        {"status": "success", "score": each} if each >= 0 else {"status": "error", "code": 502}
        for each in scores
    ]
    good = {"status": "success", "score": 1}
    choices = [{"criteria_results": {"short": each, "good": good}} for each in results]
    return Said({"choices": choices}, headers={"x-request-id": "id"}, **more)


def ask(
    answer: Answer, *texts: str, file: Path | None = None, parallel: int = 1
) -> tuple[Done, Double, list[int]]:
    told: list[int] = []
    with doubles.running(answer) as double:
        port = double.url.rpartition(":")[2]
        env = {"STANDPIPE_API_KEY": "k" * 20, "STANDPIPE_SERVER_PORT": port}
        requests = [{"messages": [{"role": "user", "content": text}]} for text in texts]
        done = best_of_asking.ask(
            *(config.load(None, env), requests, ASKED, parallel, Kept(file)), tell=told.append
        )
    return done, double, told


def text_of(asked: Asked) -> str:
    return str(asked.body["messages"][0]["content"])


def test_prompts_are_asked_with_criteria_and_scored() -> None:
    done, double, told = ask(lambda _: judged([0.5, -1]), "a", "b", parallel=8)
    assert [each.answers for each in done.scored] == [[(0.5, 1), (0, 1)]] * 2
    assert (done.unjudged, done.failed, done.stopped) == (2, 0, None)
    assert told == [0, 1, 2]
    (first, _) = double.asked
    assert (first.body["model"], first.body["n"], first.body["temperature"]) == ("m", 2, 0.7)
    assert json.loads(first.headers["op-criteria"]) == ["short@v1", "good@v2"]


def test_prompts_that_were_scored_are_not_asked_again(tmp_path: Path) -> None:
    file = tmp_path / "kept"
    ask(lambda _: judged([0, 1]), "a", "a", file=file)
    with file.open("ab") as opened:
        opened.write(b'{"asked": "torn by a')
    done, double, told = ask(lambda _: judged([1, 1]), "a", "b", "a", "a", file=file)
    assert sorted(map(text_of, double.asked)) == ["a", "b"]
    assert (
        sorted(each.answers for each in done.scored)
        == [[(0, 1), (1, 1)]] * 2 + [[(1, 1), (1, 1)]] * 2
    )
    assert told == [2, 3, 4]
    assert len(file.read_bytes().splitlines()) == 4


def test_what_a_run_has_kept_is_named_where_it_is_nothing_of_the_kind(tmp_path: Path) -> None:
    file = tmp_path / "kept"
    file.write_text("{}\n")
    with pytest.raises(ConfigError, match="kept, line 1: nothing that a run has kept"):
        Kept(file)
    with pytest.raises(ConfigError, match="cannot be written"):
        Kept(tmp_path)


def test_server_that_says_later_is_asked_later() -> None:
    waits = iter([429, 503])

    def answer(_: Asked) -> Said:
        status = next(waits, 200)
        if status == 200:
            return judged([1, 1])
        return Said({"message": "later"}, status=status, headers={"retry-after": "0"})

    done, double, _ = ask(answer, "a")
    assert len(done.scored) == 1
    assert len(double.asked) == 3


def test_server_that_always_says_later_is_given_up() -> None:
    later = Said({"message": "later"}, status=429, headers={"retry-after": "0"})
    with pytest.raises(ConfigError, match="no prompt was answered; the last error: later"):
        ask(lambda _: later, "a")


def test_server_that_goes_away_leaves_what_there_is(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Said:
        return judged([1, 0]) if text_of(asked) == "a" else NONSENSE

    file = tmp_path / "kept"
    done, _, told = ask(answer, "a", "b", "c", file=file)
    assert len(done.scored) == 1
    assert "no Standpipe answers" in (done.stopped or "")
    assert told == [0, 1]
    assert len(file.read_bytes().splitlines()) == 1


def test_answers_that_are_too_few_are_a_failure() -> None:
    done, _, _ = ask(lambda asked: judged([1] * (1 if text_of(asked) == "b" else 2)), "a", "b")
    assert (len(done.scored), done.failed) == (1, 1)
    assert done.last_error == "2 answers were asked for, and 1 came"


@pytest.mark.parametrize("status", [402, 403, 404])
def test_what_is_so_for_all_prompts_ends_the_run(status: int) -> None:
    double_said: list[str] = []

    def answer(asked: Asked) -> Said:
        double_said.append(text_of(asked))
        return Said({"message": "never"}, status=status)

    with pytest.raises(ConfigError, match="never"):
        ask(answer, *"abcdefgh")
    assert len(double_said) < 8


def test_key_that_the_server_does_not_know_is_named() -> None:
    with pytest.raises(ConfigError, match="does not know the key in STANDPIPE_API_KEY"):
        ask(lambda _: Said({"message": "UNAUTHORIZED"}, status=401), "a")


def test_run_ends_where_enough_have_failed_and_none_was_answered() -> None:
    said: list[str] = []

    def answer(asked: Asked) -> Said:
        said.append(text_of(asked))
        return Said({"message": "bad"}, status=400)

    with pytest.raises(ConfigError, match="no prompt was answered; the last error: bad"):
        ask(answer, *map(str, range(100)))
    assert 10 <= len(said) < 100
