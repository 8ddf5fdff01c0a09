"""`standpipe bench-of-n`: prompts of a file, answers of a running server, figures to check."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import doubles
import pytest
import serving
from command_line import CommandLine
from doubles import Asked, Said
from serving import Standpipe

from standpipe.cli.best_of import plot
from standpipe.cli.best_of_asking import prompts
from standpipe.errors import ConfigError

Json = dict[str, Any]

PRICES = """
[prices."openai/m"]
input = "1"
output = "10"
"""
SAMPLES = 4
#: Of a prompt; the answers take one each.
PROMPT_TOKENS = 7


def answered(asked: Asked) -> Said:
    """Answer so that one in four is short, and that is the last one made."""
    said = asked.body["messages"][-1]["content"]
    if "fail" in said:
        return Said({"error": {"message": "it fails"}}, status=400)
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
            yield running


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


def test_table_and_what_another_criterion_says_of_the_best(bench: Bench, file: Path) -> None:
    shown = bench(file, "--worth", "long")
    assert "-0.750" in shown
    assert "●" in shown
    assert "1 prompts were not answered: it fails" in shown
    assert "--worth" not in shown
    assert "--worth" in bench(file)


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


def test_plot_shows_figure_and_interval_from_0_to_1() -> None:
    assert plot(0.5, 0.25, 0.75) == "·" * 10 + "─" * 10 + "●" + "─" * 9 + "·" * 10
    assert plot(1, 1, 1) == "·" * 39 + "●"
    assert plot(0, -1, 2)[0] == "●"
