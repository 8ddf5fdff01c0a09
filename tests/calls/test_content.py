from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from misbehaving import body_for, chunks

from standpipe import config
from standpipe.calls.content import UNTOLD, Contents, contents
from standpipe.config import Settings
from standpipe.errors import ConfigError
from standpipe.wire import fold, sse
from standpipe.wire.known_secrets import KnownSecrets
from standpipe.wire.record import Attempt, Begin, Record
from standpipe.wire.redaction import KNOWN, Redaction

OWN = b"sp_a-key-of-the-callers-own"
EMAIL = "bob@example.com"
TRACE = f"00-{'a1' * 16}-{'b2' * 8}-01"


def contents_with(**more: Any) -> Contents:
    return Contents(Redaction(tuple(KNOWN), hook=more.pop("hook", None)), **more)


def streamed(pieces: list[str], *, error: str | None = None) -> bytes:
    told = chunks("chatcmpl-1", {}, {"model": "m"})
    frame = {**told[1], "choices": []}
    said = [
        {**frame, "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
        for piece in pieces
    ]
    last = told[-1] if error is None else {"error": {"message": error}}
    return b"".join(sse.event(json.dumps(each).encode()) for each in [told[0], *said, last])


def record(text: str, **more: Any) -> Record:
    fields: dict[str, Any] = {
        "outcome": "complete",
        "logged": True,
        "provider": "there",
        "metadata": {"name": text, "team": text},
        "attempts": (Attempt("there", "m", 3, error=text),),
        "user_agent": text,
        "request": body_for("m", user=text),
        "response": json.dumps({"id": "c", "choices": [{"message": {"content": text}}]}).encode(),
        "traceparent": TRACE,
    }
    known: dict[str, Any] = {
        "project": "p",
        "key": "k",
        "requested_at": 1,
        "received_at": 2,
        "status": 200,
    }
    return Record(id="i", kind="chat", **known, **(fields | more))


def test_redacted_record_has_its_numbers_and_texts_without_what_is_found() -> None:
    kept = contents_with().redact(record(f"to {EMAIL}"))
    assert EMAIL not in repr(kept)
    assert kept.metadata == {"name": "to [email]", "team": "to [email]"}
    assert kept.attempts[0].error == kept.user_agent == "to [email]"
    assert (kept.logged, kept.completion_id, kept.traceparent) == (True, "c", TRACE)
    assert kept.usage_source == "estimated"
    assert json.loads(kept.request or b"")["user"] == "to [email]"


def test_text_that_is_streamed_in_pieces_is_redacted_as_a_whole() -> None:
    pieces = ["to b", "ob@exa", "mple.", "com,", " yes"]
    said = record("", response=streamed(pieces), response_form="sse", streamed=True)
    kept = contents_with().redact(said)
    assert (kept.response_form, kept.finish_reason, kept.streamed) == ("json", "stop", True)
    answer = fold.decode_object(kept.response or b"") or {}
    assert answer["choices"][0]["message"]["content"] == "to [email], yes"
    assert answer["object"] == "chat.completion"
    assert kept.usage == contents_with().plain(said, "none", None).usage


def test_error_in_a_stream_is_kept_redacted() -> None:
    broken = streamed(["a"], error=f"no {EMAIL}")
    kept = contents_with().redact(record("", response=broken, response_form="sse", outcome="cut"))
    assert kept.error == "no [email]"
    assert kept.response is not None


@pytest.mark.parametrize("logged", [True, False])
def test_text_that_cannot_be_redacted_is_not_kept_and_counted(logged: bool) -> None:
    def hook(text: str) -> str:
        raise ValueError(text)

    made = contents_with(hook=hook, labels=["team"])
    bodies = {} if logged else {"request": None, "response": None, "logged": False}
    kept = made.redact(record("a text", error="a text", **bodies))
    assert "a text" not in repr(kept)
    assert (kept.error, kept.attempts[0].error, kept.metadata) == (UNTOLD, UNTOLD, {})
    assert (kept.status, kept.logged, kept.request, kept.response) == (200, False, None, None)
    begin = made.redact_begin(Begin("i", "p", "k", 1, metadata={"team": "a text"}, logged=True))
    assert begin == Begin("i", "p", "k", 1)
    assert made.labels({"team": "a text"}, "redacted", None) == {}
    assert made.failures == 3


def test_nothing_but_numbers_is_kept_of_none_and_what_usage_is_summed_by() -> None:
    made = contents_with(labels=["team"])
    kept = made.plain(record("a text", error="a text", traceparent="a text"), "none", None)
    assert (kept.request, kept.response, kept.user_agent, kept.traceparent) == (None,) * 4
    assert (kept.error, kept.attempts[0].error) == (UNTOLD, UNTOLD)
    assert kept.metadata == {"team": "a text"}
    assert (kept.completion_id, kept.logged) == ("c", False)
    assert made.drops({"team": "", "name": ""})
    assert not made.drops({"team": ""})


def test_model_that_led_nowhere_may_be_any_text() -> None:
    asked = record("", model=EMAIL, provider=None)
    assert contents_with().redact(asked).model == "[email]"
    assert contents_with().plain(asked, "none", None).model is None
    assert contents_with().plain(asked, "full", None).model == EMAIL
    led = record("", model="m")
    assert contents_with().redact(led).model == "m"
    assert contents_with().plain(led, "none", None).model == "m"


def test_key_that_a_model_repeats_in_pieces_is_not_kept() -> None:
    token = OWN.decode()
    said = record(token, response=streamed([token[:9], token[9:]]), response_form="sse")
    kept = contents_with().plain(said, "full", OWN)
    assert token not in repr(kept)
    assert b'"content":"***"' in (kept.response or b"")
    assert (kept.logged, kept.response_form) == (True, "json")


def test_full_text_without_a_secret_is_the_very_same() -> None:
    said = record(EMAIL)
    made = contents_with(secrets=KnownSecrets(["a-secret-of-ours"]))
    assert made.plain(said, "full", OWN) is said


def test_labels_are_kept_as_texts_are() -> None:
    made = contents_with(labels=["team"], secrets=KnownSecrets(["a-secret-of-ours"]))
    given = {"team": "a-secret-of-ours", "to": EMAIL, "gone": None}
    assert made.labels(given, "full", None) == {**given, "team": "***"}
    assert made.labels(given, "redacted", None) == {"team": "***", "to": "[email]", "gone": None}
    assert made.labels(given, "none", None) == {"team": "***"}


def settings(hook: str) -> Settings:
    return Settings(redaction=config.Redaction(hook=hook, patterns={"ticket": r"T-\d+"}))


def test_hook_is_imported_and_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_hook.py").write_text("def mark(text):\n    return f'<{text}>'\nrate = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    kept = contents(settings("their_hook:mark")).redact(record("T-42", error="T-42"))
    assert kept.error == "<[ticket]>"
    with pytest.raises(ConfigError, match=r"redaction\.hook = 'their_hook:rate'"):
        contents(settings("their_hook:rate"))
    del sys.modules["their_hook"]


@pytest.mark.parametrize("hook", ["nowhere.at_all:hook", "json:no_such_function"])
def test_hook_that_cannot_be_imported_is_named(hook: str) -> None:
    with pytest.raises(ConfigError, match=f"redaction.hook = '{hook}'"):
        contents(settings(hook))
