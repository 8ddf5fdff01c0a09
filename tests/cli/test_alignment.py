"""Alignment on the command line: rows in, labels by keys, a judge asked, tables and a page out."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import doubles
import pytest
import serving
from command_line import CommandLine, RowAdder
from typing_extensions import override

from standpipe.store import Project, Store
from standpipe.store.alignment import AlignmentRow, AlignmentVerdict

Json = dict[str, Any]


def line(text: str, judgement: str | None = None) -> str:
    messages = [
        {"role": "user", "content": "Say something."},
        {"role": "assistant", "content": text},
    ]
    return json.dumps({"messages": messages, "judgement": judgement}) + "\n"


#: Of which the short ones are good, says everybody but for one row.
ROWS = "".join(
    [
        *(line("a" * n, "PASS") for n in range(1, 21)),
        *(line("a" * n, "FAIL") for n in range(101, 120)),
        line("a" * 50, "FAIL"),
    ]
)


@pytest.fixture
def criterion(store: Store, project: Project) -> str:
    store.add_criterion(project.id, "short", '{"kind":"length","max":60,"min":0}')
    return "short"


def rows(store: Store, project: Project) -> list[AlignmentRow]:
    found = store.alignment_rows(project.id, "short")
    assert found is not None
    return found


def test_rows_come_from_a_file_and_lines_that_are_none_are_named(
    cli: CommandLine, store: Store, project: Project, criterion: str, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(line("one", "PASS") + "{\n" + line("two"))
    done = cli.run("criteria", "rows", criterion, "--import", str(file))
    assert "line 2: no JSON" in done.stderr
    assert done.stdout.splitlines() == [
        "2 rows are new, 0 were there", "2 rows: people pass 1 and fail 0; 1 are not labelled",
    ]  # fmt: skip
    assert "0 rows are new" in cli("criteria", "rows", criterion, "--import", str(file))
    file.write_text("{\n")
    assert "line 1" in cli.fails("criteria", "rows", criterion, "--import", str(file))
    assert "nowhere" in cli.fails("criteria", "rows", criterion, "--import", "nowhere")
    assert "no criterion" in cli.fails("criteria", "rows", "long")


def test_rows_come_from_what_was_logged(
    cli: CommandLine, store: Store, project: Project, criterion: str, add: RowAdder
) -> None:
    def texts(number: int) -> dict[str, str]:
        asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        message = {"role": "assistant", "content": f"Answer {number}"}
        answered = {"choices": [{"message": message}]}
        return {"request": json.dumps(asked), "response": json.dumps(answered)}

    for number in range(4):
        labels = {"good": "yes"} if number else {}
        add(requested_at=number + 1, metadata=labels, **texts(number))
    add(requested_at=9)
    add(requested_at=9, kind="judge", **texts(9))
    said = cli("criteria", "rows", criterion, "--logs", "2", "--metadata", "good=yes")
    assert "2 rows are new" in said
    assert {json.loads(each.case)["output"]["content"] for each in rows(store, project)} == {
        "Answer 2", "Answer 3",
    }  # fmt: skip
    assert "2 rows are new" in cli("criteria", "rows", criterion, "--logs", "9")


def test_rows_are_labelled_by_single_keys(
    cli: CommandLine, store: Store, project: Project, criterion: str, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(line(f"\x1b[2J{word}") for word in ("a", "b", "c", "d", "e")))
    cli("criteria", "rows", criterion, "--import", str(file))
    # The first passes, the second fails, no, passes; the third is skipped, the fourth goes.
    done = cli.run("criteria", "label", criterion, keys="pfup?sdq")
    assert done.stdout.splitlines()[-1] == "2 rows were labelled; of 4, 2 are"
    assert "max: 60" in done.stdout
    assert done.stdout.count("PASS") == 2
    assert "\x1b[2J" not in done.stdout
    assert done.stdout.index("1 of 5") < done.stdout.index("Say something.")
    found = rows(store, project)
    assert [each.judgement for each in found] == ["PASS", "PASS", None, None]
    assert "1 of 2" in cli.run("criteria", "label", criterion, keys="").stdout
    assert "1 of 4" in cli.run("criteria", "label", criterion, "--again", keys="").stdout


class Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.said = ""
        self.loads: list[str] = []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [name for name, _ in attrs if name in ("src", "href")]

    @override
    def handle_data(self, data: str) -> None:
        self.said += data


def test_running_server_judges_and_the_report_tells(tmp_path: Path) -> None:
    file, page = tmp_path / "rows.jsonl", tmp_path / "page.html"
    file.write_text(ROWS + line("<script>", "FAIL"))
    with serving.serving(tmp_path / "home") as server:
        cli = CommandLine(server.home)
        given = {
            "STANDPIPE_API_KEY": server.key, "STANDPIPE_SERVER_PORT": str(server.port),
        }  # fmt: skip
        cli("criteria", "create", "short", "--kind", "length", "--set", "max=10")
        cli("criteria", "version", "short", "--set", "max=60")
        cli("criteria", "rows", "short", "--import", str(file))
        first = json.loads(cli("criteria", "align", "short@v1", "--json", **given))
        assert (first["versions"][0]["aligned"], first["comparison"]) == (False, None)
        table = cli("criteria", "align", "short", "--html", str(page), **given, COLUMNS="120")
        assert "v2 is aligned" in table
        assert "v2 is really better than v1" in table
        assert all(len(each) <= 120 for each in table.splitlines())
        again = json.loads(cli("criteria", "align", "short", "--json", "--no-judge"))
        assert again["versions"][1]["table"] == {
            "pass_pass": 20, "pass_fail": 0, "fail_pass": 2, "fail_fail": 19,
        }  # fmt: skip
        shown = json.loads(cli("criteria", "show", "short", "--json"))
        assert [each["aligned"] for each in shown["versions"]] == [False, True]
        assert cli("criteria", "show", "short").count("aligned") == 1
        assert "v2 aligned" in cli("criteria", "list")
        answer = serving.call(server, "GET", "/criteria/short/alignment", key=server.key)
        assert answer.json == again
        probed = json.loads(cli("criteria", "probe", "short", "--rows", "15", "--json", **given))
        assert (probed["retest"]["value"], probed["padding"]["lost"]) == (1, 15)
        assert "length sways it" in cli("criteria", "probe", "short", **given)
        compared = cli("criteria", "compare", "short", "v1", "v2")
        assert "v2 is really better" in compared
        assert "0.95" in cli("criteria", "bar", "0.95")
        assert "v2 is not aligned" in cli("criteria", "align", "short", "--no-judge")
        assert "v3" in cli.fails("criteria", "align", "short@v3", **given)
        given["STANDPIPE_SERVER_PORT"] = str(serving.free_port())
        cli("criteria", "version", "short", "--set", "max=70")
        assert "standpipe serve" in cli.fails_at_last("criteria", "align", "short", **given)
    found = Texts()
    found.feed(page.read_text())
    assert found.loads == []
    assert not {"script", "link", "img"} & set(found.tags)
    assert "svg" in found.tags
    words = ("Aligned", "kappa", "v1", "v2", "<script>", "max: 60", "Judge: PASS (1).")
    assert [each for each in words if each not in found.said] == []


def test_judge_that_prefers_what_it_is_shown_first_is_found_out(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(line(f"Answer {n}") for n in range(6)))
    said = json.dumps({"explanation": "It came first.", "better": "first"})
    with doubles.scripted(said) as judge:
        place = serving.provider("openai", judge.url, api_key='"sk-upstream"')
        with serving.serving(tmp_path / "home", place) as server:
            cli = CommandLine(server.home)
            given = {
                "STANDPIPE_API_KEY": server.key, "STANDPIPE_SERVER_PORT": str(server.port),
            }  # fmt: skip
            cli("criteria", "create", "best", "--model", "gpt-4o-mini", "--prompt", "Is it good?")
            cli("criteria", "create", "brief", "--kind", "length", "--set", "max=9")
            cli("criteria", "rows", "best", "--import", str(file))
            probe = ("criteria", "probe", "best", "--pairs", "--rows", "8")
            found = json.loads(cli(*probe, "--json", **given))
            assert (found["places"]["pairs"], found["padding"]["rows"]) == (8, 6)
            assert found["places"]["consistent"]["value"] == 0
            assert (found["places"]["first"]["value"], found["places"]["real"]) == (1, True)
            assert (found["padding"]["decided"], found["padding"]["real"]) == (0, False)
            shown = cli(*probe, **given)
            assert "the place sways it" in shown
            assert "tells 0 from the same with padding." in shown
            refused = cli.fails("criteria", "probe", "brief", "--pairs", **given)
            assert "no judge" in refused


def test_nothing_judged_and_errors_are_said(
    cli: CommandLine, store: Store, project: Project, criterion: str, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(line("a", "PASS") + line("b"))
    cli("criteria", "rows", criterion, "--import", str(file))
    assert "1 of 2 rows are labelled" in cli("criteria", "align", criterion, "--no-judge")
    failed = AlignmentVerdict(1, None, None, "it hung", 0)
    store.add_alignment_verdict(project.id, criterion, rows(store, project)[0].id, failed)
    page = tmp_path / "page.html"
    shown = cli("criteria", "align", criterion, "--no-judge", "--html", str(page))
    assert "v1 is not aligned: 0 rows are judged" in shown
    assert "it hung" in page.read_text()
    nowhere = str(tmp_path / "none" / "page.html")
    assert "none/page" in cli.fails("criteria", "align", criterion, "--no-judge", "--html", nowhere)
    assert "STANDPIPE_API_KEY" in cli.fails_at_last("criteria", "align", criterion)


def test_bar_is_the_projects_own(cli: CommandLine, store: Store, project: Project) -> None:
    assert "0.6" in cli("criteria", "bar")
    cli("criteria", "bar", "0.7")
    assert "0.7" in cli("criteria", "bar")
    changed = store.project("default")
    assert changed is not None
    assert changed.alignment_bar == 0.7
