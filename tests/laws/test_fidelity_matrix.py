"""Every feature at every dialect, each over a real socket: what the table says is what happens.

The doubles refuse what the real place would refuse; the local dialect speaks to the real engine.
"""

from __future__ import annotations

import contextlib
import runpy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from calling import HI, Gateway, Kept
from doubles import Asked, Double, Said, anthropic, as_openai, bedrock, completion, gemini, scripted
from doubles import running as serving
from extras_process import Extras, running_extras
from local_engine import KEY, NAME, running

from standpipe.providers.dialect import Dialect
from standpipe.providers.fidelity import DROPPABLE
from standpipe.providers.known import KNOWN
from standpipe.providers.openai import OpenAI
from standpipe.providers.places import Place as RowDialect
from standpipe.providers.table import DIALECTS
from standpipe.wire import chat
from standpipe.wire.features import FEATURES, features

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
#: An answer that is right whatever its form was to be.
ANSWER = "{}"
#: A place whose model takes everything that its dialect does.
MODELS = {
    "anthropic": "claude-opus-4-5",
    "gemini": "gemini-2.5-pro",
    "bedrock": "us.anthropic.claude-opus-4-5-v1:0",
    "local": NAME,
}


@contextlib.contextmanager
def _engine() -> Iterator[Double]:
    with running() as engine:
        assert engine.said["ready"], engine.said
        yield Double(f"http://127.0.0.1:{engine.port}/v1")


def _openai() -> AbstractContextManager[Double]:
    return scripted(ANSWER)


def _mistral() -> AbstractContextManager[Double]:
    """Tell the usage of every stream, and take no `stream_options`."""

    def answer(asked: Asked) -> Said:
        assert "stream_options" not in asked.body
        return as_openai(completion(ANSWER), {**asked.body, "stream_options": _TOLD})

    return serving(answer, "/v1")


_TOLD = {"include_usage": True}

DOUBLES: dict[str, Callable[[], AbstractContextManager[Double]]] = {
    "openai": _openai,
    "anthropic": lambda: anthropic(ANSWER),
    "gemini": lambda: gemini(ANSWER),
    "bedrock": lambda: bedrock(ANSWER),
    "local": _engine,
    "at-mistral": _mistral,
}
#: The places that speak OpenAI's form with tables of their own.
ROWS = {f"at-{known.name}": known for known in KNOWN.values() if known.dialect == "openai"}


@dataclass(frozen=True)
class Place:
    """A dialect, and who speaks it here."""

    name: str
    double: Double
    dialect: Dialect
    extras: Extras

    def gateway(self, folder: Path) -> Gateway:
        model = MODELS.get(self.name)
        gateway = Gateway(
            folder,
            self.double.url,
            {},
            self.dialect,
            model=model,
            key=KEY,
            speech=self.extras.speech,
        )
        row = ROWS.get(self.name)
        gateway.quirks(stream_usage=row is None or row.stream_usage)
        return gateway


@pytest.fixture(scope="module")
def extras() -> Iterator[Extras]:
    with running_extras() as started:
        yield started


@pytest.fixture(scope="module", params=[*DIALECTS, *ROWS])
def place(request: pytest.FixtureRequest, extras: Extras) -> Iterator[Place]:
    name = request.param
    row = ROWS.get(name)
    with DOUBLES[name]() if name in DOUBLES or row is None else _openai() as double:
        yield Place(name, double, RowDialect(row, double.url) if row else DIALECTS[name], extras)


def asking(feature: str, place: Place, *, stream: bool) -> Json:
    """Return the fields of a request for a feature, with a turn of the user's in any case."""
    fields = dict(FEATURES[feature])
    messages = fields.get("messages", [])
    if not any(message["role"] == "user" for message in messages):
        fields["messages"] = [*messages, *HI]
    if place.name == "local":
        fields.setdefault("max_tokens", 64)
    if stream:
        fields["stream"] = True
    return fields


def words(gateway: Gateway, fields: Json) -> dict[str, str]:
    """Return the word of every feature that the fields ask for, in the table's order."""
    request = chat.parse(gateway.body(fields))
    return {name: gateway.provider.word(name) for name in features(request)}


def told(word: str, found: dict[str, str]) -> set[str]:
    return {name for name, other in found.items() if other == word}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("feature", FEATURES)
def test_each_cell_does_what_its_word_says(
    tmp_path: Path, place: Place, feature: str, stream: bool
) -> None:
    gateway = place.gateway(tmp_path)
    fields = asking(feature, place, stream=stream)
    found = words(gateway, fields)
    assert feature in found
    before = len(place.double.asked)
    reply = gateway.ask(**fields)
    if refused := told("refused", found):
        is_refused(gateway, reply, fields, refused)
        assert len(place.double.asked) == before, "it was sent all the same"
        return
    is_answered(reply, fields)
    assert entries(reply) == {f"{entry}=emulated" for entry in told("emulated", found)}
    if place.name == "openai":
        sent = place.double.asked[-1].body
        assert {name: sent[name] for name in fields} == fields, "it was not sent as it came"


@pytest.mark.parametrize("feature", FEATURES)
def test_best_effort_drops_what_can_be_dropped_and_says_so(
    tmp_path: Path, place: Place, feature: str
) -> None:
    gateway = place.gateway(tmp_path)
    fields = asking(feature, place, stream=False)
    found = words(gateway, fields)
    refused = told("refused", found)
    reply = gateway.ask(best_effort=True, **fields)
    if refused - DROPPABLE.keys():
        is_refused(gateway, reply, fields, refused - DROPPABLE.keys())
        return
    is_answered(reply, fields)
    dropped = {f"{entry}=dropped" for entry in refused}
    assert dropped <= entries(reply)


def is_refused(gateway: Gateway, reply: Kept, fields: Json, refused: set[str]) -> None:
    """Check that the answer is a 400 that names field and target, and that nothing was sent."""
    assert reply.status == 400, reply.body
    error = reply.json["error"]
    paths = features(chat.parse(gateway.body(fields)))
    assert error["param"] in {paths[name] for name in refused}
    assert error["message"].startswith(error["param"])
    assert "'there'" in error["message"]
    assert gateway.records[-1].attempts == ()


def is_answered(reply: Kept, fields: Json) -> None:
    """Check that the answer is what was asked for."""
    choices = reply.answer["choices"]
    assert [choice["index"] for choice in choices] == list(range(int(fields.get("n", 1))))
    assert reply.answer["model"] == "m"
    assert reply.answer["created"]
    assert reply.answer["id"]
    for choice in choices:
        message = choice["message"]
        assert message["role"] == "assistant"
        assert choice["finish_reason"]
        if fields.get("functions"):
            assert "tool_calls" not in message
    is_called(fields, choices[0]["message"])
    if "stream_options" in fields:
        assert reply.chunks[-1]["usage"]["total_tokens"]


def is_called(fields: Json, message: Json) -> None:
    """Check that a tool that must be called is; the double of OpenAI's own form calls none."""
    if "tool_choice" not in fields or message.get("content") == ANSWER:
        return
    if fields["tool_choice"] != "none":
        assert message["tool_calls"][0]["function"]["name"] == "f"


def entries(reply: Kept) -> set[str]:
    return set(filter(None, reply.fidelity.split(", ")))


def test_every_dialect_but_openai_s_has_a_word_for_every_feature() -> None:
    for dialect in DIALECTS.values():
        if type(dialect) is not OpenAI:
            assert set(dialect.fidelity) == set(FEATURES), dialect.name


def test_fields_that_nobody_knows_pass_or_are_refused_by_name(tmp_path: Path, place: Place) -> None:
    gateway = place.gateway(tmp_path)
    reply = gateway.ask(x_unknown=1, max_tokens=4)
    if place.dialect.passes_unknown and place.name != "local":
        assert place.double.asked[-1].body["x_unknown"] == 1
        return
    assert reply.status == 400
    assert reply.json["error"]["param"] == "x_unknown"
    assert gateway.records[-1].attempts == ()


def test_the_page_is_what_the_tables_say() -> None:
    page = runpy.run_path(str(ROOT / "tools" / "fidelity.py"))["page"]()
    assert (ROOT / "docs" / "fidelity.md").read_text() == page, "run `make readme`"
