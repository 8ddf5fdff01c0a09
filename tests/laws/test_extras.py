"""Speech and embeddings on a real server, with the real engines behind it."""

from __future__ import annotations

import base64
import json
import struct
import wave
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from extras_process import embeddings
from local_engine import gguf
from serving import Answer, Standpipe, call, serving

from standpipe.engine import embedding_weights, weights
from standpipe.wire import fold

Json = dict[str, Any]

HI = {"role": "user", "content": "Say hello in one short sentence."}
SPOKEN = {"modalities": ["text", "audio"], "audio": {"format": "wav", "voice": "alloy"}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standpipe]:
    home = tmp_path_factory.mktemp("home")
    models = home / "models"
    models.mkdir()
    (models / weights.FILE).symlink_to(gguf())
    (models / embedding_weights.CARRIED.folder).symlink_to(embeddings())
    with serving(home, LOCAL_ENABLED="true") as started:
        started.child("standpipe.engine.extras")
        yield started


def chat(server: Standpipe, **fields: Any) -> Answer:
    body = {"model": weights.MODEL, "messages": [HI], "max_tokens": 30, "temperature": 0, **fields}
    answer = call(server, "POST", "/chat/completions", body)
    assert answer.status == 200, answer.body
    return answer


def heard(server: Standpipe, audio: Json) -> str:
    """Return what the server's own ears make of a sound, as the model was told it."""
    part = {"type": "input_audio", "input_audio": {"data": audio["data"], "format": "wav"}}
    answer = chat(server, messages=[{"role": "user", "content": [part]}], max_tokens=5)
    assert answer.headers["standpipe-fidelity"] == "content:input_audio=emulated"
    return str(answer.json["choices"][0]["message"]["content"])


def test_local_model_speaks_and_is_told_what_was_said(server: Standpipe) -> None:
    answer = chat(server, **SPOKEN)
    told = set(answer.headers["standpipe-fidelity"].split(", "))
    assert told == {"modalities:audio=emulated", "audio.voice=emulated"}
    message = answer.json["choices"][0]["message"]
    audio = message["audio"]
    assert message["content"] is None
    with wave.open(BytesIO(base64.b64decode(audio["data"]))) as file:
        assert file.getnframes() > 12_000
    assert heard(server, audio)
    assert answer.json["usage"]["completion_tokens"]
    again = [HI, {"role": "assistant", "audio": {"id": audio["id"]}}, HI]
    reply = chat(server, messages=again, max_tokens=5)
    assert reply.headers["standpipe-fidelity"] == "message.audio=emulated"


def test_stream_is_spoken(server: Standpipe) -> None:
    whole = chat(server, **SPOKEN).json["choices"][0]["message"]["audio"]
    answer = chat(server, **SPOKEN, stream=True, stream_options={"include_usage": True})
    folded = fold.fold_stream(answer.body).completion
    assert folded is not None
    audio = folded["choices"][0]["message"]["audio"]
    assert (audio["transcript"], audio["id"]) == (whole["transcript"], whole["id"])
    assert folded["usage"]["total_tokens"]


def test_one_s_own_voice_is_no_news(server: Standpipe) -> None:
    answer = chat(server, modalities=["text", "audio"], audio={"format": "mp3", "voice": "heart"})
    assert answer.headers["standpipe-fidelity"] == "modalities:audio=emulated"


def test_embeddings_are_answered_and_listed(server: Standpipe) -> None:
    body = {"model": embedding_weights.MODEL, "input": ["Hello", "World"]}
    answer = call(server, "POST", "/embeddings", body)
    assert answer.status == 200, answer.body
    assert [len(each["embedding"]) for each in answer.json["data"]] == [384, 384]
    packed = call(server, "POST", "/embeddings", {**body, "encoding_format": "base64"}).json
    numbers = struct.unpack("<384f", base64.b64decode(packed["data"][1]["embedding"]))
    assert list(numbers) == answer.json["data"][1]["embedding"]
    listed = [each["id"] for each in call(server, "GET", "/models").json["data"]]
    assert embedding_weights.MODEL in listed


def test_embeddings_are_refused_by_name(server: Standpipe) -> None:
    body = {"model": embedding_weights.MODEL, "input": "Hello", "dimensions": 8}
    answer = call(server, "POST", "/embeddings", body)
    assert (answer.status, answer.json["error"]["param"]) == (400, "dimensions")


def test_chat_with_the_embedding_model_is_refused(server: Standpipe) -> None:
    body = {"model": embedding_weights.MODEL, "messages": [HI]}
    answer = call(server, "POST", "/chat/completions", body)
    assert answer.status == 400
    assert "makes embeddings and does not chat" in answer.json["message"]


def test_killed_engines_are_started_again(server: Standpipe) -> None:
    server.child("standpipe.engine.extras").kill()
    body = {"model": embedding_weights.MODEL, "input": "Hello"}
    answers = [call(server, "POST", "/embeddings", body)]
    while answers[-1].status != 200 and len(answers) < 1000:
        assert answers[-1].status == 503, answers[-1].body
        answers.append(call(server, "POST", "/embeddings", body))
    assert answers[-1].status == 200


def test_what_is_turned_off_is_said(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / weights.FILE).symlink_to(gguf())
    with serving(tmp_path, LOCAL_ENABLED="true", LOCAL_AUDIO="false") as server:
        body = {"model": weights.MODEL, "messages": [HI], **SPOKEN}
        answer = call(server, "POST", "/chat/completions", body)
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["param"] == "modalities"
    assert "speech is turned off here" in answer.json["message"]
