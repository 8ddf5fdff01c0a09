from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gguf_adapter
import pytest
from local_engine import DEADLINE_S, DIALECT, KEY, NAME, Engine, adapted, gguf, running

from standpipe.errors import NotFound, Unavailable

ASK = [{"role": "user", "content": "What is the capital of France?"}]
LONG = [{"role": "user", "content": "Tell me a very long story about a river."}]


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("adapters")
    blank = gguf_adapter.write(folder / "blank.gguf", 3, strength=0.35)
    ub = gguf_adapter.write(folder / "ub.gguf", 4, strength=0.6)
    return {"blank": str(blank), "ub": str(ub)}


@pytest.fixture(scope="module")
def engine(adapters: dict[str, str]) -> Iterator[Engine]:
    with running(adapters=adapters, context=2048) as started:
        yield started


def said(engine: Engine, adapter: str | None) -> Any:
    model = f"{NAME}:{adapter}" if adapter else NAME
    body = {**adapted(messages=ASK, temperature=0, max_tokens=12), "model": model}
    status, answer = engine.post("/v1/chat/completions", body)
    assert status == 200, answer
    return json.loads(answer)["choices"][0]["message"]["content"]


def state(engine: Engine) -> Any:
    with engine.open("/standpipe", None) as response:
        return json.loads(response.read())


def put_adapters(engine: Engine, adapters: dict[str, str]) -> tuple[int, bytes]:
    body = json.dumps(adapters).encode()
    with engine.open("/standpipe/adapters", body, method="PUT") as response:
        return response.status, response.read()


def wait_until_unloaded(engine: Engine) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while state(engine)["loaded"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def speaker(answer: str) -> str | None:
    """Tell whose words they are: one adapter says "ubub", the other line breaks."""
    if "ubub" in answer:
        return "ub"
    return None if answer.strip() else "blank"


@pytest.mark.parametrize("name", [None, "blank", "ub"])
def test_adapter_answers_by_its_name_and_the_base_by_its_own(
    engine: Engine, name: str | None
) -> None:
    assert speaker(said(engine, name)) == name


def test_adapters_and_base_side_by_side_keep_apart(engine: Engine) -> None:
    asked = [None, "blank", "ub"] * 4
    with ThreadPoolExecutor(4) as callers:
        answers = list(callers.map(lambda name: said(engine, name), asked))
    assert list(map(speaker, answers)) == asked


def test_unknown_adapter_is_not_found(engine: Engine) -> None:
    body = {**adapted(messages=ASK), "model": f"{NAME}:paris"}
    status, answer = engine.post("/v1/chat/completions", body)
    error = DIALECT.error(status, {}, answer, "local")
    assert isinstance(error, NotFound)
    assert error.message == f"The model `{NAME}:paris` does not exist"


def test_caller_cannot_choose_adapters_by_number(engine: Engine) -> None:
    body = adapted(messages=ASK, temperature=0, max_tokens=12)
    _, answer = engine.post("/v1/chat/completions", {**body, "lora": [{"id": 0, "scale": 1}]})
    assert speaker(json.loads(answer)["choices"][0]["message"]["content"]) is None


def test_swap_leaves_the_running_call_its_model(adapters: dict[str, str]) -> None:
    with running(adapters={"blank": adapters["blank"]}, context=2048) as engine:
        with engine.open(*story(250)) as stream:
            assert stream.readline().startswith(b"data: ")
            status, _ = put_adapters(engine, {"ub": adapters["ub"]})
            assert status == 200
            assert speaker(said(engine, "ub")) == "ub"
            rest = stream.read()
        assert rest.endswith(b"data: [DONE]\n\n")
        assert state(engine)["adapters"] == ["ub"]


def test_adapter_that_cannot_be_loaded_changes_nothing(engine: Engine) -> None:
    before = state(engine)["adapters"]
    status, answer = put_adapters(engine, {"blank": "/nowhere/blank.gguf"})
    assert status == 503
    assert b"/nowhere/blank.gguf cannot be read" in answer
    assert state(engine)["adapters"] == before
    assert said(engine, None)


def test_model_is_loaded_with_its_first_call_and_freed_when_idle() -> None:
    with running(preload=False, idle=0.2, context=512) as engine:
        assert state(engine)["loaded"] is False
        for _ in range(2):
            assert engine.chat()[0] == 200
            wait_until_unloaded(engine)


def test_model_is_not_idle_while_it_answers() -> None:
    with running(preload=False, idle=0.05, context=2048) as engine:
        with engine.open(*story(200)) as stream:
            assert stream.read().endswith(b"data: [DONE]\n\n")
        wait_until_unloaded(engine)


def test_first_calls_together_load_the_model_once() -> None:
    with running(preload=False, context=512) as engine:
        with ThreadPoolExecutor(4) as callers:
            statuses = [status for status, _ in callers.map(lambda _: engine.chat(), range(4))]
        assert statuses == [200] * 4


def test_weights_that_break_after_the_start_are_our_own_trouble(tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    with gguf().open("rb") as whole:
        path.write_bytes(whole.read(100_000))
    with running(preload=False, gguf=str(path)) as engine:
        error = DIALECT.error(*_headless(engine.chat()), "local")
        assert isinstance(error, Unavailable)
        assert "cut.gguf" in error.message
        assert engine.process.poll() is None


def test_callers_who_leave_while_their_prompt_is_read_give_their_slots_back() -> None:
    with running(slots=1) as engine:
        for number in range(12):
            messages = [{"role": "user", "content": f"{number} " + "tell me more " * 2200}]
            body = json.dumps(adapted(messages=messages, stream=number % 2 == 0)).encode()
            connection = engine.send("/v1/chat/completions", body)
            connection.close()
        # To read all twelve would take minutes; the deadline is the socket's.
        assert engine.chat()[0] == 200
        assert state(engine)["calls"] == 0


def test_two_models_run_side_by_side() -> None:
    with (
        running(context=512) as first,
        running(context=512, name="other") as second,
        ThreadPoolExecutor(2) as callers,
    ):
        answers = list(callers.map(lambda engine: engine.chat(), (first, second)))
    assert [json.loads(answer)["model"] for _, answer in answers] == [NAME, "other"]


@pytest.mark.parametrize("path", ["/standpipe", "/standpipe/adapters"])
def test_control_wants_the_key(engine: Engine, path: str) -> None:
    for key in (None, KEY + "x"):
        with engine.open(path, None, key=key) as response:
            assert response.status == 401


def _headless(answer: tuple[int, bytes]) -> tuple[int, dict[bytes, bytes], bytes]:
    return answer[0], {}, answer[1]


def story(tokens: int) -> tuple[str, bytes]:
    """Return the path and body of a stream that does not end before its limit."""
    body = adapted(messages=LONG, stream=True, max_tokens=tokens, logit_bias={"2": -100})
    return "/v1/chat/completions", json.dumps(body).encode()
