"""The misbehaving provider itself: other tests rely on these."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import misbehaving
import pytest


@pytest.mark.parametrize("model", ["ok", "chunks:9", "echo", "huge:200000", "tools"])
@pytest.mark.parametrize("n", [1, 3])
def test_stream_says_what_the_whole_answer_says(model: str, n: int) -> None:
    body: dict[str, Any] = {"model": model, "n": n, "stream_options": {"include_usage": True}}
    traits = misbehaving.traits_of(model)
    whole = misbehaving.completion("chatcmpl-1", traits, body)
    chunks = misbehaving.chunks("chatcmpl-1", traits, body)
    assert chunks[-1]["usage"] == whole["usage"]
    for choice in whole["choices"]:
        pieces = [c for chunk in chunks for c in chunk["choices"] if c["index"] == choice["index"]]
        said = "".join(piece["delta"].get("content") or "" for piece in pieces)
        assert said == (choice["message"]["content"] or "")
        assert pieces[-1]["finish_reason"] == choice["finish_reason"]


def test_program_says_its_port_and_counts() -> None:
    command = [sys.executable, str(Path(misbehaving.__file__)), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        ready = json.loads(program.stdout.readline())
        seen = [_get(f"http://127.0.0.1:{ready['port']}/{path}") for path in ("v1/models", "stats")]
        program.terminate()
    assert seen[0]["object"] == "list"
    assert seen[1]["requests_seen"] == 2
    assert program.returncode == 0


def _get(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.loads(answer.read())
