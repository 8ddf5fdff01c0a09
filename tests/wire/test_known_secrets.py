from __future__ import annotations

import json

import pytest

from standpipe.wire.known_secrets import KnownSecrets
from standpipe.wire.record import Attempt, Begin, Record, Usage, encode

KEY, QUOTED, OWN = "sk-the-provider-s", 'pa"ss\\word-that-is-long', b"sp_callers-own-key"
SECRETS = KnownSecrets([KEY, QUOTED, "ollama", KEY + "-longer"])


def record(text: str) -> Record:
    return Record(
        id="i",
        kind="chat",
        project="p",
        key="k",
        requested_at=1,
        received_at=2,
        outcome="complete",
        status=200,
        logged=True,
        model=text,
        error=text,
        metadata={"name": text, text: "value"},
        attempts=(Attempt("there", "m", 3, error=text),),
        user_agent=text,
        request=json.dumps({"content": text}).encode(),
        response=json.dumps([text]).encode(),
        usage=Usage(prompt_tokens=1),
    )


@pytest.mark.parametrize("secret", [KEY, QUOTED, OWN.decode(), KEY + "-longer"])
def test_secret_is_nowhere_in_what_is_kept(secret: str) -> None:
    said = record(f"it is {secret}, é")
    assert SECRETS.out_of(said, OWN) == record("it is ***, é")


def test_secret_is_nowhere_in_the_beginning_of_a_stream() -> None:
    said = Begin("i", "p", "k", 1, metadata={"name": KEY}, user_agent=OWN.decode())
    kept = SECRETS.out_of(said, OWN)
    assert kept == Begin("i", "p", "k", 1, metadata={"name": "***"}, user_agent="***")


def test_what_holds_no_secret_is_the_same() -> None:
    said = record("ollama")
    assert SECRETS.out_of(said, b"none") is said
    assert encode(SECRETS.out_of(said)) == encode(said)


def test_secret_is_hidden_in_bytes_and_in_texts() -> None:
    assert SECRETS.hide(f"a {KEY} b".encode() + OWN + b"\xff", OWN) == b"a *** b***\xff"
    assert SECRETS.hide_in(f"a {KEY} b\udcff") == "a *** b\udcff"


def test_secrets_do_not_show_themselves() -> None:
    assert KEY not in repr(SECRETS)
    assert repr(KnownSecrets()) == "KnownSecrets(0)"
