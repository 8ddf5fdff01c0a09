"""The unmodified `openpipe` 5.0.0 client, sync and async, with only its base URL changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol
from uuid import uuid4

import pytest
from clients import judging, obliging
from clients.programs import python_program
from misbehaving import Misbehaving
from serving import KEY, Standpipe, call

LOCAL = "smollm2-135m-instruct"
#: The content of five pieces, as the provider says it.
CONTENT = "Hello there, how can I"
HI = [{"role": "user", "content": "Hi"}]
SDK = {"$sdk": "python", "$sdk.version": "5.0.0"}


class Play(Protocol):
    def __call__(self, scenario: str, **arguments: Any) -> Any: ...


@pytest.fixture(scope="module")
def program(server: Standpipe, upstream: Misbehaving) -> Iterator[Any]:
    places = {"url": server.url, "key": KEY, "provider": upstream.url}
    with python_program("openpipe", "openpipe_client", **places) as started:
        yield started


@pytest.fixture(params=["sync", "async"])
def play(request: pytest.FixtureRequest, program: Any) -> Play:
    """Return what plays a scenario with the sync or the async client."""

    def played(scenario: str, **arguments: Any) -> Any:
        return program.play(scenario, mode=request.param, **arguments)

    return played


def asked(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": HI, **fields}


# --- through the server -------------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/"])
def test_prefixed_model_is_answered_by_the_server_and_labelled(
    play: Play, server: Standpipe, upstream: Misbehaving, latest: Callable[[], Any], slash: str
) -> None:
    tags = {"any_key": "any_value", "number": 1, "yes": True, "none": None, "ключ é": "é"}
    body = asked("openai:ok", metadata={"prompt_id": "p"}, openpipe={"tags": tags})
    saw = play("create", body=body, url=server.url + slash)
    assert saw["model"] == "openai:ok"
    assert saw["choices"][0]["message"]["content"] == CONTENT
    assert "metadata" not in upstream.last.json
    assert "openpipe" not in upstream.last.json
    kept = latest()
    labels = {"prompt_id": "p", "any_key": "any_value", "number": "1", "yes": "true", "______": "é"}
    assert kept["metadata"] == {**labels, **SDK}
    assert kept["tags"] == kept["metadata"]
    assert kept["respPayload"]["id"] == saw["id"]
    assert kept["reqPayload"]["model"] == "openai:ok"


@pytest.mark.parametrize("model", ["openai:ok", "openai:tools", LOCAL])
def test_answer_passes_the_generated_client_s_schema(play: Play, model: str) -> None:
    saw = play(
        "typed", body=asked(model, max_tokens=8, temperature=0, store=True, metadata={"a": "b"})
    )
    assert saw["model"] == model
    message = saw["choices"][0]["message"]
    assert message["content"] or message["tool_calls"]
    assert saw["usage"]["total_tokens"] > 0


@pytest.mark.parametrize(("wanted", "more"), [(None, 1), (True, 1), (False, 0)])
def test_log_request_decides_whether_a_call_is_logged(
    play: Play, count: Callable[[], int], wanted: bool | None, more: int
) -> None:
    before = count()
    play("create", body=asked("openai:ok", openpipe={"log_request": wanted}))
    assert count() == before + more


def test_cache_setting_that_is_no_word_is_no_cache(play: Play, latest: Callable[[], Any]) -> None:
    saw = play("create", body=asked("ok", openpipe={"cache": True}))
    assert saw["model"] == "ok"
    assert latest()["cacheHit"] is False
    assert latest()["respPayload"]["id"] == saw["id"]


#: What the client asks for, call by call, and whether each is a hit.
CACHED: list[tuple[list[str], list[bool]]] = [
    (["readOnly", "readOnly"], [False, False]),
    (["writeOnly", "writeOnly"], [False, False]),
    (["writeOnly", "readOnly"], [False, True]),
    (["readWrite", "readWrite"], [False, True]),
]


@pytest.mark.parametrize("model", ["ok", "openai:ok", f"openpipe:local/{LOCAL}"])
@pytest.mark.parametrize(("modes", "hits"), CACHED)
def test_cache_is_read_and_written_as_the_client_says(
    play: Play, latest: Callable[[], Any], model: str, modes: list[str], hits: list[bool]
) -> None:
    messages = [{"role": "user", "content": f"Say {uuid4()}"}]
    found = []
    for mode in modes:
        openpipe = {"cache": mode, "tags": {"cached": True}}
        asked_for = {"model": model, "messages": messages, "max_tokens": 8, "openpipe": openpipe}
        saw = play("create", body=asked_for)
        kept = latest()
        assert kept["respPayload"]["id"] == saw["id"]
        assert kept["metadata"]["cached"] == "true"
        found.append(kept["cacheHit"])
    assert found == hits


def test_calls_that_ask_for_no_cache_are_no_hits(play: Play, latest: Callable[[], Any]) -> None:
    for _ in range(2):
        play("create", body=asked("openai:ok"))
        assert latest()["cacheHit"] is False


def test_cached_answer_is_told_as_a_stream(play: Play, latest: Callable[[], Any]) -> None:
    messages = [{"role": "user", "content": f"Say {uuid4()}"}]
    body = {"model": "openai:ok", "messages": messages, "openpipe": {"cache": "readWrite"}}
    whole = play("create", body=body)
    chunks = play("stream", body=body)
    assert _content(chunks) == whole["choices"][0]["message"]["content"]
    assert latest()["cacheHit"] is True


def test_stream_comes_from_the_server_and_is_logged_whole(
    play: Play, latest: Callable[[], Any]
) -> None:
    options = {"include_usage": True}
    body = asked("openai:ok", stream_options=options, openpipe={"tags": {"streamed": True}})
    chunks = play("stream", body=body)
    assert {chunk["model"] for chunk in chunks} == {"openai:ok"}
    assert _content(chunks) == CONTENT
    assert chunks[-1]["usage"]["total_tokens"] == 16
    kept = latest()
    assert kept["respPayload"]["choices"][0]["message"]["content"] == CONTENT
    assert kept["respPayload"]["usage"]["total_tokens"] == 16
    assert kept["metadata"] == {"streamed": "true", **SDK}


def test_tool_calls_of_a_stream_are_logged_whole(play: Play, latest: Callable[[], Any]) -> None:
    play("stream", body=asked("openai:tools"))
    (called,) = latest()["respPayload"]["choices"][0]["message"]["tool_calls"]
    assert called["function"] == {"name": "get_weather", "arguments": '{"city":"Paris"}'}


@pytest.mark.parametrize(
    ("error", "model", "status"),
    [
        ("NotFoundError", "openpipe:gpt-4o-error", 404),
        ("RateLimitError", "openpipe:busy", 429),
        ("InternalServerError", "openpipe:broken", 500),
    ],
)
def test_error_of_the_server_is_the_client_s_own_and_is_logged(
    play: Play, latest: Callable[[], Any], error: str, model: str, status: int
) -> None:
    saw = play("refused", error=error, body=asked(model))
    assert saw["status_code"] == status
    kept = latest()
    assert kept["statusCode"] == status
    assert kept["errorMessage"] == saw["body"]["message"]
    assert kept["reqPayload"]["model"] == model


def test_key_of_the_provider_is_not_one_of_ours(play: Play, server: Standpipe) -> None:
    saw = play("keyless", error="AuthenticationError", body=asked("openai:ok"))
    assert saw["status_code"] == 401
    assert "sk-provider" not in server.log.read_text()


def test_local_model_is_reached_by_its_slug(play: Play, latest: Callable[[], Any]) -> None:
    model = f"openpipe:local/{LOCAL}"
    saw = play("create", body=asked(model, max_tokens=8, temperature=0))
    assert saw["model"] == model
    assert saw["usage"]["completion_tokens"] > 0
    assert latest()["respPayload"]["id"] == saw["id"]


def test_local_model_answers_in_the_form_that_is_asked_for(play: Play) -> None:
    saw = play("parse", body=asked(f"openpipe:{LOCAL}", max_tokens=64, temperature=0))
    assert saw["city"] in {"Paris", "Rome"}


@pytest.mark.parametrize("model", obliging.MODELS.values())
def test_every_dialect_is_reached_by_a_model_s_name(
    play: Play, latest: Callable[[], Any], model: str
) -> None:
    body = asked(f"openpipe:{model}", openpipe={"tags": {"dialect": "any"}})
    assert play("create", body=body)["choices"][0]["message"]["content"] == obliging.CONTENT
    assert _content(play("stream", body=body)) == obliging.CONTENT
    assert play("parse", body=body) == obliging.PARIS
    kept = latest()
    assert kept["metadata"] == {"dialect": "any", **SDK}
    assert kept["respPayload"]["model"] == body["model"]


# --- criteria -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def criteria(server: Standpipe) -> None:
    judging.make_criteria(server, CONTENT)


@pytest.mark.usefixtures("criteria")
def test_choices_come_with_what_the_criteria_say(play: Play, latest: Callable[[], Any]) -> None:
    wanted = {"criteria": ["highlight-format@v1", "polite"]}
    saw = play("create", body=asked("openai:ok", openpipe=wanted))
    results = saw["choices"][0]["criteria_results"]
    assert results["highlight-format"]["score"] == 1
    assert results["polite"]["status"] == "success", results
    assert 0 <= results["polite"]["score"] <= 1
    assert saw["usage"]["criteria"]["polite"]["total_tokens"] > 0
    kept = latest()
    assert kept["respPayload"]["choices"][0]["criteria_results"] == results
    again = play("create", body=asked("openai:ok", openpipe={"criteria": ["highlight-format"]}))
    assert again["choices"][0]["criteria_results"]["highlight-format"]["score"] == 0


@pytest.mark.usefixtures("criteria")
@pytest.mark.parametrize(("name", "message"), judging.MISSING)
def test_criterion_that_is_not_there_is_told_as_openpipe_does(
    play: Play, name: str, message: str
) -> None:
    body = asked("openai:ok", openpipe={"criteria": [name]})
    saw = play("refused", error="NotFoundError", body=body)
    assert saw["body"]["message"] == message
    output = {"role": "assistant", "content": "Hello"}
    case = {"criterion_id": name, "output": output, "input": {"messages": HI}}
    refused = play("judgement_refused", body=case)
    assert (refused["status"], refused["body"]["message"]) == (404, message)


@pytest.mark.usefixtures("criteria")
def test_platform_client_has_an_answer_judged(play: Play) -> None:
    output = {"role": "assistant", "content": CONTENT}
    body = {"criterion_id": "highlight-format@v1", "output": output, "input": {"messages": HI}}
    saw = play("judgement", body=body)
    assert (saw["score"], saw["usage"]) == (1, None)
    saw = play("judgement", body={**body, "criterion_id": "polite"})
    assert 0 <= saw["score"] <= 1
    assert saw["explanation"]
    assert saw["usage"]["total_tokens"] > 0


# --- past the server, and reported --------------------------------------------------------------


def test_direct_call_is_reported_with_its_labels(
    play: Play, server: Standpipe, upstream: Misbehaving, latest: Callable[[], Any]
) -> None:
    body = asked("ok", metadata={"prompt_id": "p"}, openpipe={"tags": {"direct": 1}})
    saw = play("create", body=body)
    assert saw["model"] == "ok-2025-06-01"
    assert "metadata" not in upstream.last.json
    kept = latest()
    assert kept["statusCode"] == 200
    assert kept["reqPayload"] == asked("ok", metadata={"prompt_id": "p"})
    assert kept["respPayload"]["id"] == saw["id"]
    assert kept["metadata"] == {"prompt_id": "p", "direct": "1", **SDK}
    stored = call(server, "GET", f"/chat/completions/{saw['id']}").json
    assert stored["choices"][0]["message"]["content"] == CONTENT


def test_direct_stream_is_reported_when_it_has_been_read(
    play: Play, server: Standpipe, latest: Callable[[], Any]
) -> None:
    chunks = play("stream", body=asked("ok"))
    assert _content(chunks) == CONTENT
    kept = latest()
    assert kept["reqPayload"] == asked("ok", stream=True)
    message = kept["respPayload"]["choices"][0]["message"]
    assert message["content"] == CONTENT
    assert message["tool_calls"] == []
    assert "usage" not in kept["respPayload"]
    assert call(server, "GET", f"/chat/completions/{chunks[0]['id']}").status == 200


def test_direct_error_is_reported_without_its_status_in_the_message(
    play: Play, latest: Callable[[], Any]
) -> None:
    saw = play("refused", error="NotFoundError", body=asked("status:404"))
    kept = latest()
    assert (kept["statusCode"], kept["errorMessage"]) == (404, saw["body"]["message"])
    assert kept["respPayload"]["message"] == saw["body"]["message"]


def test_direct_call_is_not_reported_if_not_wanted(play: Play, count: Callable[[], int]) -> None:
    before = count()
    play("create", body=asked("ok", openpipe={"log_request": False}))
    assert count() == before


def test_direct_call_works_although_its_report_is_refused(
    play: Play, count: Callable[[], int]
) -> None:
    before = count()
    assert play("create", body=asked("ok"), key="opk_unknown")["id"]
    assert count() == before


def test_fallback_is_answered_by_the_provider_and_reported(
    play: Play, server: Standpipe, count: Callable[[], int]
) -> None:
    before = count()
    # The timeout is reported as if it were a field of the request.
    fallback = {"model": "ok", "timeout": 20}
    saw = play("create", body=asked("openpipe:none", openpipe={"fallback": fallback}))
    assert saw["model"] == "ok-2025-06-01"
    assert call(server, "GET", f"/chat/completions/{saw['id']}").json["id"] == saw["id"]
    # The call that failed, and the one that stood in for it.
    assert count() == before + 2


# --- the platform -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_payload", "response_payload", "status"),
    [
        (asked("gpt-4o"), {"id": "reported", "choices": []}, 200),
        (asked("gpt-4o"), None, 200),
        (None, None, 200),
        ({"x": "invalid", "metadata": {"prompt_id": "p"}}, None, 400),
        (asked("gpt-4o"), {"code": "BAD", "message": "No"}, 400),
        ("text", [1, 2.5, None], 200),
        ({"model": 17, "messages": HI, "metadata": {"a": 1, "b": None}}, "text", 500),
    ],
)
def test_report_keeps_whatever_it_is_given(
    play: Play,
    latest: Callable[[], Any],
    request_payload: Any,
    response_payload: Any,
    status: int,
) -> None:
    tags = {"numberTag": 1, "booleanTag": True, "nullTag": None, "floatTag": 1.5}
    body = {"req_payload": request_payload, "resp_payload": response_payload}
    assert play("report", body={**body, "status_code": status, "tags": tags}) == {"status": "ok"}
    kept = latest()
    assert kept["reqPayload"] == request_payload
    assert kept["respPayload"] == response_payload
    assert kept["statusCode"] == status
    texts = {"numberTag": "1", "booleanTag": "true", "floatTag": "1.5", **SDK}
    assert texts.items() <= kept["metadata"].items()
    assert "nullTag" not in kept["metadata"]


def test_report_of_an_error_keeps_its_message(play: Play, latest: Callable[[], Any]) -> None:
    body = {"req_payload": asked("gpt-4o"), "status_code": 429, "error_message": "Slow down"}
    assert play("report", body=body) == {"status": "ok"}
    assert (latest()["statusCode"], latest()["errorMessage"]) == (429, "Slow down")


def test_report_of_nothing_is_kept(play: Play, latest: Callable[[], Any]) -> None:
    assert play("report", body={}) == {"status": "ok"}
    kept = latest()
    assert (kept["reqPayload"], kept["respPayload"], kept["statusCode"]) == (None, None, None)


def test_completion_object_can_be_reported(play: Play, server: Standpipe) -> None:
    saw = play("report_completion", body=asked("ok"))
    stored = call(server, "GET", f"/chat/completions/{saw['id']}").json
    assert stored["choices"][0]["message"]["content"] == CONTENT


def test_metadata_is_changed_on_the_calls_that_match(play: Play, latest: Callable[[], Any]) -> None:
    saw = play("create", body=asked("openai:ok", metadata={"keep": "k", "drop": "d"}))
    by_id = {"field": "completionId", "equals": saw["id"]}
    by_label = {"field": "metadata.keep", "equals": "k"}
    changes = {"added": "a", "drop": None}
    body = {"filters": [by_id, by_label], "metadata": changes}
    assert play("update_metadata", body=body) == 1
    assert latest()["metadata"] == {"keep": "k", "added": "a", **SDK}
    nothing = {"filters": [{"field": "model", "equals": "none"}], "metadata": changes}
    assert play("update_metadata", body=nothing) == 0


def test_tags_are_changed_by_the_older_route(
    play: Play, latest: Callable[[], Any], count: Callable[[], int]
) -> None:
    saw = play("create", body=asked("openai:ok", openpipe={"tags": {"run": 7}}))
    filters = [{"field": "completionId", "equals": saw["id"]}, {"field": "tags.run", "equals": 7}]
    tags = {"relabel": True, "score": 0.5, "run": None}
    assert play("update_tags", body={"filters": filters, "tags": tags}) == 1
    assert latest()["tags"] == {"relabel": "true", "score": "0.5", **SDK}
    everything: dict[str, Any] = {"filters": [], "tags": {"all": "yes"}}
    assert play("update_tags", body=everything) == count()


def test_newest_logged_call_is_read_by_the_client(play: Play, latest: Callable[[], Any]) -> None:
    play("create", body=asked("openai:echo"))
    saw, kept = play("latest"), latest()
    assert saw["reqPayload"] == asked("openai:echo")
    assert {name: saw[name] for name in saw if name != "createdAt"} == {
        name: kept[name] for name in kept if name != "createdAt"
    }


def test_check_cache_finds_nothing(play: Play) -> None:
    assert play("check_cache") is None


def test_models_are_listed_and_each_is_retrieved(play: Play) -> None:
    listed = play("models")
    assert {"ok", "busy", LOCAL} <= {model["id"] for model in listed}
    assert {model["openpipe"]["status"] for model in listed} == {"DEPLOYED"}


def test_platform_s_errors_tell_status_code_and_message(play: Play) -> None:
    missing, unknown = play("platform_errors")
    assert (missing["status"], missing["code"]) == (404, "NOT_FOUND")
    assert missing["message"] == "The model `none` does not exist"
    assert (unknown["status"], unknown["code"]) == (401, "UNAUTHORIZED")


def _content(chunks: list[dict[str, Any]]) -> str:
    pieces = [choice["delta"]["content"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(piece or "" for piece in pieces)
