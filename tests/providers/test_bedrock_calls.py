"""Bedrock behind the chat route, over a real socket: whole, streamed and broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bedrock_exchanges import event
from calling import Gateway
from doubles import CONTENT, Said, bedrock, running

from standpipe.providers.bedrock.dialect import Bedrock

Json = dict[str, Any]

MODEL = "us.anthropic.claude-opus-4-5-20251101-v1:0"
STREAM_TYPE = Bedrock.stream_type.decode()
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}

streams = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def gateway(folder: Path, url: str) -> Gateway:
    return Gateway(folder, url, {}, Bedrock(), model=MODEL, key="bedrock-key")


@streams
def test_answer_comes_with_its_usage_and_record(tmp_path: Path, stream: bool) -> None:
    options: Json = {"stream_options": {"include_usage": True}} if stream else {}
    with bedrock() as double:
        asked = gateway(tmp_path, double.url)
        reply = asked.ask(stream=stream, **options)
    assert reply.content == CONTENT
    assert reply.answer["model"] == "m"
    assert reply.answer["created"]
    told = reply.chunks[-1]["usage"] if stream else reply.json["usage"]
    assert told == USAGE
    [sent] = double.asked
    assert sent.headers["authorization"] == "Bearer bedrock-key"
    [record] = asked.records
    assert record.outcome == "complete"
    assert record.provider_model == MODEL


def test_fields_of_converse_pass_and_others_are_refused_by_name(tmp_path: Path) -> None:
    with bedrock() as double:
        asked = gateway(tmp_path, double.url)
        assert asked.ask(requestMetadata={"team": "a"}).status == 200
        reply = asked.ask(promptVariables={})
    assert double.asked[0].body["requestMetadata"] == {"team": "a"}
    assert reply.status == 400
    assert reply.json["error"]["param"] == "promptVariables"


def test_exception_in_a_stream_ends_it_with_an_error(tmp_path: Path) -> None:
    said = [
        event("messageStart", {"role": "assistant"}),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}}),
        event("modelStreamErrorException", {"message": "it fell over"}, "exception"),
    ]
    with running(lambda _: Said(events=said, stream_type=STREAM_TYPE)) as double:
        asked = gateway(tmp_path, double.url)
        reply = asked.ask(stream=True)
    last = json.loads(reply.body.split(b"data: ")[-1])
    assert "it fell over" in last["error"]["message"]
    assert b"[DONE]" not in reply.body
    assert asked.records[-1].outcome == "cut"


def test_stream_of_another_type_is_no_answer(tmp_path: Path) -> None:
    with running(lambda _: Said(events=[b"data: {}\n\n"])) as double:
        reply = gateway(tmp_path, double.url).ask(stream=True)
    assert reply.status == 502
    assert STREAM_TYPE in reply.json["error"]["message"]
