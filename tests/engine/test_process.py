from __future__ import annotations

import json
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from local_engine import DEADLINE_S, KEY, Engine, adapted, answer, free_port, gguf, running, spawn

LONG = [{"role": "user", "content": "Tell me a very long story about a river."}]


def line(**changed: Any) -> str:
    config = {"gguf": str(gguf()), "port": free_port(), "key": KEY, "name": "m", "context": 512}
    return json.dumps({**config, **changed})


def refusal(said: str, environ: dict[str, str] | None = None) -> str:
    """Return why the engine does not start; it must exit with 3."""
    with spawn(said, environ) as process:
        told = answer(process)
        assert process.wait(DEADLINE_S) == 3
    assert told["ready"] is False
    error: str = told["error"]
    return error


def test_missing_weights_name_the_command_that_fetches_them(tmp_path: Path) -> None:
    error = refusal(line(gguf=str(tmp_path / "none.gguf")))
    assert "none.gguf cannot be read (No such file" in error
    assert "standpipe models pull" in error


def test_file_of_another_kind_is_no_gguf(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("<html>")
    assert "page.html is not a GGUF file" in refusal(line(gguf=str(path)))


def test_broken_gguf_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    with gguf().open("rb") as whole:
        path.write_bytes(whole.read(1_000_000))
    assert "cut.gguf" in refusal(line(gguf=str(path)))


def test_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}" in refusal(line(port=port))


@pytest.mark.parametrize("said", ["", "{", "[]", '{"port": 1}', '{"surprise": 1}'])
def test_configuration_that_cannot_be_read_is_refused(said: str) -> None:
    assert "configuration on stdin cannot be read" in refusal(said)


def test_missing_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('no wheel for this machine')")
    error = refusal(line(), {"PYTHONPATH": f"{tmp_path}:src"})
    assert "pip install 'standpipe[local]'" in error


def test_key_is_in_no_argument() -> None:
    with running() as engine:
        arguments = Path(f"/proc/{engine.process.pid}/cmdline").read_bytes()
        assert KEY.encode() not in arguments
        assert KEY.encode() not in Path(f"/proc/{engine.process.pid}/environ").read_bytes()


def test_end_of_stdin_ends_it_in_the_middle_of_an_answer() -> None:
    with running() as engine, engine.open(*_story(4000)) as stream:
        assert stream.readline().startswith(b"data: ")
        assert engine.process.stdin is not None
        engine.process.stdin.close()
        assert engine.process.wait(DEADLINE_S) == 0


def test_sigterm_ends_it_in_the_middle_of_an_answer() -> None:
    with running() as engine, engine.open(*_story(4000)) as stream:
        assert stream.readline().startswith(b"data: ")
        engine.process.terminate()
        assert engine.process.wait(DEADLINE_S) == 0


def test_interrupt_of_the_terminal_leaves_it_to_the_supervisor() -> None:
    with running() as engine:
        engine.process.send_signal(signal.SIGINT)
        assert engine.chat()[0] == 200


def test_killed_engine_is_replaced_on_the_same_port_at_once() -> None:
    with running() as first, first.open(*_story(4000)) as stream:
        assert stream.readline().startswith(b"data: ")
        first.process.kill()
        first.process.wait(DEADLINE_S)
        with running(port=first.port) as second:
            assert second.said["ready"] is True
            assert second.chat()[0] == 200


def test_nobody_is_served_without_the_key(engine: Engine) -> None:
    for path, body in (("/v1/chat/completions", b"{}"), ("/props", None), ("/tokenize", b"{}")):
        with engine.open(path, body, key=None) as response:
            assert response.status == 401, path


def test_pages_of_a_browser_are_not_let_in(engine: Engine) -> None:
    with engine.open("/health", None) as response:
        assert not response.headers["Access-Control-Allow-Origin"]


@pytest.mark.parametrize("path", ["/", "/slots", "/metrics"])
def test_pages_that_show_prompts_are_off(engine: Engine, path: str) -> None:
    with engine.open(path, None) as response:
        assert response.status in {404, 501}


def test_requests_beyond_the_slots_wait(engine: Engine) -> None:
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: engine.chat(), range(8)))
    assert [status for status, _ in answers] == [200] * 8


def test_callers_who_leave_give_their_slots_back() -> None:
    with running(slots=1) as engine:
        with engine.open(*_story(4000)) as stream:
            assert stream.readline().startswith(b"data: ")
            waiting = [engine.send(*_story(4000)) for _ in range(2)]
        for connection in waiting:
            connection.close()
        # Three such stories would take minutes; the deadline is the socket's.
        assert engine.chat()[0] == 200


def _story(tokens: int) -> tuple[str, bytes]:
    """Return the path and body of a stream that does not end before its limit."""
    body = adapted(messages=LONG, stream=True, max_tokens=tokens, logit_bias={"2": -100})
    return "/v1/chat/completions", json.dumps(body).encode()
