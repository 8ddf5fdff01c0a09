"""npm's unmodified `openpipe` 1.0.0 and the openai 5 it brings, with only the base URL changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from clients import judging, obliging
from clients.programs import Program, node_program
from misbehaving import Misbehaving
from serving import KEY, Standpipe, call

LOCAL = "smollm2-135m-instruct"
#: The content of five pieces, as the provider says it.
CONTENT = "Hello there, how can I"
HI = [{"role": "user", "content": "Hi"}]
SDK = {"$sdk": "typescript", "$sdk.version": "1.0.0"}


@pytest.fixture(scope="module")
def program(server: Standpipe, upstream: Misbehaving) -> Iterator[Program]:
    places = {"url": server.url, "key": KEY, "provider": upstream.url}
    with node_program("npm", "openpipe_client.mjs", **places) as started:
        yield started


def asked(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": HI, **fields}


# --- through the server -------------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/"])
def test_prefixed_model_is_answered_by_the_server_and_labelled(
    program: Program,
    server: Standpipe,
    upstream: Misbehaving,
    latest: Callable[[], Any],
    slash: str,
) -> None:
    # The client cannot send more than Latin-1 in a header.
    tags = {"any_key": "é ü", "number": 1, "yes": True, "none": None}
    body = asked("openai:ok", metadata={"prompt_id": "p"}, openpipe={"tags": tags})
    saw = program.play("create", body=body, url=server.url + slash)
    assert saw["model"] == "openai:ok"
    assert saw["choices"][0]["message"]["content"] == CONTENT
    assert saw["x_vendor"] == {"kept": True}
    assert not {"metadata", "openpipe"} & upstream.last.json.keys()
    kept = latest()
    labels = {"prompt_id": "p", "any_key": "é ü", "number": "1", "yes": "true"}
    assert kept["metadata"] == {**labels, **SDK}
    assert kept["respPayload"]["id"] == saw["id"]


def test_generated_client_is_answered_too(program: Program, latest: Callable[[], Any]) -> None:
    saw = program.play("typed", body=asked("openai:ok"))
    assert saw["choices"][0]["message"]["content"] == CONTENT
    assert latest()["respPayload"] == saw


@pytest.mark.parametrize(("options", "more"), [({}, 1), ({"logRequest": False}, 0)])
def test_log_request_decides_whether_a_call_is_logged(
    program: Program, count: Callable[[], int], options: dict[str, Any], more: int
) -> None:
    before = count()
    program.play("create", body=asked("openai:ok", openpipe=options))
    assert count() == before + more


@pytest.mark.parametrize("model", ["ok", "openai:ok", f"openpipe:local/{LOCAL}"])
@pytest.mark.parametrize(
    ("modes", "hits"),
    [
        (["readOnly", "readOnly"], [False, False]),
        (["writeOnly", "writeOnly"], [False, False]),
        (["writeOnly", "readOnly"], [False, True]),
        (["readWrite", "readWrite"], [False, True]),
    ],
)
def test_cache_is_read_and_written_as_the_client_says(
    program: Program, latest: Callable[[], Any], model: str, modes: list[str], hits: list[bool]
) -> None:
    messages = [{"role": "user", "content": f"Say {uuid4()}"}]
    found = []
    for mode in modes:
        body = {"model": model, "messages": messages, "max_tokens": 8, "openpipe": {"cache": mode}}
        saw = program.play("create", body=body)
        kept = latest()
        assert kept["respPayload"]["id"] == saw["id"]
        found.append(kept["cacheHit"])
    assert found == hits


def test_cached_answer_is_told_as_a_stream(program: Program, latest: Callable[[], Any]) -> None:
    messages = [{"role": "user", "content": f"Say {uuid4()}"}]
    body = {"model": "openai:ok", "messages": messages, "openpipe": {"cache": "readWrite"}}
    whole = program.play("create", body=body)
    chunks = program.play("stream", body=body)
    assert _content(chunks) == whole["choices"][0]["message"]["content"]
    assert latest()["cacheHit"] is True


def test_stream_comes_from_the_server_and_is_logged_whole(
    program: Program, latest: Callable[[], Any]
) -> None:
    options = {"include_usage": True}
    chunks = program.play("stream", body=asked("openai:ok", stream_options=options))
    assert {chunk["model"] for chunk in chunks} == {"openai:ok"}
    assert _content(chunks) == CONTENT
    assert chunks[-1]["usage"]["total_tokens"] == 16
    assert latest()["respPayload"]["choices"][0]["message"]["content"] == CONTENT


@pytest.mark.parametrize(
    ("error", "model", "status"),
    [
        ("BadRequestError", "gemini:x", 400),
        ("NotFoundError", "openpipe:gpt-4o-error", 404),
        ("RateLimitError", "openpipe:busy", 429),
        ("InternalServerError", "openpipe:broken", 500),
        ("InternalServerError", "openpipe:locked", 502),
    ],
)
def test_error_of_the_server_is_the_client_s_own_and_is_logged(
    program: Program, latest: Callable[[], Any], error: str, model: str, status: int
) -> None:
    saw = program.play("refused", error=error, body=asked(model))
    assert saw["status"] == status
    assert saw["requestID"]
    kept = latest()
    assert kept["statusCode"] == status
    assert saw["message"] == f"{status} {kept['errorMessage']}"


def test_wrong_key_is_an_authentication_error(program: Program) -> None:
    body = asked("openai:ok")
    saw = program.play("refused", error="AuthenticationError", body=body, key="opk_unknown")
    assert (saw["status"], saw["code"]) == (401, "invalid_api_key")


def test_read_only_key_is_denied_permission(program: Program, read_only_key: str) -> None:
    body = asked("openai:ok")
    saw = program.play("refused", error="PermissionDeniedError", body=body, key=read_only_key)
    assert saw["status"] == 403


def test_local_model_is_reached_by_its_slug(program: Program, latest: Callable[[], Any]) -> None:
    model = f"openpipe:local/{LOCAL}"
    saw = program.play("create", body=asked(model, max_tokens=8, temperature=0))
    assert saw["model"] == model
    assert saw["usage"]["completion_tokens"] > 0
    assert latest()["respPayload"]["id"] == saw["id"]


def test_local_model_answers_in_the_form_that_is_asked_for(program: Program) -> None:
    saw = program.play("parse", body=asked(f"openpipe:{LOCAL}", max_tokens=64, temperature=0))
    assert saw["city"] in {"Paris", "Rome"}


@pytest.mark.parametrize("model", obliging.MODELS.values())
def test_every_dialect_is_reached_by_a_model_s_name(
    program: Program, latest: Callable[[], Any], model: str
) -> None:
    body = asked(f"openpipe:{model}", openpipe={"tags": {"dialect": "any"}})
    assert program.play("create", body=body)["choices"][0]["message"]["content"] == obliging.CONTENT
    assert _content(program.play("stream", body=body)) == obliging.CONTENT
    assert program.play("parse", body=body) == obliging.PARIS
    kept = latest()
    assert kept["metadata"] == {"dialect": "any", **SDK}
    assert kept["respPayload"]["model"] == body["model"]


# --- criteria -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def criteria(server: Standpipe) -> None:
    judging.make_criteria(server, CONTENT)


@pytest.mark.usefixtures("criteria")
def test_choices_come_with_what_the_criteria_say(
    program: Program, latest: Callable[[], Any]
) -> None:
    wanted = {"criteria": ["highlight-format@v1", "polite"]}
    saw = program.play("create", body=asked("openai:ok", openpipe=wanted))
    results = saw["choices"][0]["criteria_results"]
    assert results["highlight-format"]["score"] == 1
    assert results["polite"]["status"] == "success", results
    assert saw["usage"]["criteria"]["polite"]["total_tokens"] > 0
    assert latest()["respPayload"]["choices"][0]["criteria_results"] == results
    latest_one = {"criteria": ["highlight-format"]}
    again = program.play("create", body=asked("openai:ok", openpipe=latest_one))
    assert again["choices"][0]["criteria_results"]["highlight-format"]["score"] == 0
    chunks = program.play("stream", body=asked("openai:ok", openpipe=latest_one))
    assert _content(chunks) == CONTENT
    assert chunks[0]["choices"][0]["criteria_results"]["highlight-format"]["score"] == 0


@pytest.mark.usefixtures("criteria")
@pytest.mark.parametrize(("name", "message"), judging.MISSING)
def test_criterion_that_is_not_there_is_told_as_openpipe_does(
    program: Program, name: str, message: str
) -> None:
    body = asked("openai:ok", openpipe={"criteria": [name]})
    saw = program.play("refused", error="NotFoundError", body=body)
    assert saw["message"] == f"404 {message}"
    case = {"criterion_id": name, "output": {"role": "assistant", "content": "Hello"}}
    refused = program.play("judgementRefused", body={**case, "input": {"messages": HI}})
    assert (refused["name"], refused["status"]) == ("ApiError", 404)
    assert refused["body"]["message"] == message


@pytest.mark.usefixtures("criteria")
def test_platform_client_has_an_answer_judged(program: Program) -> None:
    output = {"role": "assistant", "content": CONTENT}
    body = {"criterion_id": "highlight-format@v1", "output": output, "input": {"messages": HI}}
    saw = program.play("judgement", body=body)
    assert (saw["score"], "usage" in saw) == (1, False)
    saw = program.play("judgement", body={**body, "criterion_id": "polite"})
    assert 0 <= saw["score"] <= 1
    assert saw["explanation"]
    assert saw["usage"]["total_tokens"] > 0


# --- past the server, and reported --------------------------------------------------------------


def test_direct_call_is_reported_whole_with_its_labels(
    program: Program, upstream: Misbehaving, latest: Callable[[], Any]
) -> None:
    body = asked("ok", metadata={"prompt_id": "p"}, openpipe={"tags": {"direct": 1}})
    saw = program.play("create", body=body)
    assert saw["model"] == "ok-2025-06-01"
    assert "metadata" not in upstream.last.json
    kept = latest()
    assert kept["statusCode"] == 200
    assert kept["reqPayload"] == asked("ok", metadata={"prompt_id": "p"})
    assert kept["respPayload"] == saw
    assert kept["metadata"] == {"prompt_id": "p", "direct": "1", **SDK}


def test_direct_stream_is_reported_when_it_has_been_read(
    program: Program, server: Standpipe, latest: Callable[[], Any]
) -> None:
    options = {"include_usage": True}
    chunks = program.play("stream", body=asked("ok", stream_options=options))
    assert _content(chunks) == CONTENT
    kept = latest()
    assert kept["reqPayload"] == asked("ok", stream_options=options, stream=True)
    assert kept["respPayload"]["choices"][0]["message"]["content"] == CONTENT
    assert kept["respPayload"]["usage"]["total_tokens"] == 16
    assert call(server, "GET", f"/chat/completions/{chunks[0]['id']}").status == 200


def test_direct_error_is_reported_with_its_status_in_the_message(
    program: Program, latest: Callable[[], Any]
) -> None:
    saw = program.play("refused", error="NotFoundError", body=asked("status:404"))
    kept = latest()
    assert (kept["statusCode"], kept["errorMessage"]) == (404, saw["message"])
    assert saw["message"].startswith("404 ")


def test_direct_call_works_although_its_report_is_refused(
    program: Program, count: Callable[[], int]
) -> None:
    before = count()
    assert program.play("create", body=asked("ok"), key="opk_unknown")["id"]
    assert count() == before


def test_fallback_is_answered_by_the_provider_and_reported(
    program: Program, server: Standpipe, count: Callable[[], int]
) -> None:
    before = count()
    fallback = {"model": "ok", "timeout": 20_000}
    saw = program.play("create", body=asked("openpipe:none", openpipe={"fallback": fallback}))
    assert saw["model"] == "ok-2025-06-01"
    assert call(server, "GET", f"/chat/completions/{saw['id']}").json["id"] == saw["id"]
    # The call that failed, and the one that stood in for it.
    assert count() == before + 2


# --- the openai client alone --------------------------------------------------------------------


def test_request_id_of_the_client_is_the_id_of_the_record(
    program: Program, server: Standpipe
) -> None:
    saw = program.play("headers", body=asked("ok"))
    assert call(server, "GET", f"/chat/completions/{saw['request_id']}").json["id"] == saw["id"]


def test_stream_helper_puts_the_pieces_together(program: Program) -> None:
    whole = program.play("helper", body=asked("ok"))
    assert whole["choices"][0]["message"]["content"] == CONTENT
    called = program.play("helper", body=asked("tools"))["choices"][0]["message"]["tool_calls"]
    assert called[0]["function"]["arguments"] == '{"city":"Paris"}'


def test_stored_completion_lives_its_life(program: Program, server: Standpipe) -> None:
    saw = program.play("stored", label="npm")
    assert [message["content"] for message in saw["messages"]] == ["Hi"]
    assert call(server, "GET", f"/chat/completions/{saw['made'][0]}").status == 404
    assert call(server, "GET", f"/chat/completions/{saw['made'][1]}").status == 200


def test_models_are_listed_and_each_is_retrieved_by_the_openai_client(program: Program) -> None:
    assert {"ok", "busy", LOCAL} <= set(program.play("openaiModels"))


# --- the platform -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_payload", "response_payload", "status"),
    [
        (asked("gpt-4o"), {"id": "reported", "choices": []}, 200),
        (asked("gpt-4o"), None, 200),
        (None, None, 200),
        ({"x": "invalid", "metadata": {"prompt_id": "p"}}, None, 400),
        ("text", [1, 2.5, None], 200),
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_report_keeps_whatever_it_is_given(
    program: Program,
    server: Standpipe,
    latest: Callable[[], Any],
    request_payload: Any,
    response_payload: Any,
    status: int,
    slash: str,
) -> None:
    tags = {"numberTag": 1, "booleanTag": True, "nullTag": None}
    body = {"reqPayload": request_payload, "respPayload": response_payload}
    body = {**body, "statusCode": status, "errorMessage": "Why", "tags": tags}
    # With a slash at the end the client asks for `//report`.
    assert program.play("report", body=body, url=server.url + slash) == {"status": "ok"}
    kept = latest()
    assert kept["reqPayload"] == request_payload
    assert kept["respPayload"] == response_payload
    assert (kept["statusCode"], kept["errorMessage"]) == (status, "Why")
    assert {"numberTag": "1", "booleanTag": "true"}.items() <= kept["metadata"].items()
    assert "nullTag" not in kept["metadata"]


def test_labels_are_changed_on_the_calls_that_match(
    program: Program, latest: Callable[[], Any]
) -> None:
    saw = program.play("create", body=asked("openai:ok", openpipe={"tags": {"run": 7}}))
    filters = [{"field": "completionId", "equals": saw["id"]}]
    body = {"filters": filters, "metadata": {"added": "a", "run": None}}
    assert program.play("updateMetadata", body=body) == {"matchedLogs": 1}
    assert latest()["metadata"] == {"added": "a", **SDK}
    filters = [{"field": "tags.added", "equals": "a"}]
    assert program.play("updateTags", body={"filters": filters, "tags": {"score": 0.5}}) == {
        "matchedLogs": 1
    }
    assert latest()["tags"] == {"added": "a", "score": "0.5", **SDK}


def test_newest_logged_call_is_read_by_the_client(
    program: Program, latest: Callable[[], Any]
) -> None:
    program.play("create", body=asked("openai:echo"))
    assert program.play("latest") == latest()


def test_check_cache_finds_nothing(program: Program) -> None:
    assert program.play("checkCache") == {"respPayload": None}


def test_models_are_listed_and_each_is_retrieved_by_the_platform_client(program: Program) -> None:
    listed = program.play("models")
    assert {"ok", "busy", LOCAL} <= {model["id"] for model in listed}
    assert all(isinstance(model["created"], str) for model in listed)


def test_platform_s_errors_are_api_errors(program: Program) -> None:
    saw = program.play("platformErrors")
    assert [each["name"] for each in saw] == ["ApiError"] * 3
    told = [(each["status"], each["message"], each["body"]["code"]) for each in saw]
    assert told == [
        (404, "Not Found", "NOT_FOUND"),
        (401, "Unauthorized", "UNAUTHORIZED"),
        (400, "Bad Request", "BAD_REQUEST"),
    ]
    assert saw[2]["body"]["message"].startswith("Input validation failed")


def _content(chunks: list[dict[str, Any]]) -> str:
    pieces = [choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"]]
    return "".join(piece or "" for piece in pieces)
