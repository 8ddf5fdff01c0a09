"""Providers of every form that do whatever is asked: they call tools, read results, fit schemas.

What is said is decided once (`wishes.turn`), for every form alike: whoever speaks to them through
the server cannot tell them apart. Each refuses, with 400, what the real place would.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import doubles
from clients import obliging_bedrock
from clients.wishes import CONTENT, PARIS, USAGE, Call, Wish, need, pieces, turn
from doubles import Asked, Double, Said

__all__ = ["CONTENT", "KEY", "MODELS", "PARIS", "USAGE", "running"]

Json = dict[str, Any]

KEY = "sk-provider"
#: A model of each dialect's provider.
MODELS = {
    "openai": "gpt-4.1",
    "anthropic": "claude-opus-5",
    "gemini": "gemini-3.5-flash",
    "bedrock": "amazon.nova-pro-v1:0",
}
#: Gemini's word for where a call came from; it must come back with the call.
SIGNATURE = "c2lnbmF0dXJl"


@contextlib.contextmanager
def running() -> Iterator[dict[str, Double]]:
    """Run one of each form; keys are the dialects' names."""
    with (
        doubles.running(_openai, "/v1") as openai,
        doubles.running(_anthropic, "/v1") as anthropic,
        doubles.running(_gemini, "/v1beta") as gemini,
        doubles.running(_bedrock) as bedrock,
    ):
        yield {"openai": openai, "anthropic": anthropic, "gemini": gemini, "bedrock": bedrock}


def _events(said: list[Json], *, named: bool = False) -> Said:
    """Return a stream of JSON; `named` for events whose `type` is in a field of their own too."""
    heads = [f"event: {event['type']}\n" if named else "" for event in said]
    lines = [
        f"{head}data: {json.dumps(event)}\n\n" for head, event in zip(heads, said, strict=True)
    ]
    return Said(events=[line.encode() for line in lines])


# --- OpenAI -------------------------------------------------------------------------------------


def _openai(asked: Asked) -> Said:
    need(asked.path == "/chat/completions", asked.path)
    need(asked.headers.get("authorization") == f"Bearer {KEY}", "authorization")
    said = turn(_wish_of_openai(asked.body))
    if isinstance(said, str):
        return doubles.as_openai(doubles.completion(said), asked.body)
    calls = [
        {"id": call.id, "type": "function", "function": _function(call.name, call.arguments)}
        for call in said
    ]
    message = {"content": None, "tool_calls": calls}
    return doubles.as_openai(doubles.completion(message, finish="tool_calls"), asked.body)


def _function(name: str, arguments: Json) -> Json:
    return {"name": name, "arguments": json.dumps(arguments)}


def _wish_of_openai(body: Json) -> Wish:
    choice = body.get("tool_choice", "auto")
    names = [tool["function"]["name"] for tool in body.get("tools") or ()]
    if isinstance(choice, dict):
        names = [choice["function"]["name"]]
    return Wish(
        tools=[] if choice == "none" else names,
        is_forced=choice == "required" or isinstance(choice, dict),
        is_single=body.get("parallel_tool_calls") is False,
        results=_results_of_openai(body["messages"]),
        is_json=(body.get("response_format") or {}).get("type", "text") != "text",
    )


def _results_of_openai(messages: list[Json]) -> list[str]:
    results: dict[str, str] = {}
    called: set[str] = set()
    for message in messages:
        if message["role"] == "user":
            results = {}
        called |= {call["id"] for call in message.get("tool_calls") or ()}
        if message["role"] == "tool":
            need(message["tool_call_id"] in called, "an answer to no call")
            results[message["tool_call_id"]] = _text(message["content"])
    return list(results.values())


def _text(content: str | list[Json]) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content)


# --- Anthropic ----------------------------------------------------------------------------------


def _anthropic(asked: Asked) -> Said:
    body = asked.body
    need(asked.path == "/messages", asked.path)
    need(asked.headers.get("x-api-key") == KEY, "x-api-key")
    need(asked.headers.get("anthropic-version"), "anthropic-version")
    need(isinstance(body.get("max_tokens"), int), "max_tokens")
    said = turn(_wish_of_anthropic(body))
    blocks = [{"type": "text", "text": said}] if isinstance(said, str) else list(map(_use, said))
    message = {
        "id": "msg_obliging",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": blocks,
        "stop_reason": "end_turn" if isinstance(said, str) else "tool_use",
        "stop_sequence": None,
        "usage": dict(zip(("input_tokens", "output_tokens"), USAGE, strict=True)),
    }
    return _events(_streamed(message), named=True) if body.get("stream") else Said(message)


def _use(call: Call) -> Json:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}


def _streamed(message: Json) -> list[Json]:
    start = {**message, "content": [], "stop_reason": None}
    events: list[Json] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(message["content"]):
        empty, deltas = _in_deltas(block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += ({"type": "content_block_delta", "index": index, "delta": d} for d in deltas)
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    usage = {"output_tokens": message["usage"]["output_tokens"]}
    return [
        *events,
        {"type": "message_delta", "delta": delta, "usage": usage},
        {"type": "message_stop"},
    ]


def _in_deltas(block: Json) -> tuple[Json, list[Json]]:
    if block["type"] == "text":
        texts = pieces(block["text"])
        return {**block, "text": ""}, [{"type": "text_delta", "text": text} for text in texts]
    parts = ["", *pieces(json.dumps(block["input"]))]
    deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
    return {**block, "input": {}}, deltas


def _wish_of_anthropic(body: Json) -> Wish:
    choice = body.get("tool_choice") or {"type": "auto"}
    names = [tool["name"] for tool in body.get("tools") or ()]
    need(names or "tool_choice" not in body, "tool_choice without tools")
    if choice["type"] == "tool":
        names = [choice["name"]]
    return Wish(
        tools=[] if choice["type"] == "none" else names,
        is_forced=choice["type"] in ("any", "tool"),
        is_single=bool(choice.get("disable_parallel_tool_use")),
        results=_results_of_anthropic(body["messages"]),
        is_json="format" in (body.get("output_config") or {}),
    )


def _results_of_anthropic(messages: list[Json]) -> list[str]:
    roles = [message["role"] for message in messages]
    need(roles[::2] == ["user"] * len(roles[::2]), "the user speaks first, and in turn")
    results: list[str] = []
    called: list[str] = []
    for message in messages:
        blocks = message["content"] if isinstance(message["content"], list) else []
        found = [block for block in blocks if block["type"] == "tool_result"]
        if message["role"] == "assistant":
            called = [block["id"] for block in blocks if block["type"] == "tool_use"]
            continue
        need([block["tool_use_id"] for block in found] == called, "each call has its result")
        results = [*results, *(_text(block["content"]) for block in found)] if found else []
    return results


# --- Gemini -------------------------------------------------------------------------------------


def _gemini(asked: Asked) -> Said:
    model, _, method = asked.path.removeprefix("/models/").partition(":")
    need(method in ("generateContent", "streamGenerateContent?alt=sse"), asked.path)
    need(asked.headers.get("x-goog-api-key") == KEY, "x-goog-api-key")
    said = turn(_wish_of_gemini(asked.body))
    parts: list[Json] = [{"text": said}] if isinstance(said, str) else _called(said)
    count = (asked.body.get("generationConfig") or {}).get("candidateCount", 1)
    if not method.startswith("stream"):
        return Said(_candidates(model, parts, count, last=True))
    if isinstance(said, str):
        parts = [{"text": piece} for piece in pieces(said)]
    return _events([_candidates(model, [part], count, last=part is parts[-1]) for part in parts])


def _called(calls: list[Call]) -> list[Json]:
    parts: list[Json] = [
        {"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}}
        for call in calls
    ]
    parts[0]["thoughtSignature"] = SIGNATURE
    return parts


def _candidates(model: str, parts: list[Json], count: int, *, last: bool) -> Json:
    prompt, answer = USAGE
    usage = {"promptTokenCount": prompt}
    ended: Json = {}
    if last:
        ended = {"finishReason": "STOP"}
        usage |= {"candidatesTokenCount": answer, "totalTokenCount": prompt + answer}
    content = {"role": "model", "parts": parts}
    candidates = [{"content": content, "index": index, **ended} for index in range(count)]
    frame = {"usageMetadata": usage, "modelVersion": model, "responseId": "obliging"}
    return {"candidates": candidates, **frame}


def _wish_of_gemini(body: Json) -> Wish:
    choice = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    offered = [d["name"] for t in body.get("tools") or () for d in t["functionDeclarations"]]
    names = choice.get("allowedFunctionNames") or offered
    return Wish(
        tools=[] if choice.get("mode") == "NONE" else names,
        is_forced=choice.get("mode") == "ANY",
        results=_results_of_gemini(body["contents"]),
        is_json="responseMimeType" in (body.get("generationConfig") or {}),
    )


def _results_of_gemini(contents: list[Json]) -> list[str]:
    results: list[str] = []
    called: list[Mapping[str, Any]] = []
    for content in contents:
        parts = content["parts"]
        found = [part["functionResponse"] for part in parts if "functionResponse" in part]
        if content["role"] == "model":
            called = [part["functionCall"] for part in parts if "functionCall" in part]
            need(not called or _is_signed(parts), "the first call's signature")
            continue
        need(_places(found) == _places(called), "each call has its result")
        results = [*results, *map(_output, found)] if found else []
        called = []
    return results


def _is_signed(parts: list[Json]) -> bool:
    return "thoughtSignature" in next(part for part in parts if "functionCall" in part)


def _places(calls: list[Any]) -> list[tuple[str, str]]:
    return [(call["id"], call["name"]) for call in calls]


def _output(response: Json) -> str:
    said = response["response"]
    return str(said.get("output", said))


# --- Bedrock ------------------------------------------------------------------------------------


def _bedrock(asked: Asked) -> Said:
    need(asked.headers.get("authorization") == f"Bearer {KEY}", "authorization")
    return obliging_bedrock.answer(asked, MODELS["bedrock"])
