"""The OpenAPI document, the page and docs/api.md against the server and the code they describe."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import urllib.parse
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import jsonschema
import misbehaving
import msgspec
import pytest
import serving
from typing_extensions import override

from standpipe.api import admin_forms, judge, logs, report, stored
from standpipe.api.endpoints import ENDPOINTS, PREFIXES, ROOT_ENDPOINTS
from standpipe.api.openapi import document, error_classes, operations
from standpipe.api.operations import ANSWER_HEADERS, CONTROL, OPERATIONS
from standpipe.api.page import HEADERS, render
from standpipe.calls.incoming import NAMES
from standpipe.errors import ApiError
from standpipe.providers.openai import CODES
from standpipe.wire import chat

DOCUMENT = document()
ADMIN_KEY = "the-key-of-an-administrator"
GUIDE = serving.REPOSITORY / "docs" / "api.md"


def validator(schema: dict[str, Any]) -> Any:
    return jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def form(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


# --- the document and the code ------------------------------------------------------------------


def test_every_endpoint_is_in_the_document_and_nothing_else() -> None:
    described = {(method, path) for method, path, _, _ in operations(DOCUMENT["paths"])}
    assert described == {(e.method, e.path) for e in (*ENDPOINTS, *ROOT_ENDPOINTS)}
    assert set(OPERATIONS) - {e.operation for e in (*ENDPOINTS, *ROOT_ENDPOINTS)} == set()
    assert [server["url"] for server in DOCUMENT["servers"]] == list(PREFIXES)


def test_operation_ids_are_unique_and_references_lead_somewhere() -> None:
    found = [o["operationId"] for *_, o, _ in operations(DOCUMENT["paths"]) if "operationId" in o]
    assert len(found) == len(set(found))
    text = json.dumps(DOCUMENT)
    for reference in set(re.findall(r'"(#/[^"]+)"', text)):
        place = DOCUMENT
        for step in reference[2:].split("/"):
            place = place[step]


def test_every_schema_is_a_schema() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_chat_fields_and_control_headers_are_those_that_are_read() -> None:
    schema = DOCUMENT["components"]["schemas"]["ChatRequest"]
    assert list(schema["properties"]) == list(chat.FIELDS)
    http_own = {"authorization", "content-type"}
    assert set(CONTROL) == {name.decode() for name in NAMES} - http_own


FORMS: dict[str, type[msgspec.Struct]] = {
    "StoredUpdate": stored.Update,
    "Report": report.Report,
    "AnthropicReport": report.AnthropicReport,
    "MetadataUpdate": logs.MetadataUpdate,
    "TagsUpdate": logs.TagsUpdate,
    "LogDeletion": logs.LogDeletion,
    "Filter": logs.FilterBody,
    "NewProject": admin_forms.NewProject,
    "ProjectChange": admin_forms.ProjectChange,
    "NewKey": admin_forms.NewKey,
    "KeyChange": admin_forms.KeyChange,
    "JudgeBody": judge.JudgeBody,
    "JudgeInput": judge.JudgeInput,
}


@pytest.mark.parametrize("name", FORMS)
def test_small_forms_are_those_that_are_read(name: str) -> None:
    read = msgspec.structs.fields(FORMS[name])
    schema = DOCUMENT["components"]["schemas"][name]
    assert list(schema["properties"]) == [field.encode_name for field in read]
    assert schema.get("required", []) == [field.encode_name for field in read if field.required]


@pytest.mark.parametrize("operation", ["listChatCompletions", "getChatCompletionMessages"])
def test_query_parameters_are_those_that_are_read(operation: str) -> None:
    asked = {query.name: query.schema for query in OPERATIONS[operation].query}
    labels = asked.pop("metadata", None)
    read = msgspec.json.schema(stored.Page)["$defs"]["Page"]["properties"]
    assert asked.keys() <= read.keys()
    assert asked.keys() == read.keys() or labels is None
    for name in ("limit", "order"):
        rules = {k: v for k, v in asked[name].items() if k not in {"type", "description"}}
        assert rules == {k: v for k, v in read[name].items() if k != "type"}


_FUNCTION = {"name": "f", "parameters": {"type": "object"}}
_TOOL = {"type": "function", "function": _FUNCTION}
_ANY: list[Any] = [
    None, True, False, 0, 1, -1, 2, 2.0, 1.5, -2, -2.5, 20, 21, 128, 129, 2**31, 2**64, "", "x",
    "none", "auto", "required", "wav", "text", "a\x00b", "a\nb", "x" * 64, "x" * 256, "x" * 257,
    [], ["x"], [""], [1], [None], ["x"] * 16, ["x"] * 17, ["x"] * 65, {}, {"type": "x"},
    {"type": ""},
    {"type": None}, {"type": "function"}, {"type": "text"}, {"type": "json_object"},
    {"include_usage": True}, {"include_usage": None}, {"include_usage": 1},
    {"a": "b"}, {"a": 1}, {"a": None}, {"a": 101}, {"x" * 65: "y"}, {"a": "y" * 513}, {"a": "\x00"},
    {"\x00": "a"},
    {str(i): "v" for i in range(17)}, {"name": "f"}, {"name": ""}, {"name": None},
    {"function": {"name": "f"}}, {"type": "function", "function": {"name": "f"}},
    {"type": "function", "function": {"name": ""}}, {"type": "custom", "custom": {"name": "f"}},
    {"type": "json_schema"}, {"type": "json_schema", "json_schema": {"name": "a b"}},
    {"type": "json_schema", "json_schema": {"name": "a", "schema": {}, "strict": None}},
    {"type": "json_schema", "json_schema": {"name": "a", "schema": 1}},
    {"type": "regex", "regex": "a"}, {"format": "wav", "voice": "alloy"},
    {"format": "wav", "voice": {"id": "v"}}, {"format": "x", "voice": "alloy"}, {"format": "wav"},
    [_TOOL], [_FUNCTION], [{"name": "a b"}], [{"type": "custom"}], [{"type": "function"}],
    [{"type": "function", "function": {"name": "f", "strict": "yes"}}],
    [{"name": "f", "description": None, "strict": None}],
]  # fmt: skip

_PARTS: list[Any] = [
    None, "", "text", 1, {}, [], [1], ["x"], [{"type": "text", "text": "x"}], [{"type": "text"}],
    [{"type": "refusal", "refusal": "x"}], [{"type": "image_url", "image_url": {"url": "u"}}],
    [{"type": "image_url", "image_url": {"url": "u", "detail": None}}],
    [{"type": "image_url", "image_url": {"url": "u", "detail": "x"}}],
    [{"type": "image_url", "image_url": "u"}], [{"type": "file", "file": {}}], [{"type": "video"}],
    [{"type": "input_audio", "input_audio": {"data": "a", "format": "wav"}}],
    [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}], [{"text": "x"}],
    [{"type": ""}], [{"type": None}],
]  # fmt: skip
_CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
_MORE: list[dict[str, Any]] = [
    {}, {"name": "n"}, {"name": None}, {"name": 1}, {"tool_call_id": "c"}, {"tool_call_id": 1},
    {"tool_calls": []}, {"tool_calls": [_CALL]}, {"tool_calls": [{"type": "function"}]},
    {"tool_calls": [{"type": "custom"}]}, {"tool_calls": None}, {"refusal": "no"},
    {"function_call": {"name": "f", "arguments": "{}"}}, {"function_call": {"name": 1}},
    {"audio": {"id": "a"}}, {"audio": {"id": 1}}, {"annotations": [{}]}, {"annotations": [1]},
    {"reasoning_content": "hm"}, {"vendor": 1},
]  # fmt: skip


def is_taken(request: dict[str, Any]) -> bool:
    try:
        chat.parse(json.dumps(request).encode())
    except ApiError:
        return False
    return True


@pytest.mark.parametrize("name", chat.FIELDS)
def test_document_and_server_agree_on_every_value_of(name: str) -> None:
    # What the fields need of each other is said in words; it holds here.
    fixed: dict[str, Any] = {
        "model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True,
        "logprobs": True, "tools": [_TOOL], "functions": [_FUNCTION],
    }  # fmt: skip
    needs = {"stream_options": {"stream"}, "top_logprobs": {"logprobs"}, "tool_choice": {"tools"},
             "function_call": {"functions"}}.get(name, set())  # fmt: skip
    kept = {field: fixed[field] for field in {"model", "messages", *needs}}
    check = validator(form("ChatRequest"))
    for value in _ANY:
        request = {**kept, name: value}
        assert check.is_valid(request) == is_taken(request), value


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool", "function"])
def test_document_and_server_agree_on_every_message_of(role: str) -> None:
    check = validator(form("ChatRequest"))
    asking = {"role": "assistant", "tool_calls": [_CALL]}
    contents = [{}, *({"content": part} for part in _PARTS)]
    for content in contents:
        for more in _MORE:
            messages = [asking, {"role": role, **content, **more}]
            request = {"model": "m", "messages": messages}
            assert check.is_valid(request) == is_taken(request), messages[1]


# --- the document and a running server ----------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[serving.Standpipe]:
    home = tmp_path_factory.mktemp("docs")
    with misbehaving.running() as upstream:
        configuration = serving.provider(
            "openai", upstream.url, api_key='"upstream-key"', models='["gpt-4o-mini"]'
        )
        chosen = {"SERVER_LOCAL_TESTING": "true", "ADMIN_KEY": ADMIN_KEY}
        with serving.serving(home, configuration, **chosen) as running:
            yield running


def check_answer(answer: serving.Answer, operation: dict[str, Any]) -> None:
    """Hold an answer to what the document says of its status, content type and headers."""
    responses = operation["responses"]
    told = responses.get(str(answer.status), responses["default"])
    given = {name.lower(): value for name, value in answer.headers.items()}
    media = given["content-type"].partition(";")[0]
    check = validator(told["content"][media]["schema"])
    for value in read(answer, media):
        check.validate(value)
    http_own = {"content-type", "content-length", "connection", "transfer-encoding"}
    page_own = {*HEADERS} if media != "application/json" else set()
    assert given.keys() - http_own - page_own <= told["headers"].keys()
    assert "x-request-id" in given
    for name in given.keys() & told["headers"].keys():
        schema = ANSWER_HEADERS[name].schema
        validator(schema).validate(int(given[name]) if schema["type"] == "integer" else given[name])


def read(answer: serving.Answer, media: str) -> list[Any]:
    if media == "text/event-stream":
        events = answer.body.decode().strip().split("\n\n")
        assert events.pop() == "data: [DONE]"
        return [json.loads(event.removeprefix("data: ")) for event in events]
    return [json.loads(answer.body) if media == "application/json" else answer.body.decode()]


def examples(operation: dict[str, Any]) -> list[Any]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    for example in content.get("examples", {}).values():
        validator(content["schema"]).validate(example["value"])
    return [example["value"] for example in content.get("examples", {}).values()] or [None]


#: What makes something that later examples name.
_MAKING = ("createProject", "createCriterion")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_examples_of_the_document_are_answered_as_it_says(
    server: serving.Standpipe, prefix: str
) -> None:
    path = "/admin/projects/default/keys"
    key = serving.call(server, "POST", path, {}, key=ADMIN_KEY).json["id"]
    known = {"/models": "gpt-4o-mini", "/admin/keys": key}
    listed = sorted(operations(DOCUMENT["paths"]), key=lambda each: each[0] == "DELETE")
    for method, path, operation, item in listed:
        name = urllib.parse.quote(known.get(path.partition("/{id}")[0], ""))
        first = (item.get("servers") or DOCUMENT["servers"])[0]["url"]
        under = "" if first == "/" else prefix
        for body in examples(operation):
            target = under + path.replace("{id}", name)
            answer = serving.call(server, method, target, body, root=True, key=ADMIN_KEY)
            assert answer.status == 200, (method, target, answer.body)
            check_answer(answer, operation)
            if "store" in (body or ()) or operation.get("operationId") in _MAKING:
                known[path] = answer.json["id"]


_CHAT = DOCUMENT["paths"]["/chat/completions"]["post"]
_GOOD: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
_WRONG: dict[str, tuple[int, dict[str, Any]]] = {
    "no such key": (401, {"body": _GOOD, "key": "not-a-key-of-anybody"}),
    "bad field": (400, {"body": {**_GOOD, "n": 0, "top_p": 7}}),
    "no such model": (404, {"body": {**_GOOD, "model": "openpipe:nothing"}}),
    "not JSON by name": (415, {"body": _GOOD, "headers": {"Content-Type": "text/plain"}}),
    "too many headers": (431, {"body": _GOOD, "headers": {f"x-{i}": "1" for i in range(250)}}),
    "refused upstream": (429, {"body": {**_GOOD, "model": "openai:status:429"}}),
    "key refused upstream": (502, {"body": {**_GOOD, "model": "openai:status:401"}}),
    "no completion": (502, {"body": {**_GOOD, "model": "openai:not-json"}}),
    "overloaded upstream": (503, {"body": {**_GOOD, "model": "openai:status:503"}}),
}


@pytest.mark.parametrize("case", _WRONG)
def test_errors_are_answered_as_the_document_says(server: serving.Standpipe, case: str) -> None:
    status, sent = _WRONG[case]
    answer = serving.call(server, "POST", "/chat/completions", **sent)
    assert answer.status == status
    check_answer(answer, _CHAT)
    own = {error.code for error in error_classes() if error.status == status}
    assert answer.json["code"] in own | {CODES.get(status)}


# --- the page -----------------------------------------------------------------------------------


class Loads(HTMLParser):
    """Collects what a page would load, run or send, the anchors it has and those it names."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.active: list[str] = []
        self.ids: list[str] = []
        self.named: list[str] = []
        self.feed(page)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.active += [tag] if tag in {"script", "iframe", "form", "object", "embed"} else []
        self.active += [name for name in given if name.startswith("on") or name == "style"]
        self.ids += [given["id"]] if "id" in given else []
        target = given.get("href", "")
        if tag == "a" and target.startswith("#"):
            self.named.append(target[1:])
        elif tag != "a":
            self.loads += [given[name] for name in ("href", "src") if name in given]


def test_page_loads_nothing_and_runs_nothing(server: serving.Standpipe) -> None:
    for path in ("/docs", "/"):
        answer = serving.call(server, "GET", path, root=True, key="no key at all")
        page = answer.body.decode()
        found = Loads(page)
        assert answer.status == 200
        assert found.active == []
        assert all(target.startswith("data:") for target in found.loads)
        assert "url(" not in page
        assert "@import" not in page


def test_page_allows_no_style_but_its_own(server: serving.Standpipe) -> None:
    answer = serving.call(server, "GET", "/docs", root=True)
    policy = answer.headers["content-security-policy"]
    (style,) = re.findall(r"<style>(.*?)</style>", answer.body.decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{digest}';" in policy
    assert "unsafe" not in policy


def test_page_links_only_to_what_it_has_and_has_every_endpoint() -> None:
    page = render("http://localhost")
    found = Loads(page)
    assert set(found.named) - set(found.ids) == set()
    assert len(found.ids) == len(set(found.ids))
    assert {e.operation for e in (*ENDPOINTS, *ROOT_ENDPOINTS)} <= set(found.ids)


def test_page_shows_neither_keys_nor_models(server: serving.Standpipe) -> None:
    headers = {"User-Agent": "a-certain-client"}
    serving.call(server, "POST", "/chat/completions", _GOOD, headers=headers)
    page = serving.call(server, "GET", "/docs", root=True).body.decode()
    for word in (server.key, "upstream-key", "a-certain-client", str(server.home)):
        assert word not in page


@pytest.mark.parametrize("host", ["standpipe.example", "10.0.0.7:8787", "[::1]:8787"])
def test_page_shows_the_host_it_was_asked_at(server: serving.Standpipe, host: str) -> None:
    page = serving.call(server, "GET", "/docs", root=True, headers={"Host": host}).body.decode()
    assert f"curl http://{host}/v1/chat/completions" in page


@pytest.mark.parametrize("host", ["a&b;c", "$(id)", "a'b", "<b>", "a:80:90", "x" * 300, ";id"])
def test_page_never_shows_a_host_that_is_none(server: serving.Standpipe, host: str) -> None:
    answer = serving.call(server, "GET", "/docs", root=True, headers={"Host": host})
    assert f"//{host}" not in answer.body.decode()
    assert answer.status == 400 or "curl http://localhost/v1" in answer.body.decode()


def test_page_escapes_its_address() -> None:
    page = render("http://<script>&\"'")
    assert "<script>" not in page
    assert "http://&lt;script&gt;&amp;&quot;&#x27;" in page


# --- docs/api.md --------------------------------------------------------------------------------


def test_guide_names_every_endpoint_field_header_and_error() -> None:
    guide = GUIDE.read_text()
    wanted = [f"`{e.method} {e.path}`" for e in (*ENDPOINTS, *ROOT_ENDPOINTS)]
    wanted += [f"`{name}`" for name in (*chat.FIELDS, *ANSWER_HEADERS)]
    wanted += [f"`{name.decode()}`" for name in NAMES]
    wanted += [f"`{code}`" for code in CODES.values()]
    wanted += [f"| {e.status} | `{e.code}` | `{e.openai_type}` |" for e in error_classes()]
    assert [each for each in wanted if each not in guide] == []


def test_guide_links_to_what_is_there() -> None:
    guide = GUIDE.read_text()
    titles = {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", guide, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", guide)) - titles == set()
