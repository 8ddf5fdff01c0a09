import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.wire import sse

STREAM_BYTES = st.lists(
    st.sampled_from([b"data: {}", b"data:x", b"a", b":", b"\n", b"\r", b"\r\n", b"\n\n", b"\xc3"]),
    max_size=30,
).map(b"".join)


def split_whole(data: bytes) -> tuple[list[bytes], bytes]:
    splitter = sse.Splitter()
    return splitter.feed(data), splitter.rest


def split_at(data: bytes, cuts: list[int]) -> tuple[list[bytes], bytes]:
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    splitter = sse.Splitter()
    events: list[bytes] = []
    for start, end in itertools.pairwise(places):
        events += splitter.feed(data[start:end])
    return events, splitter.rest


@given(STREAM_BYTES, st.lists(st.integers(0, 80), max_size=12))
def test_any_split_gives_the_same_events(data: bytes, cuts: list[int]) -> None:
    assert split_at(data, cuts) == split_whole(data)


@given(STREAM_BYTES)
def test_nothing_is_added_or_lost(data: bytes) -> None:
    events, rest = split_whole(data)
    assert b"".join(events) + rest == data


@given(STREAM_BYTES)
def test_every_event_ends_in_a_blank_line_and_no_event_goes_on_after_one(data: bytes) -> None:
    for event in split_whole(data)[0]:
        ends = list(re.finditer(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)", event))
        assert ends[0].end() == len(event)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n"])
def test_all_line_ends_are_understood(end: bytes) -> None:
    first, second = b"data: 1" + end, b"data: 2" + end
    events, rest = split_whole(first + second + b"data: 3")
    assert (events, rest) == ([first, second], b"data: 3")
    assert [sse.data_of(event) for event in events] == [b"1", b"2"]


def test_carriage_return_at_the_end_of_a_chunk_waits() -> None:
    splitter = sse.Splitter()
    assert splitter.feed(b"data: 1\r\n\r") == []
    assert splitter.feed(b"\ndata: 2") == [b"data: 1\r\n\r\n"]
    assert splitter.rest == b"data: 2"


def test_event_without_an_end_is_refused_when_it_is_too_large() -> None:
    splitter = sse.Splitter()
    chunk = b"x" * (sse.MAX_EVENT_BYTES // 4)
    for _ in range(4):
        splitter.feed(chunk)
    with pytest.raises(ValueError, match="is over 16777216 bytes"):
        splitter.feed(b"x")


def test_events_that_end_are_not_counted_towards_the_limit() -> None:
    splitter = sse.Splitter()
    chunk = b"data: " + b"x" * (sse.MAX_EVENT_BYTES // 2) + b"\n\n"
    assert [splitter.feed(chunk) for _ in range(4)] == [[chunk]] * 4
    assert splitter.rest == b""


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: {}\n\n", b"{}"),
        (b"data:{}\n\n", b"{}"),
        (b"data:  two\n\n", b" two"),
        (b"data\n\n", b""),
        (b"data: \n\n", b""),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"data: a\r\ndata: b\r\n\r\n", b"a\nb"),
        (b"data: a\r\r", b"a"),
        (b"event: error\nid: 7\ndata: x\n\n", b"x"),
        (b": ping\ndata: x\n\n", b"x"),
        (b"\xef\xbb\xbfdata: x\n\n", b"x"),
        (b"\ndata: x\n\n", b"x"),
        (b"data: cut", b"cut"),
        (b": ping\n\n", None),
        (b"\n\n", None),
        (b"", None),
        (b"database: x\n\n", None),
        (b"event: ping\n\n", None),
    ],
)
def test_data_of_an_event(event: bytes, data: bytes | None) -> None:
    assert sse.data_of(event) == data


@pytest.mark.parametrize("data", [b"{}", b"[DONE]", b"", b"{\n}", b"a\r\nb", b"a\rb", b"\n"])
def test_event_carries_its_data_whole(data: bytes) -> None:
    events, rest = split_whole(sse.event(data))
    assert rest == b""
    found = [sse.data_of(event) for event in events]
    assert found == [data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")]


def test_event_is_written_as_openai_writes_it() -> None:
    assert sse.event(sse.DONE) == b"data: [DONE]\n\n"
