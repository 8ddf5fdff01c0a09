"""The unmodified `anthropic` client on the messages route, sync and async."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest
from clients.programs import python_program
from misbehaving import Misbehaving
from serving import KEY, Standpipe, call

MODES = ("sync", "async")
LOCAL = "smollm2-135m-instruct"
CONTENT = "Hello there, how can I"


class Play(Protocol):
    def __call__(self, scenario: str, **arguments: Any) -> Any: ...


@pytest.fixture(scope="module")
def program(server: Standpipe) -> Iterator[Any]:
    places = {"url": server.root, "key": KEY, "model": "ok"}
    with python_program("anthropic", "anthropic_client", **places) as started:
        yield started


@pytest.fixture(params=MODES)
def play(request: pytest.FixtureRequest, program: Any) -> Play:
    """Return what plays a scenario with the sync or the async client."""

    def played(scenario: str, **arguments: Any) -> Any:
        return program.play(scenario, mode=request.param, **arguments)

    return played


@pytest.mark.parametrize("bearer", [False, True])
def test_message_is_a_chat_completion_here(
    play: Play, server: Standpipe, upstream: Misbehaving, latest: Callable[[], Any], bearer: bool
) -> None:
    # The client knows no temperature any more; the API's older callers do.
    more = {"temperature": 0.5}
    fields = {"system": "Be brief.", "stop_sequences": ["END"], "extra_body": more}
    saw = play("create", bearer=bearer, fields=fields)
    assert (saw["type"], saw["role"], saw["model"]) == ("message", "assistant", "ok")
    (block,) = saw["content"]
    assert (block["type"], block["text"]) == ("text", CONTENT)
    assert saw["stop_reason"] == "end_turn"
    usage = saw["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (7, 4)
    assert usage["output_tokens"] == 5
    system = {"role": "system", "content": "Be brief."}
    sent = upstream.last.json
    assert sent["messages"] == [system, {"role": "user", "content": "Hi"}]
    assert (sent["max_completion_tokens"], sent["stop"], sent["temperature"]) == (8, ["END"], 0.5)
    assert latest()["reqPayload"]["messages"] == sent["messages"]
    stored = call(server, "GET", f"/chat/completions/{saw['_request_id']}").json
    assert stored["id"] == saw["id"]
    assert stored["choices"][0]["message"]["content"] == CONTENT


def test_tool_is_called_and_its_result_goes_back(play: Play, upstream: Misbehaving) -> None:
    saw = play("tools")
    assert saw["first"]["stop_reason"] == "tool_use"
    (used,) = saw["first"]["content"]
    assert (used["type"], used["name"], used["input"]) == (
        "tool_use",
        "get_weather",
        {"city": "Paris"},
    )
    *_, assistant, result, user = upstream.last.json["messages"]
    (called,) = assistant["tool_calls"]
    assert (called["id"], called["function"]["name"]) == (used["id"], "get_weather")
    assert (result["role"], result["tool_call_id"]) == ("tool", used["id"])
    assert user == {"role": "user", "content": "So?"}
    assert saw["second"]["content"][0]["text"] == CONTENT


def test_stream_has_the_events_of_a_message(play: Play) -> None:
    types = [event["type"] for event in play("events")]
    assert types[:2] == ["message_start", "content_block_start"]
    assert types[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(types[2:-3]) == {"content_block_delta"}


def test_helper_puts_a_streamed_message_together(play: Play) -> None:
    saw = play("stream")
    assert saw["text"] == saw["message"]["content"][0]["text"] == CONTENT
    usage = saw["message"]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (7, 5)
    used = play("stream", model="tools")["message"]
    assert used["stop_reason"] == "tool_use"
    assert used["content"][0]["input"] == {"city": "Paris"}


def test_message_comes_with_what_its_criteria_say(play: Play, server: Standpipe) -> None:
    call(server, "POST", "/criteria", {"id": "short", "kind": "length", "max": len(CONTENT)})
    fields = {"extra_headers": {"op-criteria": '["short"]'}}
    for saw in (play("create", fields=fields), play("stream", fields=fields)["message"]):
        assert saw["content"][0]["text"] == CONTENT
        assert saw["criteria_results"]["short"]["score"] == 1


@pytest.mark.parametrize(
    ("fields", "name", "kind"),
    [
        ({"extra_body": {"temperature": 7}}, "BadRequestError", "invalid_request_error"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "BadRequestError", None),
        ({"model": "openpipe:nothing"}, "NotFoundError", "not_found_error"),
        ({"model": "busy"}, "RateLimitError", "rate_limit_error"),
        ({"model": "broken"}, "InternalServerError", "api_error"),
        ({"model": "locked"}, "InternalServerError", "api_error"),
    ],
)
def test_error_is_of_the_client_s_own_class(
    play: Play, fields: dict[str, Any], name: str, kind: str | None
) -> None:
    saw = play("fails", fields=fields)
    assert saw["class"] == name
    assert saw["body"]["type"] == "error"
    assert kind is None or saw["body"]["error"]["type"] == kind
    assert saw["request_id"]


def test_wrong_key_is_an_authentication_error(play: Play) -> None:
    assert play("fails", key="not-a-key-of-anybody")["class"] == "AuthenticationError"


def test_stream_that_breaks_raises(play: Play) -> None:
    saw = play("breaks", model="cut")
    assert saw["seen"] > 1
    assert saw["body"]["error"]["type"] == "api_error"


def test_route_that_is_not_there_says_what_is(play: Play) -> None:
    saw = play("count")
    assert saw["class"] == "NotFoundError"
    assert "POST /messages" in saw["message"]


def test_local_model_answers_whole_and_streamed(play: Play) -> None:
    fields = {"model": LOCAL, "extra_body": {"temperature": 0}}
    whole = play("create", fields=fields)
    streamed = play("stream", fields=fields)
    assert whole["model"] == streamed["message"]["model"] == LOCAL
    assert whole["content"][0]["text"] == streamed["text"]
    assert whole["usage"]["output_tokens"] == streamed["message"]["usage"]["output_tokens"] > 0
    assert whole["stop_reason"] == streamed["message"]["stop_reason"]
