"""A conversation as the local model reads it: texts of three roles, and no control tokens. Pure.

Chat templates differ in what they know: few know tools, none knows names. So all that is said goes
into the texts, in the form that Hermes' and Qwen's models learned for tools.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from standpipe.providers.local.grammar import CLOSE, OPEN

Json = dict[str, Any]

_TOOLS = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within \
<tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""


def conversation(
    messages: Sequence[Json], *, system: str | None, functions: Sequence[Json]
) -> list[Json]:
    """Return the messages in the roles system, user and assistant.

    `system` is said first if the caller says nothing in that role; `functions` may be called.
    """
    said = list(_joined(messages))
    if said[0]["role"] != "system" and (functions or not _has_system(said)):
        first = None if _has_system(said) else system
        said.insert(0, {"role": "system", "content": first or ""})
    if functions:
        text = f"{said[0]['content']}\n\n{_offer(functions)}".lstrip()
        said[0] = {**said[0], "content": text}
    return [message for message in said if message["content"] or message["role"] != "system"]


def _has_system(said: Sequence[Json]) -> bool:
    return any(message["role"] == "system" for message in said)


def _joined(messages: Sequence[Json]) -> Iterator[Json]:
    """Put each message; what tools answered to one message stands together."""
    answered: list[str] = []
    for message in messages:
        if message["role"] in ("tool", "function"):
            answered.append(_answered(message))
            continue
        if answered:
            yield {"role": "user", "content": "\n".join(answered)}
            answered = []
        yield _message(message)
    if answered:
        yield {"role": "user", "content": "\n".join(answered)}


def _message(message: Json) -> Json:
    role = {"developer": "system"}.get(message["role"], message["role"])
    text = "\n".join(texts(message.get("content")) or texts(message.get("refusal")))
    name = message.get("name")  # chat templates leave it out
    said = [inert(f"{name}: {text}" if name else text), *map(_called, _calls(message))]
    put = {"role": role, "content": "\n".join(part for part in said if part)}
    if reasoning := message.get("reasoning_content"):
        put["reasoning_content"] = inert(reasoning)  # for templates that know it
    return put


def _calls(message: Json) -> list[Json]:
    calls = [call["function"] for call in message.get("tool_calls") or []]
    former = message.get("function_call")
    return [*calls, former] if former else calls


def _called(function: Json) -> str:
    name = msgspec.json.encode(function.get("name", "")).decode()
    arguments = inert(function.get("arguments") or "{}")
    return f'{OPEN}\n{{"name": {inert(name)}, "arguments": {arguments}}}\n{CLOSE}'


def _answered(message: Json) -> str:
    text = inert("\n".join(texts(message.get("content"))))
    return f"<tool_response>\n{text}\n</tool_response>"


def _offer(functions: Sequence[Json]) -> str:
    lines = [
        {"type": "function", "function": {name: f[name] for name in f if name != "strict"}}
        for f in functions
    ]
    shown = [inert(msgspec.json.encode(line).decode()) for line in lines]
    return _TOOLS.format(tools="\n".join(shown))


def texts(content: Any) -> list[str]:
    """Return the texts of a message's content; llama.cpp puts a line break between parts too."""
    if isinstance(content, list):
        return [part.get("text") or part.get("refusal") or "" for part in content]
    return [content] if content else []


# Markup that a tokenizer would read as its control tokens, so that a text could end its message
# and begin another in the system's name: ChatML and its kin, SmolLM2's, Llama 2's, Gemma's,
# and what stands round tools.
_CONTROL = re.compile(
    r"<(?=[|\uff5c][^<>\s]{1,64}[|\uff5c]>"
    r"|(?:repo_name|reponame|file_sep|filename|gh_stars|issue_(?:start|comment|closed)"
    r"|jupyter_(?:start|text|code|output|script)|empty_output"
    r"|/?tools|/?tool_(?:call|response)"
    r"|/?s|bos|eos|pad|unk|(?:start|end)_of_turn|start_of_image)>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])"
)


def inert(text: str) -> str:
    """Put a zero-width joiner into what looks like a control token: it reads the same."""
    return _CONTROL.sub(lambda match: match[0] + "\u200d", text)
