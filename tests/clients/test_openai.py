"""The unmodified `openai` client, oldest and newest major that we promise, sync and async."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Protocol

import pytest
from clients import obliging
from clients.programs import python_program
from misbehaving import Misbehaving
from serving import KEY, Standpipe, call

from standpipe.store import Store, new_token

#: The second brings openai 1.97.1.
ENVIRONMENTS = ("openai-current", "openpipe")
MODES = ("sync", "async")
LOCAL = "smollm2-135m-instruct"
DIALECTS = tuple(obliging.MODELS)
MODELS = (*obliging.MODELS.values(), LOCAL)
#: The content of five pieces, as the provider says it.
CONTENT = "Hello there, how can I"
HI = [{"role": "user", "content": "Hi"}]


class Play(Protocol):
    def __call__(self, scenario: str, **arguments: Any) -> Any: ...


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def program(request: pytest.FixtureRequest, server: Standpipe) -> Iterator[Any]:
    places = {"url": server.root + "/v1", "key": KEY, "model": "ok"}
    with python_program(request.param, "openai_client", **places) as started:
        yield started


@pytest.fixture(params=MODES)
def play(request: pytest.FixtureRequest, program: Any) -> Play:
    """Return what plays a scenario with the sync or the async client."""

    def played(scenario: str, **arguments: Any) -> Any:
        return program.play(scenario, mode=request.param, **arguments)

    return played


@pytest.mark.parametrize("prefix", ["/v1", "/api/v1", "/api/v1/"])
def test_create_answers_a_completion_and_stores_it(
    play: Play, server: Standpipe, upstream: Misbehaving, prefix: str, latest: Callable[[], Any]
) -> None:
    saw = play("create", url=server.root + prefix, extra={"x_unknown": [1, 2]})
    assert saw["model"] == "ok"
    assert saw["choices"][0]["message"]["content"] == CONTENT
    assert saw["usage"]["completion_tokens_details"]["x_vendor_tokens"] == 1
    assert saw["x_vendor"] == {"kept": True}
    sent = upstream.last.json
    assert sent["x_unknown"] == [1, 2]
    assert not {"store", "metadata"} & sent.keys()
    kept = latest()
    assert kept["respPayload"]["id"] == saw["id"]
    assert kept["metadata"]["scenario"] == "create"
    stored = call(server, "GET", f"/chat/completions/{saw['_request_id']}").json
    assert stored["id"] == saw["id"]


CONVERSATION: list[dict[str, Any]] = [
    {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
    {
        "role": "user",
        "name": "ann",
        "content": [
            {"type": "text", "text": "What is this?"},
            {
                "type": "image_url",
                "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"},
            },
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            {"type": "file", "file": {"file_data": "AA==", "filename": "a.pdf"}},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "a cat 🐈"},
]
FIELDS: dict[str, Any] = {
    "frequency_penalty": 0.5,
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "max_completion_tokens": 100,
    "modalities": ["text"],
    "n": 2,
    "parallel_tool_calls": False,
    "prediction": {"type": "content", "content": "cat"},
    "presence_penalty": -0.5,
    "reasoning_effort": "low",
    "response_format": {"type": "json_object"},
    "seed": 7,
    "service_tier": "auto",
    "stop": ["\n", "END"],
    "temperature": 0,
    "tool_choice": {"type": "function", "function": {"name": "look"}},
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
    "top_logprobs": 2,
    "top_p": 0.9,
    "user": "u-1",
    "web_search_options": {"search_context_size": "low"},
}


def test_every_field_that_a_client_can_send_reaches_the_provider(
    play: Play, upstream: Misbehaving, latest: Callable[[], Any]
) -> None:
    body = {"model": "ok", "messages": CONVERSATION, **FIELDS}
    assert len(play("create_with", body=body)["choices"]) == 2
    assert upstream.last.json == body
    assert latest()["reqPayload"] == body


def test_completion_is_not_stored_when_store_is_false(play: Play, count: Callable[[], int]) -> None:
    before = count()
    assert play("not_stored")["status_code"] == 404
    assert count() == before


def test_tool_call_comes_through(play: Play) -> None:
    called = {"finish": "tool_calls", "name": "get_weather", "arguments": '{"city":"Paris"}'}
    assert play("tools") == called


def test_stream_is_read_to_its_end(play: Play, latest: Callable[[], Any]) -> None:
    chunks = play("stream")
    assert {chunk["model"] for chunk in chunks} == {"ok"}
    assert _content(chunks) == CONTENT
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert not any(chunk["usage"] for chunk in chunks)
    assert latest()["respPayload"]["choices"][0]["message"]["content"] == CONTENT


def test_stream_ends_with_the_usage_that_was_asked_for(play: Play) -> None:
    chunks = play("stream_usage")
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 16
    assert _content(chunks) == CONTENT


@pytest.mark.parametrize(
    ("model", "content", "called"),
    [("ok", CONTENT, None), ("tools", None, '{"city":"Paris"}')],
)
def test_stream_helper_puts_the_pieces_together(
    play: Play, model: str, content: str | None, called: str | None
) -> None:
    message = play("stream_helper", model=model)["final"]["choices"][0]["message"]
    assert message["content"] == content
    calls = message["tool_calls"] or [{"function": {"arguments": None}}]
    assert calls[0]["function"]["arguments"] == called


def test_request_id_of_the_client_is_the_id_of_the_record(play: Play, server: Standpipe) -> None:
    saw = play("raw")
    assert saw["_request_id"] == saw["headers"]["x-request-id"]
    assert saw["headers"]["standpipe-model"] == "ok-2025-06-01"
    assert call(server, "GET", f"/chat/completions/{saw['_request_id']}").json["id"] == saw["id"]


@pytest.mark.parametrize(
    ("error", "body", "status", "code"),
    [
        ("BadRequestError", {"model": "ok", "messages": []}, 400, None),
        ("BadRequestError", {"model": "ok", "messages": HI, "temperature": "hot"}, 400, None),
        ("NotFoundError", {"model": "openpipe:none", "messages": HI}, 404, "model_not_found"),
        ("RateLimitError", {"model": "busy", "messages": HI}, 429, "rate_limit_exceeded"),
        ("InternalServerError", {"model": "broken", "messages": HI}, 500, None),
        ("InternalServerError", {"model": "locked", "messages": HI}, 502, None),
        ("BadRequestError", {"model": "gemini:x", "messages": HI}, 400, None),
        (
            "BadRequestError",
            {"model": LOCAL, "messages": HI, "reasoning_effort": "high"},
            400,
            None,
        ),
    ],
)
def test_error_is_of_the_client_s_own_class(
    play: Play, error: str, body: dict[str, Any], status: int, code: str | None
) -> None:
    saw = play("refused", error=error, body=body)
    assert saw["status_code"] == status
    assert saw["request_id"]
    assert saw["body"]["message"] in saw["message"]
    assert code is None or saw["code"] == code


def test_unknown_model_is_named_in_the_error_and_its_failure_is_logged(
    play: Play, latest: Callable[[], Any]
) -> None:
    body = {"model": "openpipe:none", "messages": HI}
    text = "The model `openpipe:none` does not exist"
    assert play("refused", error="NotFoundError", body=body)["body"]["message"] == text
    kept = latest()
    assert (kept["statusCode"], kept["errorMessage"]) == (404, text)
    assert kept["respPayload"]["message"] == text


def test_wrong_key_is_an_authentication_error(play: Play) -> None:
    body = {"model": "ok", "messages": HI}
    saw = play("refused", error="AuthenticationError", body=body, key="sk-not-a-key-of-ours")
    assert (saw["status_code"], saw["code"]) == (401, "invalid_api_key")


def test_read_only_key_is_denied_permission(play: Play, read_only_key: str) -> None:
    body = {"model": "ok", "messages": HI}
    saw = play("refused", error="PermissionDeniedError", body=body, key=read_only_key)
    assert saw["status_code"] == 403


def test_limit_of_a_key_is_a_rate_limit_error_with_its_headers(
    play: Play, server: Standpipe
) -> None:
    with closing(Store.open(f"sqlite:///{server.home / 'standpipe.db'}")) as store:
        _, token = new_token()
        owner = store.projects()[0].id
        limits = '{"requests_per_minute": 1, "tokens_per_minute": 5000}'
        store.add_key(owner, name="limited", read_only=False, token=token, limits=limits)
    saw = play("limited", key=token)
    assert saw["headers"]["x-ratelimit-remaining-requests"] == "0"
    assert saw["headers"]["x-ratelimit-limit-tokens"] == "5000"
    assert (saw["status_code"], saw["code"], saw["type"]) == (
        429,
        "rate_limit_exceeded",
        "requests",
    )
    assert 1 <= int(saw["told"]["retry-after"]) <= 60
    assert saw["told"]["x-ratelimit-limit-requests"] == "1"
    assert saw["told"]["x-ratelimit-reset-requests"].endswith("s")


def test_client_does_not_try_again_what_the_server_has_tried_again(
    play: Play, upstream: Misbehaving
) -> None:
    before = upstream.requests_seen
    saw = play("retried", model="status:500")
    assert saw["class"] == "InternalServerError"
    assert upstream.requests_seen == before + 2


@pytest.mark.parametrize("model", ["error-event", "cut+chunks:40"])
def test_broken_stream_raises_after_what_came(play: Play, model: str) -> None:
    saw = play("broken_stream", model=model)
    assert saw["content"]
    assert saw["message"]


def test_what_is_not_there_is_not_found(play: Play) -> None:
    assert [saw["status_code"] for saw in play("missing")] == [404, 404, 404, 404]


def test_stored_completion_lives_its_life(play: Play, server: Standpipe) -> None:
    saw = play("stored")
    assert [message["role"] for message in saw["messages"]] == ["system", "user"]
    assert saw["messages"][1]["content"] == "Hi"
    assert saw["deleted"]["object"] == "chat.completion.deleted"
    assert call(server, "GET", f"/chat/completions/{saw['made'][0]}").status == 404
    assert call(server, "GET", f"/chat/completions/{saw['made'][1]}").status == 200


def test_models_are_listed_and_each_is_retrieved(play: Play) -> None:
    listed = play("models")
    assert {"ok", "echo", "tools", "busy", LOCAL} <= {model["id"] for model in listed}
    assert all(isinstance(model["created"], int) for model in listed)


@pytest.mark.parametrize(("log", "more"), [("true", 1), ("false", 0)])
def test_control_headers_rule_the_bare_client_s_calls(
    play: Play, latest: Callable[[], Any], count: Callable[[], int], log: str, more: int
) -> None:
    before = count()
    saw = play("control_headers", log=log)
    assert saw["model"] == "openai:ok"
    assert count() == before + more
    if more:
        assert latest()["metadata"] == {"prompt_id": "p", "any_key": "1"}


def test_local_model_answers_whole_and_streamed(play: Play, server: Standpipe) -> None:
    whole = play("create", model=LOCAL, extra={})
    assert whole["choices"][0]["message"]["content"]
    assert whole["usage"]["completion_tokens"] > 0
    chunks = play("stream_usage", model=LOCAL)
    assert _content(chunks)
    assert chunks[-1]["usage"]["completion_tokens"] > 0
    stored = call(server, "GET", f"/chat/completions/{chunks[0]['id']}").json
    assert stored["choices"][0]["message"]["content"] == _content(chunks)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("scenario", ["parse", "parse_stream"])
def test_answer_is_an_object_of_the_class_asked_for(play: Play, scenario: str, model: str) -> None:
    saw = play(scenario, model=model)
    assert saw["city"] in ({"Paris", "Rome"} if model == LOCAL else {"Paris"})


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_tool_is_called_because_it_must_be_and_its_result_is_read(
    play: Play, model: str, stream: bool
) -> None:
    saw = play("round_trip", model=model, choice="required", then="none", stream=stream)
    assert set(saw["cities"]) <= {"Paris", "Rome"}
    assert saw["cities"]
    assert saw["text"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_tools_are_called_in_parallel_and_their_results_are_read(
    play: Play, dialect: str, stream: bool
) -> None:
    asked = {"choice": "auto", "then": "auto", "stream": stream}
    saw = play("round_trip", model=obliging.MODELS[dialect], **asked)
    assert saw["cities"] == ["Paris", "Rome"]
    assert saw["text"] == "I hear: sun in Paris; sun in Rome"


@pytest.mark.parametrize("model", MODELS)
def test_several_choices_are_answered_by_every_dialect(play: Play, model: str) -> None:
    # Without a limit the local model may go on for minutes.
    body = {"model": model, "messages": HI, "n": 2, "max_tokens": 8}
    choices = play("create_with", body=body)["choices"]
    assert [choice["index"] for choice in choices] == [0, 1]
    assert all(choice["message"]["content"] for choice in choices)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_answers_whole_and_streamed_alike(
    play: Play, server: Standpipe, dialect: str
) -> None:
    model = obliging.MODELS[dialect]
    whole = play("create", model=model, extra={})
    assert whole["choices"][0]["message"]["content"] == obliging.CONTENT
    chunks = play("stream_usage", model=model)
    assert _content(chunks) == obliging.CONTENT
    counts = ("prompt_tokens", "completion_tokens")
    assert tuple(whole["usage"][name] for name in counts) == obliging.USAGE
    assert tuple(chunks[-1]["usage"][name] for name in counts) == obliging.USAGE
    stored = call(server, "GET", f"/chat/completions/{chunks[0]['id']}").json
    assert stored["choices"][0]["message"]["content"] == obliging.CONTENT


def _content(chunks: list[dict[str, Any]]) -> str:
    pieces = [choice["delta"]["content"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(piece or "" for piece in pieces)
