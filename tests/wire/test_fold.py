import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.wire import fold, sse

Json = dict[str, Any]
NAMES = [
    "choices",
    "delta",
    "tool_calls",
    "function",
    "name",
    "index",
    "id",
    "content",
    "error",
    "usage",
    "logprobs",
    "message",
    "finish_reason",
    "arguments",
    "x",
]
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def chunk(delta: Json, *, index: int = 0, finish: str | None = None, **more: Any) -> Json:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    return {**head, "choices": [choice], **more}


def call(index: int | None = None, **fields: Any) -> Json:
    """Return a delta with one piece of a tool call."""
    placed = {} if index is None else {"index": index}
    return {"tool_calls": [{**placed, **fields}]}


def folded(*chunks: Json) -> Json:
    accumulator = fold.Fold()
    for part in chunks:
        accumulator.add(part)
    return accumulator.completion()


def message(*deltas: Json) -> Json:
    found: Json = folded(*(chunk(delta) for delta in deltas))["choices"][0]["message"]
    return found


def raw(*chunks: Json, end: bytes = sse.event(sse.DONE)) -> bytes:
    return b"".join(sse.event(msgspec.json.encode(part)) for part in chunks) + end


def test_stream_folds_to_the_whole_answer() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert folded(
        chunk({"role": "assistant", "content": "", "refusal": None}, system_fingerprint="fp"),
        chunk({"content": "Hel"}, usage=None),
        chunk({"content": "lo"}, service_tier="default"),
        chunk({}, finish="stop"),
        {"id": "chatcmpl-1", "choices": [], "usage": usage},
    ) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "system_fingerprint": "fp",
        "service_tier": "default",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": usage,
    }


def test_role_repeated_in_every_chunk_is_not_joined() -> None:
    pieces = [{"role": "assistant", "content": text} for text in "abc"]
    assert message(*pieces) == {"role": "assistant", "content": "abc"}


def test_interleaved_tool_calls_are_kept_apart() -> None:
    found = message(
        call(0, id="a", type="function", function={"name": "f", "arguments": ""}),
        call(1, id="b", type="function", function={"name": "g", "arguments": ""}),
        call(0, function={"arguments": '{"x"'}),
        call(1, function={"arguments": "{}"}),
        call(0, function={"arguments": ":1}"}),
    )
    assert found["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert found["content"] is None


def test_parallel_calls_in_one_delta_are_all_kept_in_order_of_their_index() -> None:
    pieces = [
        {"index": index, "id": f"c{index}", "function": {"name": "f", "arguments": "{}"}}
        for index in (2, 0, 1)
    ]
    found = message({"tool_calls": pieces})
    assert [entry["id"] for entry in found["tool_calls"]] == ["c0", "c1", "c2"]


def test_calls_that_all_have_index_0_are_told_apart_by_id_and_name() -> None:
    found = message(
        call(0, id="a", function={"name": "f", "arguments": "{"}),
        call(0, function={"arguments": "}"}),
        call(0, id="b", function={"name": "f", "arguments": "[]"}),
    )
    arguments = [entry["function"]["arguments"] for entry in found["tool_calls"]]
    assert arguments == ["{}", "[]"]


def test_id_that_changes_with_every_piece_does_not_split_a_call() -> None:
    found = message(
        call(0, id="a", function={"name": "f", "arguments": "{"}),
        call(0, id="b", function={"arguments": "}"}),
    )
    assert found["tool_calls"] == [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]


def test_calls_without_an_index_go_by_id_else_to_the_last() -> None:
    found = message(
        call(id="a", function={"name": "f", "arguments": "1"}),
        call(id="b", function={"name": "g", "arguments": "2"}),
        call(function={"arguments": "3"}),
        call(id="a", function={"arguments": "4"}),
        call(function={"name": "h", "arguments": "5"}),
    )
    arguments = [entry["function"]["arguments"] for entry in found["tool_calls"]]
    assert arguments == ["14", "23", "5"]


@pytest.mark.parametrize("names", [["get_weather"] * 2, ["get_", "weather"], ["get_weather", ""]])
def test_name_repeated_or_in_pieces_is_the_name(names: list[str]) -> None:
    pieces = [call(0, id="a", function={"name": name}) for name in names]
    assert message(*pieces)["tool_calls"][0]["function"] == {"name": "get_weather"}


def test_legacy_function_call_in_pieces_is_joined() -> None:
    found = message(
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{"}},
        {"function_call": {"arguments": "}"}},
    )
    assert found["function_call"] == {"name": "f", "arguments": "{}"}


def test_reasoning_refusal_and_audio_are_joined() -> None:
    found = message(
        {"reasoning_content": "a", "refusal": "x", "audio": {"id": "au", "transcript": "1"}},
        {"reasoning_content": "b", "refusal": "y", "audio": {"id": "au", "transcript": "2"}},
        {"audio": {"expires_at": 5, "data": "QUJD"}},
        {"audio": {"data": "REVG"}},
    )
    assert (found["reasoning_content"], found["refusal"]) == ("ab", "xy")
    assert found["audio"] == {"id": "au", "transcript": "12", "expires_at": 5, "data": "QUJDREVG"}


def test_parts_with_an_index_grow_and_others_are_listed() -> None:
    found = message(
        {"reasoning_details": [{"index": 0, "type": "reasoning.text", "text": "a"}]},
        {"reasoning_details": [{"index": 0, "type": "reasoning.text", "text": "b"}]},
        {"annotations": [{"type": "url_citation"}]},
        {"annotations": [{"type": "url_citation"}]},
    )
    assert found["reasoning_details"] == [{"index": 0, "type": "reasoning.text", "text": "ab"}]
    assert len(found["annotations"]) == 2


def test_logprobs_are_extended() -> None:
    def token(text: str) -> Json:
        entry = {"token": text, "logprob": -0.5, "bytes": None, "top_logprobs": []}
        choice = {"index": 0, "delta": {}, "logprobs": {"content": [entry], "refusal": None}}
        return {"choices": [choice]}

    found = folded(token("a"), {"choices": [{"index": 0, "logprobs": None}]}, token("b"))
    logprobs = found["choices"][0]["logprobs"]
    assert [entry["token"] for entry in logprobs["content"]] == ["a", "b"]
    assert logprobs["refusal"] is None


def test_content_filters_and_extensions_of_a_choice_are_replaced_not_joined() -> None:
    def filtered(name: str) -> Json:
        results = {name: {"filtered": False, "severity": "safe"}}
        return {"choices": [{"index": 0, "delta": {}, "content_filter_results": results}]}

    found = folded(filtered("hate"), filtered("hate"), filtered("violence"))
    safe = {"filtered": False, "severity": "safe"}
    assert found["choices"][0]["content_filter_results"] == {"hate": safe, "violence": safe}


def test_azure_head_without_id_or_model_is_not_the_answers() -> None:
    head = {"id": "", "model": "", "created": 0, "choices": [], "prompt_filter_results": [1]}
    found = folded(head, chunk({"content": "x"}))
    assert (found["id"], found["model"], found["created"]) == ("chatcmpl-1", "m", 7)
    assert found["prompt_filter_results"] == [1]


def test_whole_message_beside_each_delta_is_not_counted_twice() -> None:
    def both(delta: str, whole: str) -> Json:
        return {"choices": [{"delta": {"content": delta}, "message": {"content": whole}}]}

    found = folded(both("a", "a"), both("b", "ab"))
    assert found["choices"][0]["message"]["content"] == "ab"


def test_choices_come_in_order_of_their_index_each_with_its_end() -> None:
    accumulator = fold.Fold()
    assert not accumulator.finished
    accumulator.add(chunk({"content": "b"}, index=1, finish="stop"))
    assert accumulator.finished
    accumulator.add(chunk({"content": "a"}, index=0))
    assert not accumulator.finished
    accumulator.add(chunk({}, index=0, finish="length"))
    assert accumulator.finished
    choices = accumulator.completion()["choices"]
    ends = [(choice["index"], choice["finish_reason"]) for choice in choices]
    assert ends == [(0, "length"), (1, "stop")]


def test_chunks_are_not_changed_and_completions_are_not_tied_to_the_fold() -> None:
    first = chunk({"audio": {"id": "a", "data": "A"}, "annotations": [{"n": 1}]})
    before = msgspec.json.encode(first)
    accumulator = fold.Fold()
    accumulator.add(first)
    early = accumulator.completion()
    kept = msgspec.json.encode(early)
    accumulator.add(first)
    assert msgspec.json.encode(first) == before
    assert msgspec.json.encode(early) == kept


def test_padding_is_left_out() -> None:
    assert "obfuscation" not in folded(chunk({"content": "a"}, obfuscation="xyz"))


@given(st.lists(JUNK.filter(lambda value: isinstance(value, dict)), max_size=6))
def test_junk_is_folded_without_an_error(chunks: list[Json]) -> None:
    found = folded(*chunks)
    msgspec.json.encode(found)
    fold.fold_stream(raw(*chunks))


@given(st.binary(max_size=200))
def test_junk_bytes_are_folded_without_an_error(events: bytes) -> None:
    fold.fold_stream(events)


def test_nesting_is_bounded() -> None:
    deep: Json = {}
    for _ in range(900):
        deep = {"x": deep}
    found = folded(chunk(deep), chunk(deep), chunk({}, extension=deep))
    msgspec.json.encode(found)


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=8),
    st.lists(st.text("{}[]:, é", max_size=4), max_size=8),
    st.lists(st.integers(0, 2000), max_size=20),
)
def test_fold_equals_whole_for_any_split_of_text_and_bytes(
    texts: list[str], arguments: list[str], cuts: list[int]
) -> None:
    stream = raw(
        chunk({"role": "assistant", "content": None}),
        *(chunk({"content": text}) for text in texts),
        chunk(call(0, id="a", type="function", function={"name": "f", "arguments": ""})),
        *(chunk(call(0, function={"arguments": text})) for text in arguments),
        chunk({}, finish="tool_calls"),
    )
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    splitter = sse.Splitter()
    accumulator = fold.Fold()
    for start, end in itertools.pairwise(places):
        for event in splitter.feed(stream[start:end]):
            data = sse.data_of(event)
            if data is not None and data != sse.DONE:
                accumulator.add(msgspec.json.decode(data))
    whole = accumulator.completion()
    assert whole["choices"][0]["message"] == {
        "role": "assistant",
        "content": "".join(texts) if texts else None,
        "tool_calls": [
            {
                "id": "a",
                "type": "function",
                "function": {"name": "f", "arguments": "".join(arguments)},
            }
        ],
    }
    assert fold.fold_stream(stream).completion == whole


def one_by_one(*chunks: Json) -> Json:
    """Return what the chunks add up to if each of them is parsed."""
    return folded(*(msgspec.json.decode(msgspec.json.encode(part)) for part in chunks))


@pytest.mark.parametrize(
    "chunks",
    [
        [
            chunk({"content": text})
            for text in ("a", "", '"', "\\", "é\n", "}]", '{"content":""}', "b")
        ],
        [chunk({"role": "assistant", "content": "a", "refusal": None})] * 5,
        [chunk({"reasoning_content": text}) for text in "thought"],
        [chunk({"content": "a"}, obfuscation=text) for text in ("", "x", "yz", "0")],
        [chunk({"content": "a", "reasoning": "b"})] * 4,
        [chunk({"name": text}) for text in ("get", "get", "_it")],
        [chunk({"content": [{"type": "text", "text": "a"}]}), *[chunk({"content": "b"})] * 3],
        [chunk({"content": "a"}, index=n % 2) for n in range(6)],
        [chunk({"content": "a"}, created=n // 3) for n in range(9)],
        [chunk({"content": "a"}, usage={"prompt_tokens": n // 2}) for n in range(6)],
        [chunk({"content": "a"}, content="top")] * 3,
        [chunk({"content": "a"}, error={"message": "m"})] * 3,
        [{"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [{}]}}]}] * 3,
        [{"choices": [{"message": {"content": "a"}}]}] * 3,
        [{"choices": [{"delta": {"content": "a"}}, {"delta": {"content": "b"}}]}] * 3,
        [
            chunk(call(0, id="a", function={"name": "f", "arguments": ""})),
            *[chunk(call(0, function={"arguments": text})) for text in ("{", '"', "x", "}")],
            chunk(call(1, id="b", function={"name": "g", "arguments": ""})),
            *[chunk(call(1, function={"arguments": text})) for text in "{}  "],
            *[chunk(call(0, function={"arguments": text})) for text in "  "],
            *[chunk(call(id="b", function={"arguments": text})) for text in "  "],
            *[chunk(call(0, id="c", function={"name": "h", "arguments": "x"}))] * 3,
            *[chunk(call(0, extra="z", function={"arguments": "x"}))] * 3,
        ],
    ],
)
def test_chunks_that_are_alike_fold_as_others_do(chunks: list[Json]) -> None:
    assert fold.fold_stream(raw(*chunks)).completion == one_by_one(*chunks)


@given(st.lists(JUNK.filter(lambda value: isinstance(value, dict)), max_size=3), st.integers(1, 4))
def test_junk_again_and_again_folds_as_one_by_one(chunks: list[Json], times: int) -> None:
    found = fold.fold_stream(raw(*[each for each in chunks for _ in range(times)])).completion
    again = [each for each in chunks for _ in range(times)]
    assert found is None or found == one_by_one(*again)


def test_chunk_that_is_no_json_is_passed_over_among_others_that_are_alike() -> None:
    events = [sse.event(msgspec.json.encode(chunk({"content": text}))) for text in "abcd"]
    events[2] = events[2].replace(b'"c"', b'"\xff"')
    found = fold.fold_stream(b"".join(events)).completion
    assert found is not None
    assert found["choices"][0]["message"]["content"] == "abd"


def test_stream_is_done_and_finished() -> None:
    found = fold.fold_stream(raw(chunk({"content": "a"}, finish="stop")))
    assert (found.done, found.finished, found.error) == (True, True, None)


def test_stream_without_a_blank_line_at_its_end_is_read_to_the_end() -> None:
    found = fold.fold_stream(raw(chunk({"content": "a"}, finish="stop"), end=b"data: [DONE]"))
    assert found.done


def test_cut_stream_is_not_finished() -> None:
    stream = raw(chunk({"content": "a"}), chunk({"content": "b"}), end=b"")
    found = fold.fold_stream(stream[:-20])
    assert found.completion is not None
    assert found.completion["choices"][0]["message"]["content"] == "a"
    assert (found.done, found.finished) == (False, False)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"error": {"message": "boom", "code": 500}}, "boom"),
        ({"error": "boom"}, "boom"),
        ({"object": "error", "message": "boom", "code": 400}, "boom"),
        ({"detail": "boom"}, "boom"),
        (chunk({}, finish="error", error={"message": "boom"}), "boom"),
    ],
)
def test_error_event_is_kept(event: Json, text: str) -> None:
    found = fold.fold_stream(raw(chunk({"content": "a"}), event, end=b""))
    assert found.error is not None
    assert found.error["message"] == text
    assert found.completion is not None
    assert "error" not in found.completion


@pytest.mark.parametrize(
    "events", [b"", b": ping\n\n", b"data: {\n\n", b"data: []\n\n", b"data: \xff\n\n", b"{}"]
)
def test_stream_without_a_choice_has_no_completion(events: bytes) -> None:
    assert fold.fold_stream(events) == fold.Folded(None, None, False, False, None)


def test_long_answer_in_small_pieces_is_whole() -> None:
    accumulator = fold.Fold()
    for _ in range(200_000):
        accumulator.add({"choices": [{"index": 0, "delta": {"content": "four"}}]})
    content = accumulator.completion()["choices"][0]["message"]["content"]
    assert len(content) == 800_000
