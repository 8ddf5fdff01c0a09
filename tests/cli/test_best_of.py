"""`standpipe bench-of-n`: prompts of a file, answers of a running server, figures to check."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import doubles
import pytest
import serving
from asking import until
from command_line import CommandLine
from doubles import Asked, Said
from serving import Standpipe

from standpipe.cli import best_of_table
from standpipe.cli.best_of_asking import prompts
from standpipe.cli.best_of_table import plot
from standpipe.errors import ConfigError

Json = dict[str, Any]

PRICES = """
[prices."openai/m"]
input = "1"
output = "10"
[prices."openai/judge"]
input = "1"
output = "1"
"""
SAMPLES = 4
#: Set where prompts that hang are to be answered.
FREED = threading.Event()
#: Of a prompt; the answers take one each.
PROMPT_TOKENS = 7


def answered(asked: Asked) -> Said:
    """Answer so that one in four is short, and that is the last one made."""
    said = asked.body["messages"][-1]["content"]
    if "fail" in said:
        return Said({"error": {"message": "it fails"}}, status=400)
    if asked.body["model"] == "judge":
        return Said(doubles.completion(str(len(said)), model="judge"))
    if "hang" in said:
        FREED.wait(serving.PATIENCE)
    whole = doubles.completion("")
    n = asked.body["n"]
    choice = whole["choices"][0]
    texts = [*["far too long"] * (n - 1), "ok"]
    whole["choices"] = [
        {**choice, "index": i, "message": {"role": "assistant", "content": text}}
        for i, text in enumerate(texts)
    ]
    total = PROMPT_TOKENS + n
    usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": n, "total_tokens": total}
    return Said({**whole, "usage": usage})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standpipe]:
    home = tmp_path_factory.mktemp("best-of") / "home"
    with doubles.running(answered, "/v1") as double:
        provider = serving.provider("openai", double.url, api_key='"sk-upstream"')
        with serving.serving(home, provider + PRICES) as running:
            running.cli("criteria", "create", "short", "--kind", "length", "--set", "max=5")
            running.cli("criteria", "create", "long", "--kind", "length", "--set", "min=6")
            reward = ("--kind", "reward", "--model", "openai:judge", "--set", "low=0")
            running.cli("criteria", "create", "liked", *reward, "--set", "high=20")
            yield running


#: What runs in the background, as tests may, inherits that Ctrl-C is ignored.
HEARS_CTRL_C = """
import signal
from standpipe.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


class Bench:
    """Runs the command with a key of a server."""

    def __init__(self, server: Standpipe) -> None:
        self._cli = CommandLine(server.home)
        self._settings = {
            "STANDPIPE_API_KEY": server.key,
            "STANDPIPE_SERVER_PORT": str(server.port),
            "STANDPIPE_CONFIG": str(server.home / "standpipe.toml"),
        }

    def __call__(self, file: Path, *more: str) -> str:
        return self._cli(*self._arguments(file), *more, **self._settings)

    def fails(self, file: Path, *more: str, **settings: str) -> str:
        return self._cli.fails_at_last(
            *self._arguments(file), *more, **{**self._settings, **settings}
        )

    def start(self, file: Path, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", HEARS_CTRL_C, *self._arguments(file), *more],
            env=self._cli.environment(**self._settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def _arguments(file: Path) -> tuple[str, ...]:
        more = ("--criterion", "short", "--model", "openai:m", "--samples", "4")
        return ("bench-of-n", str(file), *more)


@pytest.fixture
def bench(server: Standpipe) -> Bench:
    return Bench(server)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "prompts.jsonl"
    lines = [json.dumps(f"Say {n}.") for n in range(10)]
    lines.append(json.dumps({"messages": [{"role": "user", "content": "x"}], "max_tokens": 9}))
    made.write_text("\n".join([*lines, "", '"fail"']))
    return made


def test_gain_and_cost_are_told(bench: Bench, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    told = json.loads(bench(file, "--json", "--out", str(out)))
    assert json.loads(out.read_text()) == told
    assert (told["prompts"], told["failed"], told["unjudged"]) == (11, 1, 0)
    assert told["last_error"] == "it fails"
    results = {each["n"]: each for each in told["results"]}
    assert {n: each["worth"]["mean"] for n, each in results.items()} == {1: 0.25, 2: 0.5, 4: 1}
    assert results[4]["gain"] == {"mean": 0.75, "low": 0.75, "high": 0.75}
    assert {n: each["tokens"] for n, each in results.items()} == {1: 8, 2: 9, 4: 11}
    assert {n: each["cost"] for n, each in results.items()} == {
        1: "0.000017",
        2: "0.000027",
        4: "0.000047",
    }


def test_judges_are_paid_where_they_pick_and_not_where_they_only_say(
    bench: Bench, file: Path
) -> None:
    def judges(*more: str) -> dict[int, float]:
        told = json.loads(bench(file, "--json", *more))
        return {each["n"]: each["judge_tokens"] for each in told["results"]}

    assert judges("--criterion", "liked") == {1: 0, 2: 18, 4: 36}
    assert judges("--worth", "liked") == {1: 0, 2: 0, 4: 0}


def test_run_that_is_interrupted_tells_what_it_has_and_goes_on_later(
    bench: Bench, tmp_path: Path
) -> None:
    file, kept = tmp_path / "prompts.jsonl", tmp_path / "kept"
    file.write_text('"one"\n"two"\n"hang"\n"three"\n')
    FREED.clear()
    process = bench.start(file, "--parallel", "1", "--resume", str(kept))
    try:
        until(lambda: kept.exists() and kept.read_bytes().count(b"\n") == 2)
        process.send_signal(signal.SIGINT)
        said, noted = process.communicate(timeout=serving.PATIENCE)
    finally:
        process.kill()
        FREED.set()
    assert process.returncode == 130
    assert "2 prompts, 4 answers to each" in said
    assert "interrupted: 2 of 4 prompts were not asked to the end" in noted
    assert "4 prompts, 4 answers" in bench(file, "--resume", str(kept))
    assert kept.read_bytes().count(b"\n") == 4


def test_table_and_what_another_criterion_says_of_the_best(bench: Bench, file: Path) -> None:
    shown = bench(file, "--worth", "long")
    assert "-0.750" in shown
    assert "●" in shown
    assert "The best of 4 is worse than one answer by 0.750, for 1.4 times the tokens" in shown
    assert "How good the best is says long@v1" in shown
    assert "1 prompts were not answered: it fails" in shown


def test_what_cannot_be_measured_is_said(bench: Bench, file: Path, tmp_path: Path) -> None:
    assert "Criterion nothing not found" in bench.fails(file, "--criterion", "nothing")
    all_fail = tmp_path / "fail.jsonl"
    all_fail.write_text('"fail"')
    assert "no prompt was answered" in bench.fails(all_fail)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no prompts"),
        ("{", "line 1: no JSON"),
        ('"x"\n3', "line 2: neither"),
        ('{"messages": "x"}', "neither"),
        ('{"messages": [], "n": 3}', "'n' is not a prompt's"),
    ],
)
def test_file_that_is_none_is_named_by_the_line(tmp_path: Path, text: str, said: str) -> None:
    made = tmp_path / "prompts.jsonl"
    made.write_text(text)
    with pytest.raises(ConfigError, match=said):
        prompts(made)


def figure(mean: float, low: float, high: float) -> Json:
    return {"mean": mean, "low": low, "high": high}


def shown(capsys: pytest.CaptureFixture[str], gain: Json, **more: Any) -> str:
    worth = {"n": 1, "worth": figure(0.5, 0.4, 0.6), "gain": figure(0, 0, 0)}
    tokens = {"tokens": 10, "judge_tokens": 0, "cost": None, **more}
    best = {"n": 4, "worth": figure(0.6, 0.5, 0.7), "gain": gain, **tokens, "tokens": 30}
    asked = {"model": "m", "criterion": "a@v1", "worth": "a@v1", "samples": 4}
    became = {"prompts": 50, "failed": 0, "unjudged": 0}
    best_of_table.show({**asked, **became, "results": [{**worth, **tokens}, best]})
    return capsys.readouterr().out


def test_table_has_columns_for_judges_and_costs_where_there_are_any(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gain = figure(0.1, 0.05, 0.15)
    bare, full = shown(capsys, gain), shown(capsys, gain, judge_tokens=5, cost="0.1")
    assert "Judge's" not in bare
    assert "Cost" not in bare
    assert "Judge's" in full
    assert "$0.1" in full
    assert "better than one answer by 0.100, for 3.0 times the tokens" in bare
    assert "--worth" in bare


def test_drawing_takes_the_room_that_is_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(columns: int) -> int:
        monkeypatch.setenv("COLUMNS", str(columns))
        row = shown(capsys, figure(0.1, 0.05, 0.15)).splitlines()[1]
        assert "…" not in row
        return sum(map(row.count, "·─●"))

    assert drawn(200) == drawn(120) == 40
    assert 11 <= drawn(80) < 40
    assert drawn(65) == 0


def test_gain_that_may_be_none_is_told_as_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert "No gain is shown" in shown(capsys, figure(0.1, -0.05, 0.25))
    assert "No gain is shown" in shown(capsys, figure(0, 0, 0))


def test_plot_shows_figure_and_interval_from_0_to_1() -> None:
    assert plot(0.5, 0.25, 0.75) == "·" * 10 + "─" * 10 + "●" + "─" * 9 + "·" * 10
    assert plot(1, 1, 1) == "·" * 39 + "●"
    assert plot(0, -1, 2)[0] == "●"
