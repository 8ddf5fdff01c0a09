"""Texts taken apart and put together: nothing of them may change, whatever they are."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from standpipe.store.content import LEAST, MOST, SHORT, Packed, Packer, Unpacker
from standpipe.store.dictionary import DICTIONARY

LONG = "x" * SHORT


def packed(text: str, project: str = "ours") -> Packed:
    return Packer().pack(project, text, None)


def back(kept: Packed) -> str:
    assert kept.request_body is not None
    return Unpacker().text(kept.request_body, [link.text for link in kept.links])


def message(text: str, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": text}


ODD = {
    "empty object": "{}",
    "no object": '["messages"]',
    "string": '"no JSON at all"',
    "null": "null",
    "number": "1e400",
    "not JSON": '{"messages": [',
    "nothing": "",
    "empty list": '{"messages":[]}',
    "empty list with room": '{"messages": [ \n ] }',
    "list of nothing much": '{"messages":[{}]}',
    "list of others": f'{{"messages":[1,"{LONG}",null]}}',
    "no list": f'{{"messages":"{LONG}","tools":{{}}}}',
    "spaces": f' {{ "messages" : [ {{"a":"{LONG}"}} , {{"b":"{LONG}"}} , {{"c":1}} ] }} \n',
    "uneven spaces": f'{{"messages":[{{"a":"{LONG}"}},{{"b":1}} ,{{"c":1}}]}}',
    "key twice": f'{{"messages":[{{"a":1}}],"messages":[{{"a":1}},{{"b":"{LONG}"}}]}}',
    "same list twice": f'{{"input":[{{"a":"{LONG}"}}],"messages":[{{"a":"{LONG}"}}]}}',
    "tools in messages": f'{{"messages":[{{"a":[{{"b":1}}],"c":"{LONG}"}}],"tools":[{{"b":1}}]}}',
    "tools before": f'{{"tools":[{{"b":1}}],"messages":[{{"c":"{LONG}"}}]}}',
    "tools and functions": f'{{"functions":[{{"d":1}}],"tools":[{{"b":"{LONG}"}}]}}',
    "nested": f'{{"x":{{"messages":[{{"a":"{LONG}"}}]}},"messages":[{{"a":"{LONG}"}}]}}',
    "escapes": f'{{"messages":[{{"a":"\\u00e9\\/\\ud83d\\ude00{LONG}"}}],"m\\u0065ssages":1}}',
    "escaped name": f'{{"m\\u0065ssages":[{{"a":"{LONG}"}}]}}',
    "unicode": f'{{"messages":[{{"a":"Ä😀\u2028{LONG}"}},{{"b":"😀"}}]}}',
    "numbers": f'{{"messages":[{{"a":1.0,"b":1e2,"c":-0,"d":12345678901234567890{"0" * SHORT}}}]}}',
    "deep": "[" * 5000 + "]" * 5000,
    "deep message": '{"messages":[' + '{"a":' * 500 + "1" + "}" * 500 + "]}",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_text_comes_back_byte_for_byte(text: str) -> None:
    assert back(packed(text)) == text


_value: st.SearchStrategy[Any] = (
    st.none() | st.floats() | st.text(max_size=4) | st.just([{"b": 1}]) | st.just({})
)
_long = st.sampled_from([message(LONG), message(f'Ä"{LONG}', "assistant")])
_message = st.fixed_dictionaries({}, optional={"role": _value, "content": _value, "x": _value})
_list = st.lists(_message | _long | _value, max_size=4)
_names = ("messages", "input", "tools", "functions", "model")
_requests = st.fixed_dictionaries({}, optional=dict.fromkeys(_names, _list | _value))


@given(
    request=_requests,
    separators=st.tuples(st.sampled_from([",", ", ", " ,\n"]), st.sampled_from([":", ": "])),
    indent=st.sampled_from([None, None, 1, 4]),
    ascii_only=st.booleans(),
)
def test_any_request_comes_back_byte_for_byte(
    request: dict[str, Any],
    separators: tuple[str, str],
    indent: int | None,
    ascii_only: bool,
) -> None:
    text = json.dumps(request, separators=separators, indent=indent, ensure_ascii=ascii_only)
    text = text.encode(errors="replace").decode()
    assert back(packed(text)) == text


@given(st.text())
def test_any_text_comes_back_byte_for_byte(text: str) -> None:
    text = text.encode(errors="replace").decode()
    assert back(packed(text)) == text


def test_text_of_megabytes_comes_back() -> None:
    texts = [message(f"{n} Ä" * n) for n in range(1500)]
    text = json.dumps({"model": "m", "messages": texts, "tools": texts[:3]}, ensure_ascii=False)
    kept = packed(text)
    assert back(kept) == text
    assert len(kept.links) == 1501
    assert kept.size < 200


def test_conversation_shares_what_went_before() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    turns = [message("Be brief.", "system"), message("Hi"), message("Hello", "assistant")]
    request = {"model": "m", "tools": tools, "messages": turns}
    first = packed(json.dumps({**request, "messages": [*turns, message("One")]}))
    more = [*turns, message("One"), message("Two", "assistant"), message("Three")]
    second = packed(json.dumps({"temperature": 1, **request, "messages": more}))
    assert first.links == second.links[:4]
    assert [link.text for link in second.links[4:]] == [
        json.dumps(each).encode() for each in more[3:5]
    ]
    assert [link.parent for link in second.links] == [
        None,
        *(link.hash for link in second.links[:-1]),
    ]


def test_list_is_another_with_other_tools_or_in_another_project() -> None:
    text = json.dumps({"messages": [message(LONG)]})
    tools = json.dumps({"messages": [message(LONG)], "tools": [{"type": "function"}]})
    one, other, theirs = packed(text), packed(tools), packed(text, project="theirs")
    assert one.links[0].content == other.links[1].content
    assert len({one.head, other.head, theirs.head}) == 3
    assert one.links[0].content != theirs.links[0].content


def test_short_last_message_stays_with_its_record() -> None:
    short, long = message("x"), message(LONG)
    assert packed(json.dumps({"messages": [short]})).links == ()
    assert len(packed(json.dumps({"messages": [short, short]})).links) == 1
    assert len(packed(json.dumps({"messages": [short, long]})).links) == 2
    assert len(packed(json.dumps({"input": [long, short]})).links) == 1


@pytest.mark.parametrize(
    "texts", [["{}"] * 100, [json.dumps(message("12345678"))] * (MOST + 1)], ids=["small", "many"]
)
def test_lists_that_are_no_conversation_stay_whole(texts: list[str]) -> None:
    text = f'{{"messages":[{",".join(texts)}]}}'
    assert len("{},") < LEAST
    kept = packed(text)
    assert kept.links == ()
    assert back(kept) == text


def test_what_is_kept_can_be_read_by_every_later_version() -> None:
    digest = hashlib.sha256(DICTIONARY.as_bytes()).hexdigest()
    assert digest == "e63c70fff78fef76efd60af32363956e2f779a1fb380c598caa47ed7b8d9088d", (
        "texts are kept in terms of it: it may not change"
    )
    text = '{"choices":[]}'
    for level in (-1, 1):
        plain = zstandard.ZstdCompressor(level).compress(text.encode())
        assert Unpacker().text(b"\x00" + plain) == text


def test_texts_are_small_where_they_are_what_all_texts_are() -> None:
    answer = (
        '{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":'
        '0,"message":{"role":"assistant","content":"Hi","refusal":null},"finish_reason":"stop"}]}'
    )
    body = Packer().pack("ours", None, answer).response_body
    assert body is not None
    assert len(body) < len(answer) / 2
