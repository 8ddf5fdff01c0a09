"""What a provider lacks and we do instead: requests put otherwise, answers cut and retold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from calling import HI, Gateway, Kept
from doubles import Said, completion, scripted

from standpipe.calls.emulation import table
from standpipe.wire.features import FEATURES

Json = dict[str, Any]
FUNCTION = {"name": "f", "parameters": {"type": "object"}}
CALLS = [
    {"id": f"call_{n}", "type": "function", "function": {"name": n, "arguments": '{"a":1}'}}
    for n in ("f", "g")
]
CALLING = completion({"content": None, "tool_calls": CALLS}, finish="tool_calls")

streams = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def emulating(*features: str) -> dict[str, Any]:
    return dict.fromkeys(features, "emulated")


FUNCTIONS = emulating("functions", "function_call:none", "function_call:name", "role:function")


def test_every_emulation_is_of_a_feature() -> None:
    assert set(table.REWRITES) | set(table.WRAPPERS) <= set(FEATURES)


@streams
def test_functions_go_as_tools_and_come_back_as_a_function_call(
    tmp_path: Path, stream: bool
) -> None:
    with scripted(CALLING) as double:
        gateway = Gateway(tmp_path, double.url, FUNCTIONS)
        reply = gateway.ask(functions=[FUNCTION], function_call={"name": "f"}, stream=stream)
    (sent,) = double.bodies
    assert sent["tools"] == [{"type": "function", "function": FUNCTION}]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert not {"functions", "function_call"} & sent.keys()
    choice = reply.answer["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "function_call"
    assert reply.fidelity == "functions=emulated, function_call:name=emulated"


def test_functions_in_a_conversation_get_ids_that_belong_together(tmp_path: Path) -> None:
    messages = [
        *HI,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "function", "name": "g", "content": None},
    ]
    with scripted() as double:
        Gateway(tmp_path, double.url, FUNCTIONS).ask(messages=messages, functions=[FUNCTION])
    _, first, one, second, two = double.bodies[0]["messages"]
    assert first["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert one == {"role": "tool", "tool_call_id": first["tool_calls"][0]["id"], "content": "1"}
    assert second["tool_calls"][0]["function"] == {"name": "g", "arguments": "{}"}
    assert two == {"role": "tool", "tool_call_id": second["tool_calls"][0]["id"], "content": ""}
    assert first["tool_calls"][0]["id"] != second["tool_calls"][0]["id"]


@streams
def test_tools_beside_a_function_message_come_back_as_tool_calls(
    tmp_path: Path, stream: bool
) -> None:
    messages = [{"role": "function", "name": "f", "content": "1"}]
    tools = [{"type": "function", "function": FUNCTION}]
    with scripted(CALLING) as double:
        gateway = Gateway(tmp_path, double.url, FUNCTIONS)
        reply = gateway.ask(messages=messages, tools=tools, stream=stream)
    assert reply.answer["choices"][0]["message"]["tool_calls"] == CALLS


REWRITTEN: list[tuple[str, Json, Json]] = [
    (
        "role:developer",
        {"messages": [{"role": "developer", "content": "Be brief."}, *HI]},
        {"messages": [{"role": "system", "content": "Be brief."}, *HI]},
    ),
    (
        "message.name",
        {"messages": [{"role": "user", "name": "ann", "content": "Hi"}]},
        {"messages": [{"role": "user", "content": "ann: Hi"}]},
    ),
    (
        "message.name",
        {
            "messages": [
                {"role": "user", "name": "ann", "content": [{"type": "text", "text": "Hi"}]}
            ]
        },
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "ann: Hi"}]}]},
    ),
    ("max_tokens", {"max_tokens": 5}, {"max_completion_tokens": 5}),
    ("max_completion_tokens", {"max_completion_tokens": 5}, {"max_tokens": 5}),
    ("max_completion_tokens", {"max_completion_tokens": 5, "max_tokens": 3}, {"max_tokens": 3}),
    ("max_completion_tokens", {"max_completion_tokens": 5, "max_tokens": None}, {"max_tokens": 5}),
]


@streams
@pytest.mark.parametrize(("feature", "asked", "sent"), REWRITTEN)
def test_a_request_is_put_as_the_provider_knows_it(
    tmp_path: Path, feature: str, asked: Json, sent: Json, stream: bool
) -> None:
    with scripted() as double:
        gateway = Gateway(tmp_path, double.url, emulating(feature))
        reply = gateway.ask(**asked, stream=stream, x_unknown={"kept": [1]})
    body = double.bodies[0]
    assert {name: body.get(name) for name in sent} == sent
    assert body["x_unknown"] == {"kept": [1]}
    assert not (asked.keys() - sent.keys()) & body.keys()
    assert reply.content == "Hello there"
    assert reply.answer["created"] == 1_750_000_000
    assert reply.fidelity == f"{feature}=emulated"
    assert gateway.records[0].fidelity == (f"{feature}=emulated",)


@streams
def test_one_tool_call_is_kept_where_no_others_are_wanted(tmp_path: Path, stream: bool) -> None:
    with scripted(CALLING) as double:
        gateway = Gateway(tmp_path, double.url, emulating("parallel_tool_calls:false"))
        tools = [{"type": "function", "function": FUNCTION}]
        reply = gateway.ask(tools=tools, parallel_tool_calls=False, stream=stream)
    assert "parallel_tool_calls" not in double.bodies[0]
    choice = reply.answer["choices"][0]
    assert choice["message"]["tool_calls"] == CALLS[:1]
    assert choice["finish_reason"] == "tool_calls"


STOPS = ["<1>", "<2>", "<3>", "<4>", "END", "ENDE", "wo"]


@streams
@pytest.mark.parametrize(
    ("said", "cut"),
    [
        ("Hello END and more", "Hello "),
        ("Hello EN", "Hello EN"),
        ("ENENEND", "ENEN"),
        ("Hello world END", "Hello "),
        ("END", ""),
        ("Hello", "Hello"),
    ],
)
def test_an_answer_is_cut_at_stops_beyond_four(
    tmp_path: Path, said: str, cut: str, stream: bool
) -> None:
    with scripted(completion(said, finish="length")) as double:
        gateway = Gateway(tmp_path, double.url, emulating("stop>4"))
        reply = gateway.ask(stop=STOPS, stream=stream)
    assert double.bodies[0]["stop"] == STOPS[:4]
    choice = reply.answer["choices"][0]
    assert choice["message"]["content"] == cut
    assert choice["finish_reason"] == ("length" if said == cut else "stop")
    assert gateway.records[0].outcome == "complete"


def test_nothing_that_may_begin_a_stop_is_sent_before_it_is_sure(tmp_path: Path) -> None:
    seen: list[bytes] = []
    with scripted("abcEND") as double:
        gateway = Gateway(tmp_path, double.url, emulating("stop>4"))
        gateway.ask(Kept(on_write=seen.append), stop=STOPS, stream=True)
    assert b'"E' not in b"".join(seen)


def test_a_stream_that_is_cut_ends_the_provider_s_work(tmp_path: Path) -> None:
    with scripted("END" + "x" * 400_000) as double:
        gateway = Gateway(tmp_path, double.url, emulating("stop>4"))
        reply = gateway.ask(stop=STOPS, stream=True)
        double.wait(lambda: double.left == 1)
    assert reply.answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stop", ["", "x" * 257])
def test_a_stop_that_cannot_be_looked_for_is_refused(tmp_path: Path, stop: str) -> None:
    with scripted() as double:
        gateway = Gateway(tmp_path, double.url, emulating("stop>4"))
        reply = gateway.ask(stop=[*"abcd", stop])
    assert reply.status == 400
    assert reply.json["error"]["param"] == "stop[4]"
    assert not double.asked


def test_a_provider_without_streams_is_replayed(tmp_path: Path) -> None:
    with scripted(CALLING) as double:
        gateway = Gateway(tmp_path, double.url, emulating("stream"))
        reply = gateway.ask(stream=True, stream_options={"include_usage": True})
    assert "stream" not in double.bodies[0]
    assert reply.folded["choices"][0]["message"]["tool_calls"] == CALLS
    assert reply.chunks[-1]["usage"]["total_tokens"] == 9
    assert reply.chunks[-1]["choices"] == []


def test_a_refusal_of_the_provider_passes_through_an_emulation(tmp_path: Path) -> None:
    with scripted(Said({"error": {"message": "no"}}, status=422)) as double:
        gateway = Gateway(tmp_path, double.url, FUNCTIONS)
        reply = gateway.ask(functions=[FUNCTION])
    assert reply.status == 422
    assert gateway.records[0].attempts[0].status == 422
