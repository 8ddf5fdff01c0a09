"""What a judge is shown."""

from __future__ import annotations

from typing import Any

import pytest

from standpipe.criteria.case import Case
from standpipe.criteria.prompts import render

HI = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "f"}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


def case(content: Any = "Hello", **fields: Any) -> Case:
    return Case(output={"role": "assistant", "content": content}, **{"messages": HI, **fields})


def test_values_stand_where_they_are_named() -> None:
    assert render("<{{output}}|{{ tool_choice }}>", case(tool_choice="auto")) == '<Hello|"auto">'
    assert '"content": "Hi"' in render("{{messages}}{{output}}", case())


def test_answer_that_is_a_template_asks_for_nothing() -> None:
    shown = render("{{output}} {{tools}}", case("{{messages}} {{#tools}}"))
    assert shown == "{{messages}} {{#tools}} "


def test_sections_show_what_is_there() -> None:
    template = "{{output}}{{#tools}} with {{tools}}{{/tools}}{{^tools}} without{{/tools}}"
    assert render(template, case()) == "Hello without"
    assert '"name": "f"' in render(template, case(tools=[TOOL]))
    nested = "{{#tools}}a{{#messages}}b{{/messages}}{{^messages}}c{{/messages}}{{/tools}}{{output}}"
    assert render(nested, case()) == "Hello"
    assert render(nested, case(tools=[TOOL])) == "abHello"
    assert render(nested, case(tools=[TOOL], messages=[])) == "acHello"


def test_prompt_without_names_is_followed_by_the_case() -> None:
    shown = render("Is it polite?", case())
    assert shown.startswith("Is it polite?\n\n<conversation>")
    assert "<answer>\nHello\n</answer>" in shown
    assert "<tools>" not in shown
    assert "<tools>" in render("Is it polite?", case(tools=[TOOL]))


def test_braces_of_json_are_no_template() -> None:
    assert render('{"a": {"b": {{output}}}}', case()) == '{"a": {"b": Hello}}'


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ({"content": "Hello", "refusal": None, "tool_calls": []}, "Hello"),
        ({"content": None}, ""),
        ({"content": ""}, ""),
        ({"content": None, "refusal": "No."}, '"refusal": "No."'),
        ({"content": "Well", "tool_calls": [CALL]}, '"content": "Well"'),
        ({"content": None, "tool_calls": [CALL]}, '"name": "f"'),
        ({"content": [{"type": "text", "text": "Hello"}]}, '"text": "Hello"'),
    ],
)
def test_answer_is_shown_as_text_or_as_all_that_it_says(output: Any, shown: str) -> None:
    found = render("{{output}}", Case(output={"role": "assistant", **output}))
    assert shown in found
    assert bool(found) == bool(shown)


def test_data_of_images_and_sounds_is_left_out() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 999}},
        {"type": "input_audio", "input_audio": {"data": "B" * 999, "format": "wav"}},
        {"type": "text", "text": "What is this?"},
    ]
    shown = render("{{output}}{{messages}}", case(messages=[{"role": "user", "content": parts}]))
    assert "AAA" not in shown
    assert "BBB" not in shown
    assert "data:image/png;base64" in shown
    assert "What is this?" in shown


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ({"content": "Hello"}, "Hello"),
        ({"content": [{"type": "text", "text": "He"}, {"type": "text", "text": "llo"}]}, "Hello"),
        ({"content": None, "tool_calls": [CALL, CALL]}, '{"a":1}'),
        ({"content": "", "function_call": {"name": "f", "arguments": "{}"}}, "{}"),
        ({"content": "Hello", "tool_calls": [CALL]}, "Hello"),
        ({"content": None}, ""),
        ({"tool_calls": "junk"}, ""),
    ],
)
def test_text_of_an_answer(output: Any, text: str) -> None:
    assert Case(output=output).text == text
