"""The edits of answers: what they make of a stream, in whatever pieces, is what they make whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from doubles import chunks, completion
from hypothesis import example, given
from hypothesis import strategies as st

from standpipe.calls.emulation import replay
from standpipe.calls.emulation.edits import Edit, Editor
from standpipe.calls.emulation.first_call import FirstCall
from standpipe.calls.emulation.functions import AsFunctionCall
from standpipe.calls.emulation.stops import Cutter
from standpipe.wire.fold import Fold

Json = dict[str, Any]

#: Sequences that begin and end alike, so that they overlap in every way.
STOPS = ("aba", "abba", "bb", "c")

pieces = st.lists(st.text("abc ", max_size=4), max_size=12)
functions = st.fixed_dictionaries({"name": st.sampled_from("fg"), "arguments": st.text("{}1")})
calls = st.lists(functions, max_size=3).map(
    lambda found: [
        {"id": f"call_{i}", "type": "function", "function": function}
        for i, function in enumerate(found)
    ]
)


def folded(stream: list[Json], *makers: Callable[[], Edit]) -> Json:
    """Return the choice that a stream's edited chunks add up to."""
    editor = Editor(makers, choices=1)
    fold = Fold()
    for chunk in stream:
        for out in editor.chunk(chunk):
            fold.add(out)
        if editor.ended:
            break
    for out in editor.close():
        fold.add(out)
    choice: Json = fold.completion()["choices"][0]
    return choice


def whole(answer: Json, *makers: Callable[[], Edit]) -> Json:
    choice: Json = Editor(makers, choices=1).whole(answer)["choices"][0]
    return choice


def streamed(parts: list[str]) -> list[Json]:
    deltas: list[tuple[Json, str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": part}, None) for part in parts]
    deltas.append(({}, "length"))
    return [
        {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        for delta, finish in deltas
    ]


@given(pieces)
@example(["ab", "b", "a"])  # "bb" is complete before "abba" is
def test_a_stream_is_cut_where_the_whole_answer_is(parts: list[str]) -> None:
    def cutter() -> Cutter:
        return Cutter(STOPS)

    text = "".join(parts)
    said = folded(streamed(parts), cutter)
    told = whole(completion(text, finish="length"), cutter)
    assert said["message"]["content"] == told["message"]["content"]
    assert said["finish_reason"] == told["finish_reason"]
    assert not any(stop in said["message"]["content"] for stop in STOPS)


@given(calls, st.sampled_from([FirstCall, AsFunctionCall]))
def test_streamed_calls_are_told_as_whole_ones(found: list[Json], make: Any) -> None:
    answer = completion({"content": None, "tool_calls": found}, finish="tool_calls")
    said = folded(list(chunks(answer, {})), make)["message"]
    told = whole(answer, make)["message"]
    for name in ("tool_calls", "function_call"):
        assert (said.get(name) or None) == (told.get(name) or None)


def test_calls_that_all_have_the_index_0_are_told_apart() -> None:
    def head(name: str) -> Json:
        function = {"name": name, "arguments": "{}"}
        return {"index": 0, "id": f"call_{name}", "type": "function", "function": function}

    stream = [
        {"choices": [{"index": 0, "delta": {"tool_calls": [head(name)]}, "finish_reason": finish}]}
        for name, finish in (("f", None), ("g", "tool_calls"))
    ]
    said = folded(stream, FirstCall)
    assert [call["function"]["name"] for call in said["message"]["tool_calls"]] == ["f"]
    assert said["finish_reason"] == "tool_calls"


def test_logprobs_are_cut_with_their_text() -> None:
    tokens = [{"token": text, "logprob": -1.0} for text in ("Hel", "lo ", "ab", "a")]
    answer = completion("Hello aba")
    answer["choices"][0]["logprobs"] = {"content": tokens}
    told = whole(answer, lambda: Cutter(STOPS))
    assert told["message"]["content"] == "Hello "
    assert told["logprobs"]["content"] == tokens[:2]


@given(
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": st.text(max_size=9)},
        optional={
            "tool_calls": calls.filter(bool),
            "function_call": functions,
            "reasoning_content": st.text(min_size=1),
            "annotations": st.lists(st.just({"type": "url_citation"}), min_size=1),
        },
    ),
    st.sampled_from(["stop", "tool_calls", "content_filter"]),
)
def test_a_replayed_answer_folds_to_itself(message: Json, finish: str) -> None:
    answer = completion(message, finish=finish)
    answer["choices"][0]["content_filter_results"] = {"hate": {"filtered": False}}
    del answer["usage"]
    fold = Fold()
    for chunk in replay.chunks(answer):
        fold.add(chunk)
    assert fold.completion() == answer
