"""`standpipe criteria`: made, changed and listed on the command line, in files and out of them."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import serving
from command_line import CommandLine
from hypothesis import given
from hypothesis import strategies as st

from standpipe.cli import criteria_files, toml_text
from standpipe.errors import StandpipeError
from standpipe.store import Project, Store

PROMPT = 'Is it "polite"?\n\n\tLook at {{output}} \\ alone.\n'


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_criterion_is_made_versioned_shown_and_deleted(
    cli: CommandLine, store: Store, project: Project, tmp_path: Path
) -> None:
    prompt = tmp_path / "prompt"
    prompt.write_text(PROMPT)
    assert "v1" in cli("criteria", "create", "polite", "--model", "m", "--prompt", f"@{prompt}")
    changed = ("--set", 'parameters={"temperature": 0}', "--model", "gpt")
    assert "v2" in cli("criteria", "version", "polite", *changed)
    assert "v2" in cli("criteria", "version", "polite", *changed)
    cli("criteria", "create", "short", "--kind", "length", "--set", "max=9", "--about", "Short")
    (polite, short) = lines(cli("criteria", "list", "--json"))
    assert [each["model"] for each in polite["versions"]] == ["m", "gpt"]
    assert {each["prompt"] for each in polite["versions"]} == {PROMPT}
    assert polite["versions"][1]["parameters"] == {"temperature": 0}
    assert (short["name"], short["project"], short["version"]) == ("Short", "default", "v1")
    table = cli("criteria", "list", COLUMNS="80")
    assert all(len(line) <= 80 for line in table.splitlines())
    assert all(word in table for word in ("polite", "short", "pass_fail", "length"))
    shown = cli("criteria", "show", "polite")
    assert shown.index("v2") < shown.index("v1")
    assert "{{output}}" in shown
    assert lines(cli("criteria", "show", "short", "--json")) == [short]
    cli("criteria", "delete", "polite", "--yes")
    assert [each.slug for each in store.criteria(project.id)] == ["short"]


def test_another_kind_takes_nothing_over(cli: CommandLine, store: Store, project: Project) -> None:
    cli("criteria", "create", "c", "--model", "m", "--prompt", "p")
    cli("criteria", "version", "c", "--kind", "contains", "--set", "value=12", "--set", "value=x12")
    (criterion,) = store.criteria(project.id)
    kept = json.loads(criterion.latest.definition)
    assert kept == {"kind": "contains", "value": "x12", "ignore_case": False}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "a b", "--model", "m", "--prompt", "p"), "id:"),
        (("create", "a", "--model", "m", "--prompt", "{{x}}"), "{{x}}"),
        (("create", "a", "--kind", "regex", "--set", "pattern=("), "pattern"),
        (("create", "a", "--kind", "length", "--set", "max"), "FIELD=VALUE"),
        (("version", "nothing", "--model", "m"), "there are: none yet"),
        (("judge", "nothing", "text"), "STANDPIPE_API_KEY"),
        (("import", "nowhere.toml"), "nowhere.toml"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    cli: CommandLine, store: Store, project: Project, arguments: tuple[str, ...], said: str
) -> None:
    assert said in cli.fails("criteria", *arguments)
    assert store.criteria(project.id) == []


SCHEMA = {"type": "object", "properties": {"a": {"enum": [None, 1]}}}


def test_file_has_all_that_there_is_and_brings_it_back(
    cli: CommandLine, store: Store, project: Project, tmp_path: Path
) -> None:
    cli("criteria", "create", "polite", "--model", "m", "--prompt", PROMPT, "--about", "Polite")
    cli(
        "criteria",
        "create",
        "json",
        "--kind",
        "json_schema",
        "--set",
        f"schema={json.dumps(SCHEMA)}",
    )
    cli("criteria", "create", "short.1", "--kind", "length", "--set", "min=2")
    file = tmp_path / "criteria.toml"
    file.write_text(cli("criteria", "export"))
    assert tomllib.loads(file.read_text())["criteria"]["polite"]["prompt"] == PROMPT
    cli("projects", "create", "theirs")
    brought = cli("criteria", "import", str(file), "--project", "theirs")
    assert brought.splitlines() == [f"{n}: new, as v1" for n in ("json", "polite", "short.1")]
    theirs = store.project("theirs")
    assert theirs is not None
    both = [store.criteria(each.id) for each in (project, theirs)]
    assert len({tuple((c.slug, c.name, c.latest.definition) for c in some) for some in both}) == 1
    file.write_text(file.read_text().replace('model = "m"', 'model = "gpt"'))
    again = cli("criteria", "import", str(file), "--project", "theirs").splitlines()
    assert again == ["json: unchanged", "polite: now v2", "short.1: unchanged"]
    assert "[criteria.json]" not in cli("criteria", "export", "polite")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[criteria", "no TOML"),
        ("[other]\na = 1", "[criteria.NAME]"),
        ("criteria = 1", "[criteria.NAME]"),
        ("[criteria]\na = 1", "[criteria.a]"),
        ('[criteria.a]\nkind = "length"', "[criteria.a]: max"),
        ('[criteria."a b"]\nkind = "length"\nmax = 1', "[criteria.a b]: id"),
        ("[criteria.a]\nname = 1", "name"),
        ('[criteria.a]\nkind = "regex"\npattern = "("', "a pattern"),
        ('[criteria.a]\nkind = "json_schema"\nschema = "{"', "no JSON"),
    ],
)
def test_file_that_cannot_be_used_is_refused_by_the_place(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "criteria.toml"
    file.write_text(text)
    with pytest.raises(StandpipeError, match=re.escape(said)):
        criteria_files.read(file)


def test_file_of_which_not_all_can_be_used_changes_nothing(
    cli: CommandLine, store: Store, project: Project, tmp_path: Path
) -> None:
    good = '[criteria.a]\nkind = "length"\nmax = 1\n'
    file = tmp_path / "criteria.toml"
    file.write_text(f'{good}[criteria.b]\nkind = "regex"\npattern = "("\n')
    assert "b pattern" in cli.fails("criteria", "import", str(file))
    assert store.criteria(project.id) == []


def test_running_server_judges(tmp_path: Path) -> None:
    with serving.serving(tmp_path / "home") as server:
        server.cli("criteria", "create", "short", "--kind", "length", "--set", "max=5")
        (tmp_path / "messages").write_text('[{"role": "user", "content": "Hi"}]')
        settings = serving.environment(
            server.home, STANDPIPE_API_KEY=server.key, STANDPIPE_SERVER_PORT=str(server.port)
        )
        cli = CommandLine(server.home)
        given = {name: settings[name] for name in ("STANDPIPE_API_KEY", "STANDPIPE_SERVER_PORT")}
        more = ("--messages", str(tmp_path / "messages"))
        assert cli("criteria", "judge", "short", "Hello", *more, **given) == "1  5 characters\n"
        (said,) = lines(cli("criteria", "judge", "short@v1", "Hello!", "--json", **given))
        assert said["score"] == 0
        missing = cli.fails("criteria", "judge", "short@v9", "Hello", **given)
        assert "Criterion version v9 not found for criterion short" in missing
        given["STANDPIPE_SERVER_PORT"] = str(serving.free_port())
        assert "standpipe serve" in cli.fails("criteria", "judge", "short", "Hello", **given)


@given(st.text().filter(lambda text: not any(0xD800 <= ord(c) < 0xE000 for c in text)))
def test_every_text_can_be_written_as_toml(text: str) -> None:
    assert tomllib.loads(toml_text.written({"a": text})) == {"a": text}


def test_objects_with_nulls_are_texts_of_json() -> None:
    with pytest.raises(Exception, match="schema: is no JSON"):
        criteria_files.parsed({"kind": "json_schema", "schema": "{"})
    found = criteria_files.parsed({"kind": "json_schema", "schema": json.dumps(SCHEMA)})
    assert found == criteria_files.parsed({"kind": "json_schema", "schema": SCHEMA})
