"""The places we know by name: their rows, and each of their quirks."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest

from standpipe.providers import known, known_quirks
from standpipe.providers.known import KNOWN, Known
from standpipe.wire import chat
from standpipe.wire.features import FEATURES

Json = dict[str, Any]
HI = {"role": "user", "content": "Hi"}
every_row = pytest.mark.parametrize("row", KNOWN.values(), ids=KNOWN)


def request(**fields: Any) -> chat.ChatRequest:
    return chat.parse(json.dumps({"model": "asked", "messages": [HI], **fields}).encode())


def changed(name: str, **fields: Any) -> Json:
    return known.changes(KNOWN[name], request(**fields))


def said(name: str, message: Json) -> Json:
    messages: list[Json] = changed(name, messages=[message]).get("messages", [message])
    return messages[0]


@every_row
def test_row_says_where_it_is_and_what_says_so(row: Known) -> None:
    assert "https://" in row.source
    assert row.base_url or row.base_url_from
    assert row.base_url.startswith(("https://", "http://localhost:")) or not row.base_url
    # A place on this machine wants no key, Bedrock has several; any other has one.
    keyless = row.base_url.startswith("http://localhost:") or row.dialect == "bedrock"
    assert (row.key_from is None) is keyless


@every_row
def test_row_names_features_that_there_are(row: Known) -> None:
    assert set(row.fidelity) <= set(FEATURES)
    assert set(row.fidelity.values()) <= {"emulated", "refused"}


@every_row
def test_plain_request_is_left_as_it_is(row: Known) -> None:
    expected = {"provider": {"require_parameters": True}} if row.name == "openrouter" else {}
    assert known.changes(row, request(temperature=0.5, x_new=[1])) == expected


@every_row
@pytest.mark.parametrize("feature", FEATURES)
def test_quirks_change_no_request_in_place(row: Known, feature: str) -> None:
    call, again = request(**FEATURES[feature]), request(**FEATURES[feature])
    first = known.changes(row, call)
    assert known.changes(row, call) == first
    assert call == again


def test_every_quirk_is_somebodys() -> None:
    of_rows: set[Callable[..., Json]] = set()
    for row in KNOWN.values():
        of_rows |= {*row.request, *row.messages, *row.answers}
    public = {
        function
        for name, function in inspect.getmembers(known_quirks, inspect.isfunction)
        if not name.startswith("_") and function.__module__ == known_quirks.__name__
    }
    assert of_rows == public


def test_variables_of_the_environment_enable_rows() -> None:
    names = {"GROQ_API_KEY", "AZURE_OPENAI_API_KEY", "HOME"}
    assert [row.name for row in known.enabled(names)] == ["groq"]
    names.add("AZURE_OPENAI_ENDPOINT")
    assert [row.name for row in known.enabled(names)] == ["azure", "groq"]
    assert known.enabled(()) == ()


def test_azure_has_its_own_path_and_header() -> None:
    azure = KNOWN["azure"]
    dated = known.path(azure, "https://mine.openai.azure.com", "my/gpt 4")
    assert dated == "/openai/deployments/my%2Fgpt%204/chat/completions?api-version=2024-10-21"
    v1 = known.path(azure, "https://mine.openai.azure.com/openai/v1/", "my-gpt")
    assert v1 == "/chat/completions"
    assert known.key_headers(azure, "k") == ((b"api-key", b"k"),)
    assert known.key_headers(KNOWN["groq"], "k") == ((b"authorization", b"Bearer k"),)
    assert known.key_headers(KNOWN["vllm"], None) == ()
    assert known.path(KNOWN["groq"], "https://api.groq.com/openai/v1", "m") == "/chat/completions"


def test_mistral_has_other_names() -> None:
    fields = {"seed": 7, "user": "u", "stream": True}
    assert changed("mistral", **fields, stream_options={"include_usage": True}) == {
        "seed": None,
        "random_seed": 7,
        "user": None,
        "stream_options": None,
    }


def test_thoughts_go_to_mistral_in_the_content_and_come_back_out_of_it() -> None:
    chunk = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    content = [chunk, {"type": "text", "text": "Yes"}]
    message = {"role": "assistant", "content": "Yes", "reasoning_content": "Hm."}
    assert said("mistral", message) == {"role": "assistant", "content": content}
    theirs = {"role": "assistant", "content": content}
    body = {"id": "1", "choices": [{"index": 0, "message": theirs}]}
    assert known.answer(KNOWN["mistral"], body)["choices"][0]["message"] == message
    delta = {"choices": [{"index": 0, "delta": {"content": [chunk]}}]}
    read = known.answer(KNOWN["mistral"], delta)["choices"][0]["delta"]
    assert read == {"content": "", "reasoning_content": "Hm."}


@pytest.mark.parametrize("name", ["groq", "openrouter", "ollama"])
def test_thoughts_have_one_name_for_the_caller(name: str) -> None:
    message = {"role": "assistant", "content": "Yes", "reasoning_content": "Hm."}
    there = {"role": "assistant", "content": "Yes", "reasoning": "Hm."}
    assert said(name, message) == there
    for part in ("message", "delta"):
        body = {"choices": [{"index": 0, part: there}]}
        assert known.answer(KNOWN[name], body)["choices"][0][part] == message


@pytest.mark.parametrize(
    "body", [{"choices": None}, {"choices": [1, {"delta": 1}]}, {"choices": [{"delta": {}}]}, {}]
)
def test_odd_answers_pass(body: Json) -> None:
    assert all(known.answer(row, copy.deepcopy(body)) == body for row in KNOWN.values())


TOOLS = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]


def test_named_tool_is_the_only_one_at_llama_cpp() -> None:
    choice = {"type": "function", "function": {"name": "g"}}
    expected = {"tools": TOOLS[1:], "tool_choice": "required"}
    assert changed("llamacpp", tools=TOOLS, tool_choice=choice) == expected
    assert changed("llamacpp", tools=TOOLS, tool_choice="auto") == {}


def test_logprobs_are_asked_of_llama_cpp_with_an_alternative() -> None:
    assert changed("llamacpp", logprobs=True) == {"top_logprobs": 1}
    assert changed("llamacpp", logprobs=True, top_logprobs=3) == {}


def test_no_tools_are_offered_to_ollama_where_none_may_be_called() -> None:
    nothing = {"tools": None, "tool_choice": None}
    assert changed("ollama", tools=TOOLS, tool_choice="none") == nothing
    assert changed("ollama", tools=TOOLS, tool_choice="auto") == {"tool_choice": None}


def test_any_object_is_a_schema_at_lm_studio() -> None:
    wanted = changed("lmstudio", response_format={"type": "json_object"})["response_format"]
    assert wanted["json_schema"]["schema"] == {"type": "object"}
    assert changed("lmstudio", response_format={"type": "text"}) == {}


def test_functions_have_parameters_at_mistral() -> None:
    tools = changed("mistral", tools=TOOLS)["tools"]
    assert tools[0]["function"]["parameters"] == {"type": "object", "properties": {}}
    assert changed("mistral", tools=tools) == {}


def test_callers_own_choice_of_providers_stands() -> None:
    assert changed("openrouter", provider={"order": ["a"]}) == {}


def test_one_stop_sequence_is_a_list_at_together() -> None:
    assert changed("together", stop="END") == {"stop": ["END"]}
    assert changed("together", stop=["END"]) == {}


def test_sound_and_files_have_other_forms() -> None:
    sound = FEATURES["content:input_audio"]["messages"][0]
    data = sound["content"][0]["input_audio"]["data"]
    file = FEATURES["content:file"]["messages"][0]
    assert said("mistral", sound)["content"] == [{"type": "input_audio", "input_audio": data}]
    url = {"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{data}"}}
    assert said("sglang", sound)["content"] == [url]
    document = {"type": "document_url", "document_url": "data:application/pdf;base64,JVBERi0="}
    assert said("mistral", file)["content"] == [{**document, "document_name": "a.pdf"}]
    uploaded = {"role": "user", "content": [{"type": "file", "file": {"file_id": "f1"}}]}
    assert said("mistral", uploaded)["content"] == [{"type": "file", "file_id": "f1"}]
