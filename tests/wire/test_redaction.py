from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.config import Redaction as Chosen
from standpipe.wire.redaction import KNOWN, Redaction

ALL = Redaction(tuple(KNOWN))
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEow/+==\n"
    "-----END RSA PRIVATE KEY-----"
)

FOUND = {
    "email": (
        "bob@example.com", "a.b+c%d@mail.example.co.uk", "jörg@müller.de", "o'neil@example.org",
    ),
    "phone": (
        "+1 555 123 4567", "+49 (0)30 1234567", "+442071838750", "(555) 123-4567",
        "555-123-4567", "1-555-123-4567", "555.123.4567",
    ),
    "card": (
        "4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "3782 822463 10005",
        "6011000990139424",
    ),
    "iban": (
        "DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB82 WEST 1234 5698 7654 32",
        "NO93 8601 1117 947", "FR14 2004 1010 0505 0001 3M02 606",
    ),
    "secret": (
        "sk-abcdefghijklmnop1234", "sk-ant-api03-Zm9vYmFy_Zm9vYmFyZm9v", "sk-proj-" + "aB3-" * 12,
        "sp_0123456789_" + "x" * 43, "AIza" + "Sy0-_" * 7, "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "a1" * 18, "github_pat_" + "a1_" * 10, "glpat-" + "a1" * 10,
        "xoxb-123456789012-abcdef", "gsk_" + "a1" * 12, "hf_" + "a1" * 12, "xai-" + "a1" * 12,
        JWT, PEM, "Bearer dG9rZW5fdG9rZW5fdG9rZW4=", "bearer abcdefghijklmnop.qrst",
    ),
}  # fmt: skip

LEFT = (
    "gpt-4o-2024-08-06", "claude-3-5-sonnet@20240620", "2024-08-06T12:00:00+01:00",
    "550e8400-e29b-41d4-a716-446655440000", "0190d9a4-7c1e-7bbb-8d2e-4111111111111", "@decorator",
    "1700000000123456", "1700000000123456789", "0.4111111111111111", "x4111111111111111",
    "4111111111111112", "DE88370400440532013000", "sk-learn", "call_abc123", "chatcmpl-9XyZ",
    "https://example.com:8080/a@b", "A bearer of news", "127.0.0.1", "555-1234", "12-34", "+12",
    "SELECT 1", "eyJ", "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
)  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, texts in FOUND.items() for t in texts])
def test_what_is_found_leaves_its_name(name: str, text: str) -> None:
    for around in (
        "{}",
        "it is {}, they said",
        '("{}")',
        "x: {}.",
        "\n{}\n",
        "{} Thanks",
        "\\n{}\\n",
    ):
        assert ALL.text(around.format(text)) == around.format(f"[{name}]")
        assert Redaction((name,)).text(around.format(text)) == around.format(f"[{name}]")


@pytest.mark.parametrize("text", LEFT)
def test_what_only_looks_alike_is_left(text: str) -> None:
    assert ALL.text(text) == text
    assert ALL.text(f"it is {text}, they said") == f"it is {text}, they said"


def test_password_in_a_url_is_a_secret() -> None:
    url = "postgresql://me:{}@db.example.com/x"
    assert ALL.text(url.format("pa55")) == "postgresql://[secret]@db.example.com/x"


def test_number_is_found_among_others() -> None:
    assert ALL.text("12 4111 1111 1111 1111 99") == "12 [card] 99"
    assert ALL.text("2024 4111 1111 1111 1111") == "2024 [card]"
    assert ALL.text("DE89 3704 0044 0532 0130 00 BIC COBA DEFF") == "[iban] BIC COBA DEFF"
    assert ALL.text("BE68 5390 0754 7034 KBCB EBBB") == "[iban] KBCB EBBB"


def test_only_what_is_chosen_is_taken_out() -> None:
    assert Redaction(("email",)).text("bob@example.com +442071838750") == "[email] +442071838750"


def test_the_settings_choose_among_what_there_is() -> None:
    assert set(Chosen().known) == KNOWN.keys()


def test_own_patterns_and_hook_come_after() -> None:
    own = Redaction(("email",), {"ticket": r"T-\d+", "back": r"(a)\1"}, hook=str.upper)
    assert own.text(r"T-42 of bob@example.com: aa \1") == r"[TICKET] OF [EMAIL]: [BACK] \1"


def test_hook_must_give_a_text() -> None:
    def hook(text: str) -> Any:
        return None if text else ""

    with pytest.raises(TypeError):
        Redaction(hook=hook).text("hello")


def test_document_keeps_all_but_its_strings() -> None:
    body = (
        rb'{ "a@b.example": [1.0, 1e400, 4111111111111111, null],"c" :"x bob\u0040example.com\n" }'
    )
    kept = ALL.document(body)
    assert kept == rb'{ "a@b.example": [1.0, 1e400, 4111111111111111, null],"c" :"x [email]\n" }'


def test_text_that_is_json_stays_json_and_has_no_number_left() -> None:
    arguments = (
        '{"to": "bob@example.com", "ann@example.com": 4111111111111111, "at": 1.5e3, "n": 12}'
    )
    kept = ALL.document(json.dumps({"arguments": arguments}).encode())
    assert kept is not None
    inner = json.loads(json.loads(kept)["arguments"])
    assert inner == {"to": "[email]", "[email]": "[card]", "at": 1.5e3, "n": 12}


def test_text_that_begins_like_json_is_a_text() -> None:
    kept = ALL.document(json.dumps({"arguments": '{"to": "bob@example.com'}).encode())
    assert kept == b'{"arguments": "{\\"to\\": \\"[email]"}'


@pytest.mark.parametrize("body", [b"", b"{", b"bob@example.com", b'"\xff"', b'{"a": "\\ud800"}'])
def test_what_is_no_json_is_not_kept(body: bytes) -> None:
    assert ALL.document(body) is None


def test_media_stay_as_they_are() -> None:
    media = "AKIAIOSFODNN7EXAMPLE" * 200
    seen = Redaction(tuple(KNOWN), {"all": "A"}, hook=str.lower)
    assert seen.text(media) == media
    assert seen.text(f"data:image/png;base64,{media}==") == f"data:image/png;base64,{media}=="
    assert seen.text(media + " ") != media + " "


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('ab\\"\n[é'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_any_document_keeps_its_shape(value: Any) -> None:
    kept = Redaction((), {"a": "a+"}).document(json.dumps(value).encode())
    assert kept is not None
    assert json.loads(kept) == _marked(value)


def _marked(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub("a+", "[a]", value)
    if isinstance(value, list):
        return [_marked(each) for each in value]
    return {n: _marked(v) for n, v in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize(
    "unit",
    [
        "a", "1", "1 ", "1-", "@", "a@", "a.b", "+1", "sk-", "eyJ", "://", "://a:", "Bearer ", "gh",
        "-----BEGIN PRIVATE KEY-----", "(555) ", "AB12AB12AB12 ", "4111 1111 1111 1111 ", "\\",
    ],
)  # fmt: skip
def test_a_text_made_to_take_long_does_not(unit: str) -> None:
    # A pattern that enters a run at each of its characters would take hours.
    ALL.text(unit * (1_000_000 // len(unit)))
