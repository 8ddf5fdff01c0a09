"""A judge's prompt: a text with `{{names}}` in it, and no logic.

`{{output}}` stands for a value, `{{#tools}} … {{/tools}}` shows what is between where the value is
there, `{{^tools}} … {{/tools}}` where it is not. A value is put in as it is and never read as a
template, so that no answer of a model can ask for another value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from standpipe.criteria.case import Case

#: What may stand in a prompt.
NAMES = ("messages", "tools", "tool_choice", "output")
#: Longest prompt, in characters.
LONGEST = 65_536

_TAG = re.compile(r"\{\{\s*([#^/]?)\s*([A-Za-z_]\w*)\s*\}\}")
#: What follows a prompt that names no value: all there is to judge.
_CASE = """

<conversation>
{{messages}}
</conversation>
{{#tools}}
<tools>
{{tools}}
</tools>
{{/tools}}
<answer>
{{output}}
</answer>"""
#: Data of images and sounds say nothing to a reader, and may be megabytes.
_DATA = 256


def fault(template: str) -> str | None:
    """Return why a text cannot be a prompt, None if it can."""
    open_sections: list[str] = []
    names = set()
    for tag in _TAG.finditer(template):
        mark, name = tag[1], tag[2]
        if name not in NAMES:
            return f"{tag[0]} stands for nothing; there is {', '.join(NAMES)}"
        if mark == "/" and (not open_sections or open_sections.pop() != name):
            return f"{tag[0]} ends no section that is open"
        if mark and mark != "/":
            open_sections.append(name)
        names.add(name)
    if open_sections:
        return f"the section {open_sections[-1]!r} has no end"
    if names and "output" not in names:
        return "it never shows {{output}}, which is what is judged"
    return None


def render(template: str, case: Case) -> str:
    """Return the prompt for a case; one that names no value is followed by the whole case."""
    if _TAG.search(template) is None:
        template = template.rstrip() + _CASE
    return _filled(template, _values(case))


def _filled(template: str, values: Mapping[str, str | None]) -> str:
    out: list[str] = []
    shown, at = [True], 0
    for tag in _TAG.finditer(template):
        if shown[-1]:
            out.append(template[at : tag.start()])
        at = tag.end()
        mark, value = tag[1], values[tag[2]]
        if mark == "/":
            shown.pop()
        elif mark:
            shown.append(shown[-1] and (value is not None) == (mark == "#"))
        elif shown[-1]:
            out.append(value or "")
    return "".join([*out, template[at:]])


def _values(case: Case) -> dict[str, str | None]:
    return {
        "messages": _json(case.messages) if case.messages else None,
        "tools": _json(case.tools) if case.tools else None,
        "tool_choice": None if case.tool_choice is None else _json(case.tool_choice),
        "output": _output(case.output),
    }


def _output(message: Mapping[str, Any]) -> str:
    """Return an answer's text, or all that it says where that is more than a text."""
    said = {
        name: value
        for name, value in message.items()
        if value not in (None, [], "") and name not in ("role", "annotations")
    }
    content = said.get("content", "" if not said else None)
    return content if isinstance(content, str) and len(said) <= 1 else _json(said)


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(_without_data(value))).decode()


def _without_data(value: Any) -> Any:
    """Return a value with the data of images, sounds and files left out."""
    match value:
        case dict():
            return {name: _without_data(each) for name, each in value.items() if name != "data"}
        case list():
            return [_without_data(each) for each in value]
        case str() if len(value) > _DATA and value.startswith("data:"):
            return value.partition(",")[0] + ",…"
        case _:
            return value
