import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.errors import BadRequest
from standpipe.wire import tags


def test_values_become_strings_and_empty_ones_are_dropped() -> None:
    header = b'{"a":1,"b":true,"c":false,"d":1.5,"e":2.0,"f":"x","g":null,"h":"","i":0}'
    assert tags.parse_tags(header) == {
        "a": "1",
        "b": "true",
        "c": "false",
        "d": "1.5",
        "e": "2",
        "f": "x",
        "i": "0",
    }


def test_names_are_made_safe() -> None:
    assert tags.parse_tags(b'{"$sdk.version":"1","my tag-name":"2"}') == {
        "$sdk.version": "1",
        "my_tag_name": "2",
    }


@pytest.mark.parametrize(
    "header",
    [
        b'{"name":"Zo\\u00eb"}',
        '{"name":"Zoë"}'.encode(),
        '{"name":"Zoë"}'.encode("latin-1"),
    ],
)
def test_names_outside_ascii_arrive_however_the_client_sends_them(header: bytes) -> None:
    assert tags.parse_tags(header) == {"name": "Zoë"}


@pytest.mark.parametrize("header", [b"", b"  ", b"null", b"{}"])
def test_no_tags(header: bytes) -> None:
    assert tags.parse_tags(header) == {}


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b"not json",
        b"[]",
        b'"x"',
        b"1",
        b'{"a":[]}',
        b'{"a":{}}',
        b'{"a":1e999}',
        b'{"a":"\\ud800"}',
        b'{"a":"x\\u0000"}',
        b"[" * 5000 + b"]" * 5000,
        b"\xff\xfe",
    ],
)
def test_malformed_header_is_refused(header: bytes) -> None:
    with pytest.raises(BadRequest, match=r"^Failed to parse tags: "):
        tags.parse_tags(header)


def test_report_errors_are_literal() -> None:
    with pytest.raises(BadRequest, match=r"^Tag a must be a string, number, boolean, or null$"):
        tags.clean({"a": []})
    with pytest.raises(BadRequest, match=r"^Tags must be an object$"):
        tags.clean(["a"])
    assert tags.clean(None) == {}


@given(
    st.binary(max_size=60)
    | st.text(max_size=30).map(lambda text: text.encode("latin-1", "replace"))
)
def test_header_is_tags_or_a_bad_request(header: bytes) -> None:
    try:
        found = tags.parse_tags(header)
    except BadRequest:
        return
    assert all(value for value in found.values())


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9_$.]+", fullmatch=True),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1),
    )
)
def test_strings_under_safe_names_pass_unchanged(given_tags: dict[str, str]) -> None:
    assert tags.parse_tags(msgspec.json.encode(given_tags)) == given_tags
