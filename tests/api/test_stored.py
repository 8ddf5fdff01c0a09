"""Stored completions, as OpenAI's clients see them, on a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import serving
from asking import CHAT, HI, Asker
from misbehaving import Misbehaving

from standpipe.api.endpoints import PREFIXES


@pytest.fixture
def five(client: Asker) -> list[Any]:
    """Make five calls, the even ones labelled."""
    return [client.chat(metadata={"n": str(n), "even": str(n % 2 == 0)}) for n in range(5)]


def ids(completions: list[Any]) -> list[str]:
    return [each["id"] for each in completions]


def label(client: Asker, name: str, metadata: dict[str, str]) -> Any:
    return client.post(f"{CHAT}/{name}", {"metadata": metadata})


@pytest.mark.parametrize("prefix", PREFIXES)
def test_list_is_oldest_first_under_both_prefixes(
    client: Asker, five: list[Any], prefix: str
) -> None:
    page = client.get(CHAT, prefix=prefix)
    assert ids(page["data"]) == ids(five)
    assert (page["object"], page["has_more"]) == ("list", False)
    assert (page["first_id"], page["last_id"]) == (five[0]["id"], five[4]["id"])


def test_list_of_nothing_has_no_first_and_last(client: Asker) -> None:
    nothing = {"first_id": None, "last_id": None, "has_more": False}
    assert client.get(CHAT) == {"object": "list", "data": [], **nothing}


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_list_goes_on_after_the_last_of_a_page(client: Asker, five: list[Any], order: str) -> None:
    seen: list[str] = []
    more, after = True, ""
    while more:
        page = client.get(f"{CHAT}?limit=2&order={order}{after}")
        assert len(page["data"]) <= 2
        seen += ids(page["data"])
        more, after = page["has_more"], f"&after={page['last_id']}"
    assert seen == (ids(five) if order == "asc" else ids(five)[::-1])


def test_list_goes_on_after_a_request_id_too(client: Asker, five: list[Any]) -> None:
    assert ids(client.stored(f"?after={five[2]['request_id']}")) == ids(five[3:])


def test_list_is_narrowed_by_model_and_metadata(client: Asker, five: list[Any]) -> None:
    other = client.chat("openai:ok", metadata={"even": "True"})
    assert ids(client.stored("?model=ok")) == ids(five)
    assert ids(client.stored("?model=openai:ok")) == [other["id"]]
    assert ids(client.stored("?model=o")) == []
    assert ids(client.stored("?metadata[even]=True&model=ok")) == ids(five[::2])
    assert ids(client.stored("?metadata[even]=True&metadata[n]=2")) == [five[2]["id"]]
    assert ids(client.stored("?metadata%5Bn%5D=2&metadata[even]=False")) == []


def test_stored_completion_is_the_answer_and_what_was_asked(client: Asker) -> None:
    asked: dict[str, Any] = {"temperature": 0.5, "seed": 7, "user": "u", "stop": "x"}
    tools = [{"type": "function", "function": {"name": "f"}}]
    answer = client.chat(metadata={"a": "b"}, tools=tools, **asked)
    (stored,) = client.stored()
    for name, value in answer.items():
        assert stored[name] == value
    assert (stored["metadata"], stored["input_user"]) == ({"a": "b"}, "u")
    assert (stored["temperature"], stored["seed"], stored["tools"]) == (0.5, 7, tools)
    assert stored["response_format"] is None


def test_stream_is_stored_as_one_completion(client: Asker) -> None:
    answer = client.ask("POST", CHAT, {"model": "ok", "messages": HI, "stream": True})
    assert answer.body.endswith(b"data: [DONE]\n\n")
    (stored,) = client.stored()
    assert stored["object"] == "chat.completion"
    assert stored["request_id"] == answer.headers["x-request-id"]
    assert stored["choices"][0]["message"]["content"] == "Hello there, how can I"
    assert stored["choices"][0]["finish_reason"] == "stop"
    assert stored["usage"]["total_tokens"] == 16


@pytest.mark.parametrize("which", ["id", "request_id"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_completion_is_found_by_either_id(client: Asker, which: str, prefix: str) -> None:
    answer = client.chat()
    found = client.get(f"{CHAT}/{answer[which]}", prefix=prefix)
    assert (found["id"], found["request_id"]) == (answer["id"], answer["request_id"])


def test_only_logged_calls_that_ended_well_are_stored(client: Asker) -> None:
    kept = client.chat()
    client.chat(store=False)
    assert client.ask("POST", CHAT, {"model": "status:400", "messages": HI}).status == 400
    assert client.ask("POST", CHAT, {"model": "ok"}).status == 400
    assert client.ask("POST", CHAT, {"model": "not-json", "messages": HI}).status == 502
    assert ids(client.stored()) == [kept["id"]]


def test_what_was_just_written_is_read(client: Asker) -> None:
    for n in range(20):
        answer = client.chat(metadata={"n": str(n)})
        assert client.get(f"{CHAT}/{answer['id']}")["metadata"] == {"n": str(n)}
        assert len(client.stored()) == n + 1


def test_messages_are_listed_with_their_parts(client: Asker) -> None:
    parts = [{"type": "text", "text": "Hi"}]
    asked: list[Any] = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": parts, "name": "ann"},
        {"role": "assistant", "content": None, "refusal": "No"},
        {"role": "user", "content": "Why?"},
    ]
    name = client.chat(messages=asked)["id"]
    page = client.get(f"{CHAT}/{name}/messages")
    assert [m["role"] for m in page["data"]] == [m["role"] for m in asked]
    assert [m["content"] for m in page["data"]] == ["Be short.", None, None, "Why?"]
    assert [m["content_parts"] for m in page["data"]] == [None, parts, None, None]
    assert page["data"][1]["name"] == "ann"
    assert len(set(ids(page["data"]))) == 4
    assert page["has_more"] is False


def test_messages_come_in_pages(client: Asker) -> None:
    asked = [{"role": "user", "content": str(n)} for n in range(5)]
    path = f"{CHAT}/{client.chat(messages=asked)['id']}/messages"
    first = client.get(f"{path}?limit=2")
    assert [m["content"] for m in first["data"]] == ["0", "1"]
    rest = client.get(f"{path}?limit=3&after={first['last_id']}")
    assert [m["content"] for m in rest["data"]] == ["2", "3", "4"]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert [m["content"] for m in client.get(f"{path}?order=desc&limit=1")["data"]] == ["4"]
    assert client.ask("GET", f"{path}?after=unknown").status == 404


def test_update_replaces_the_metadata(client: Asker) -> None:
    answer = client.chat(metadata={"a": "1", "b": "2"})
    updated = label(client, answer["id"], {"b": "3", "c": "4"})
    assert updated["metadata"] == {"b": "3", "c": "4"}
    assert updated["choices"] == answer["choices"]
    assert client.get(f"{CHAT}/{answer['id']}") == updated
    assert ids(client.stored("?metadata[c]=4")) == [answer["id"]]
    assert client.stored("?metadata[a]=1") == []
    assert label(client, answer["request_id"], {})["metadata"] == {}


def test_deleted_completion_is_gone(client: Asker) -> None:
    answer, other = client.chat(metadata={"a": "b"}), client.chat()
    path = f"{CHAT}/{answer['id']}"
    gone = client.ask("DELETE", path)
    assert (gone.status, gone.json) == (
        200,
        {"object": "chat.completion.deleted", "id": answer["id"], "deleted": True},
    )
    for method, where, body in (
        ("GET", path, None),
        ("GET", f"{CHAT}/{answer['request_id']}", None),
        ("GET", f"{path}/messages", None),
        ("POST", path, {"metadata": {}}),
        ("DELETE", path, None),
        ("GET", f"{CHAT}?after={answer['id']}", None),
    ):
        assert client.ask(method, where, body).status == 404
    assert ids(client.stored()) == [other["id"]]
    assert client.stored("?metadata[a]=b") == []
    assert client.post("/logs/update-metadata", {"filters": [], "metadata": {}}) == {
        "matchedLogs": 1
    }


def test_deleted_completion_stays_away_when_the_server_starts_again(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    provider = serving.provider("openai", upstream.url)
    with serving.serving(tmp_path, provider) as first:
        client = Asker(first, serving.KEY)
        answer, other = client.chat(), client.chat()
        assert client.ask("DELETE", f"{CHAT}/{answer['id']}").status == 200
    with serving.serving(tmp_path, provider) as second:
        assert ids(Asker(second, serving.KEY).stored()) == [other["id"]]


def test_request_with_a_number_that_nothing_holds_is_listed(client: Asker) -> None:
    body = b'{"model":"ok","messages":[{"role":"user","content":"Hi"}],"x":1e999}'
    name = client.send(CHAT, body).json["id"]
    assert ids(client.stored()) == [name]
    assert client.get(f"{CHAT}/{name}/messages")["data"][0]["content"] == "Hi"


def test_request_nested_nearly_too_deep_does_not_break_the_list(client: Asker) -> None:
    """The parser's limit depends on where it is called: what one call takes, another may not."""
    for levels in range(900, 1000, 10):
        body = b'{"model":"ok","messages":[{"role":"user","content":"Hi"}],"x":%b%b}'
        nested = body % (b"[" * levels, b"]" * levels)
        assert client.send(CHAT, nested).status in {200, 400}
    assert client.ask("GET", CHAT).status == 200


def test_unknown_completion_is_named(client: Asker) -> None:
    answer = client.ask("GET", f"{CHAT}/chatcmpl-unknown")
    assert answer.status == 404
    assert answer.json["message"] == "No stored completion 'chatcmpl-unknown' in this project"
