"""The messages of a request: who may say what.

`role` is a closed set; the `type` of a content part is an open one, so that what a newer model
understands gets through (a dialect that can't say it refuses it by name).
"""

from __future__ import annotations

from typing import Any

from standpipe.wire.checks import (
    Check,
    Issues,
    Path,
    array,
    by_kind,
    by_type,
    fields,
    filled,
    mapping,
    one_of,
    shown,
    text,
)

MOST_MESSAGES = 100_000
_MOST_PARTS = 10_000
_MOST_CALLS = 1_000
#: Wider than OpenAI's wav and mp3: other providers take these.
_AUDIO = one_of("wav", "mp3", "flac", "opus", "pcm16", "ogg", "aac", "m4a", "aiff", "webm")

#: The content parts we know, by `type`.
PARTS: dict[str, Check] = {
    "text": fields({"text": text}, {}),
    "refusal": fields({"refusal": text}, {}),
    "image_url": fields(
        {"image_url": fields({"url": filled}, {"detail": one_of("auto", "low", "high")})}, {}
    ),
    "input_audio": fields({"input_audio": fields({"data": filled, "format": _AUDIO}, {})}, {}),
    "file": fields({"file": mapping}, {}),
}

_part = by_type(PARTS)
_call = by_type(
    {
        "function": fields(
            {"id": text, "function": fields({"name": text, "arguments": text}, {})}, {}
        )
    }
)
_function_call = fields({}, {"name": text, "arguments": text})


def _content(*allowed: str) -> Check:
    """Want a string, or an array of parts of which those we know are allowed here."""
    wrong = frozenset(PARTS) - set(allowed)
    words = ", ".join(f'"{word}"' for word in allowed)

    def part(value: Any, path: Path, issues: Issues) -> None:
        _part(value, path, issues)
        kind = value.get("type") if isinstance(value, dict) else None
        if isinstance(kind, str) and kind in wrong:
            issues.add((*path, "type"), f"{shown(kind)} is not for this role; allowed: {words}")

    parts = array(part, most=_MOST_PARTS)
    return by_kind({str: text, list: parts}, "a string or an array of content parts")


def _nullable(check: Check) -> Check:
    def either(value: Any, path: Path, issues: Issues) -> None:
        if value is not None:
            check(value, path, issues)

    return either


# Some clients, OpenPipe's own among them, send `tool_calls: []` for none.
_ASSISTANT_SAYS = ("content", "tool_calls", "function_call", "refusal", "audio")
_assistant_fields = fields(
    {},
    {
        "content": _content("text", "refusal"),
        "name": text,
        "refusal": text,
        "audio": fields({"id": text}, {}),
        "function_call": _function_call,
        "tool_calls": array(_call, most=_MOST_CALLS),
        "annotations": array(mapping, most=_MOST_PARTS),
        "reasoning_content": text,
    },
)


def _assistant(value: Any, path: Path, issues: Issues) -> None:
    _assistant_fields(value, path, issues)
    if all(value.get(name) in (None, []) for name in _ASSISTANT_SAYS):
        said = ", ".join(_ASSISTANT_SAYS)
        issues.add((*path, "content"), f"an assistant message needs one of {said}")


def _said(content: Check) -> Check:
    """Want a message that is its content, which may be left out but not null."""
    rest = fields({}, {"name": text})

    def check(value: Any, path: Path, issues: Issues) -> None:
        rest(value, path, issues)
        if "content" in value:
            content(value["content"], (*path, "content"), issues)

    return check


_tool_content = _said(_content("text"))
_tool_id = fields({"tool_call_id": text}, {})


def _tool(value: Any, path: Path, issues: Issues) -> None:
    _tool_content(value, path, issues)
    _tool_id(value, path, issues)


ROLES: dict[str, Check] = {
    "system": _said(_content("text")),
    "developer": _said(_content("text")),
    "user": _said(_content("text", "image_url", "input_audio", "file")),
    "assistant": _assistant,
    "tool": _tool,
    "function": fields({"name": filled, "content": _nullable(text)}, {}),
}
_role = one_of(*ROLES)
#: Roles whose message is right if it is a role and a text; most messages are.
_PLAIN = ("user", "assistant", "system", "developer")


def messages(value: Any, path: Path, issues: Issues) -> None:
    """Want the list of messages, not empty, each right for its role."""
    if not isinstance(value, list):
        issues.add(path, f"must be an array, not {shown(value)}")
    elif not 0 < len(value) <= MOST_MESSAGES:
        issues.add(path, f"must have 1 to {MOST_MESSAGES} messages, not {len(value)}")
    else:
        _each(value, path, issues)


def _each(value: list[Any], path: Path, issues: Issues) -> None:
    asked: set[str] = set()
    for index, message in enumerate(value):
        # Most messages are a role and a text, and right if they are: no call is made for one.
        if (
            type(message) is dict
            and len(message) == 2
            and type(message.get("content")) is str
            and message.get("role") in _PLAIN
        ):
            continue
        at = (*path, index)
        if not isinstance(message, dict):
            issues.add(at, f"must be an object, not {shown(message)}")
        elif "role" not in message:
            issues.add((*at, "role"), "is required")
        else:
            _one(message, at, issues)
            _answers(message, asked, at, issues)


def _one(message: dict[str, Any], path: Path, issues: Issues) -> None:
    role = message["role"]
    _role(role, (*path, "role"), issues)
    if isinstance(role, str) and role in ROLES:
        ROLES[role](message, path, issues)


def _answers(message: dict[str, Any], asked: set[str], path: Path, issues: Issues) -> None:
    """Want a tool message to answer a call of an earlier assistant message."""
    if message["role"] == "assistant":
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict) and isinstance(call.get("id"), str):
                asked.add(call["id"])
    elif message["role"] == "tool":
        answered = message.get("tool_call_id")
        if isinstance(answered, str) and answered not in asked:
            fault = f"{shown(answered)} is no tool call of an earlier assistant message"
            issues.add((*path, "tool_call_id"), fault)
