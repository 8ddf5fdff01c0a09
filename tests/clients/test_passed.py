"""The unmodified `openai` client on embeddings, the older completions and responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from clients.programs import python_program
from serving import KEY, Standpipe

MODES = ("sync", "async")
LOCAL = "smollm2-135m-instruct"
CONTENT = "Hello there, how can I"


class Play(Protocol):
    def __call__(self, scenario: str, **arguments: Any) -> Any: ...


@pytest.fixture(scope="module")
def program(server: Standpipe) -> Iterator[Any]:
    places = {"url": server.root + "/v1", "key": KEY, "model": "ok"}
    with python_program("openai-current", "passed_client", **places) as started:
        yield started


@pytest.fixture(params=MODES)
def play(request: pytest.FixtureRequest, program: Any) -> Play:
    """Return what plays a scenario with the sync or the async client."""

    def played(scenario: str, **arguments: Any) -> Any:
        return program.play(scenario, mode=request.param, **arguments)

    return played


def test_embeddings_are_made(play: Play) -> None:
    saw = play("embed")
    assert (saw["model"], len(saw["data"])) == ("ok", 2)
    assert saw["data"][1]["embedding"] == pytest.approx([0.1, -0.2, 0.3])
    assert saw["usage"]["prompt_tokens"] == 11


def test_older_completion_is_made_whole_and_streamed(play: Play) -> None:
    assert play("complete")["choices"][0]["text"] == CONTENT
    chunks = play("complete_streamed")
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == CONTENT


def test_response_is_made_whole_and_streamed(play: Play) -> None:
    saw = play("respond")
    assert (saw["output_text"], saw["model"]) == (CONTENT, "ok")
    assert saw["_request_id"]
    events = play("respond_streamed")
    assert events[0]["type"] == "response.created"
    last = events[-1]
    assert (last["type"], last["response"]["model"]) == ("response.completed", "ok")
    assert last["response"]["output"][0]["content"][0]["text"] == CONTENT


def test_stream_of_a_response_that_breaks_raises(play: Play) -> None:
    assert play("breaks", model="cut")["class"] == "APIError"


@pytest.mark.parametrize(
    ("model", "name"),
    [("busy", "RateLimitError"), ("openpipe:nothing", "NotFoundError"), (LOCAL, "BadRequestError")],
)
def test_error_is_of_the_client_s_own_class(play: Play, model: str, name: str) -> None:
    assert [saw["class"] for saw in play("fails", model=model)] == [name, name]
