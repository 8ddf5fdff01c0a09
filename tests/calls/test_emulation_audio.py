"""Speech for models that only write, and ears for those that cannot hear, by the real engines."""

from __future__ import annotations

import base64
import io
import json
import re
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from calling import HI, Gateway, Kept
from doubles import completion, scripted
from extras_process import Extras, running_extras
from hypothesis import given, settings
from hypothesis import strategies as st

from standpipe.calls.emulation import audio_ids, sentences
from standpipe.errors import BadRequest

Json = dict[str, Any]

SAID = "Hello there. The quick brown fox jumps over the lazy dog."
SPEAKING: dict[str, Any] = {"modalities:audio": "emulated", "n>1": "emulated"}
HEARING: dict[str, Any] = {"content:input_audio": "emulated"}

streams = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(scope="module")
def extras() -> Iterator[Extras]:
    with running_extras() as started:
        yield started


def wanted(form: str = "wav", voice: str = "alloy") -> Json:
    return {"modalities": ["text", "audio"], "audio": {"format": form, "voice": voice}}


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def recording(extras: Extras, text: str, form: str = "mp3") -> Json:
    data = base64.b64encode(extras.speak(text, form=form)).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": form}}


@streams
@pytest.mark.parametrize("form", ["wav", "mp3", "flac", "opus", "pcm16"])
def test_answer_is_spoken(tmp_path: Path, extras: Extras, form: str, stream: bool) -> None:
    with scripted(SAID) as double:
        gateway = Gateway(tmp_path, double.url, SPEAKING, speech=extras.speech)
        reply = gateway.ask(**wanted(form), stream=stream)
    assert not {"modalities", "audio"} & double.bodies[0].keys()
    message = reply.answer["choices"][0]["message"]
    assert message["content"] is None
    audio = message["audio"]
    assert audio["transcript"] == SAID
    assert audio["expires_at"] > time.time()
    assert words(extras.hear(base64.b64decode(audio["data"], validate=True), form)) == words(SAID)
    assert "modalities:audio=emulated" in reply.fidelity
    assert reply.answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("form", ["mp3", "flac", "opus", "aac", "pcm16"])
def test_folded_stream_is_the_whole_answer(tmp_path: Path, extras: Extras, form: str) -> None:
    with scripted(SAID) as double:
        gateway = Gateway(tmp_path, double.url, SPEAKING, speech=extras.speech)
        whole, stream = (gateway.ask(**wanted(form), stream=stream) for stream in (False, True))
    one, other = (reply.answer["choices"][0]["message"]["audio"] for reply in (whole, stream))
    one.pop("expires_at")
    other.pop("expires_at")
    assert one == other


def test_wav_of_a_stream_holds_the_samples_of_a_whole_one(tmp_path: Path, extras: Extras) -> None:
    with scripted(SAID) as double:
        gateway = Gateway(tmp_path, double.url, SPEAKING, speech=extras.speech)
        replies = [gateway.ask(**wanted(), stream=stream) for stream in (False, True)]
    whole, stream = (
        base64.b64decode(reply.answer["choices"][0]["message"]["audio"]["data"])
        for reply in replies
    )
    with wave.open(io.BytesIO(whole)) as file:
        samples = file.readframes(file.getnframes())
    assert stream.endswith(samples)
    with wave.open(io.BytesIO(stream)) as file:
        assert (file.getframerate(), file.readframes(len(samples))) == (24_000, samples)


def test_sound_of_a_sentence_comes_before_the_text_of_the_next(
    tmp_path: Path, extras: Extras
) -> None:
    with scripted(SAID) as double:
        gateway = Gateway(tmp_path, double.url, SPEAKING, speech=extras.speech)
        reply = gateway.ask(**wanted("pcm16"), stream=True)
    deltas = [choice["delta"] for chunk in reply.chunks for choice in chunk["choices"]]
    audio = [delta["audio"] for delta in deltas if "audio" in delta]
    assert all(len(each) == 1 for each in audio)
    kinds = "".join(next(iter(each))[0] for each in audio)
    assert re.fullmatch(r"t+d+t+d+ie", kinds)
    assert deltas[0]["role"] == "assistant"
    assert all(not delta.get("content") for delta in deltas)


@streams
def test_every_choice_is_spoken(tmp_path: Path, extras: Extras, stream: bool) -> None:
    with scripted("The first is red.", "The second is blue.") as double:
        gateway = Gateway(tmp_path, double.url, SPEAKING, speech=extras.speech)
        reply = gateway.ask(**wanted("mp3"), n=2, stream=stream)
    choices = reply.answer["choices"]
    told = {choice["message"]["audio"]["transcript"] for choice in choices}
    assert told == {"The first is red.", "The second is blue."}
    for choice in choices:
        audio = choice["message"]["audio"]
        heard = extras.hear(base64.b64decode(audio["data"], validate=True), "mp3")
        assert words(heard) == words(audio["transcript"])


@streams
def test_call_of_a_tool_is_not_spoken(tmp_path: Path, extras: Extras, stream: bool) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    calling = completion({"content": None, "tool_calls": [call]}, finish="tool_calls")
    with scripted(calling) as double:
        gateway = Gateway(tmp_path, double.url, SPEAKING, speech=extras.speech)
        reply = gateway.ask(**wanted(), stream=stream)
    message = reply.answer["choices"][0]["message"]
    assert message["tool_calls"] == [call]
    assert "audio" not in message


def test_speech_without_its_form_is_refused(tmp_path: Path, extras: Extras) -> None:
    with scripted(SAID) as double:
        gateway = Gateway(tmp_path, double.url, SPEAKING, speech=extras.speech)
        reply = gateway.ask(modalities=["text", "audio"])
    assert (reply.status, reply.json["error"]["param"]) == (400, "audio")
    assert not double.bodies


@streams
@pytest.mark.parametrize("form", ["wav", "mp3"])
def test_recording_is_sent_as_what_is_said_in_it(
    tmp_path: Path, extras: Extras, form: str, stream: bool
) -> None:
    parts = [{"type": "text", "text": "Answer this:"}, recording(extras, SAID, form)]
    with scripted("I will.") as double:
        gateway = Gateway(tmp_path, double.url, HEARING, speech=extras.speech)
        reply = gateway.ask(messages=[{"role": "user", "content": parts}], stream=stream)
    assert reply.content == "I will."
    assert reply.fidelity == "content:input_audio=emulated"
    first, second = double.bodies[0]["messages"][0]["content"]
    assert first == parts[0]
    assert second["type"] == "text"
    assert words(second["text"]) == words(SAID)


def test_recording_in_which_nobody_speaks_is_told_as_such(tmp_path: Path, extras: Extras) -> None:
    messages = [{"role": "user", "content": [recording(extras, " ", "wav")]}]
    with scripted("Hm?") as double:
        Gateway(tmp_path, double.url, HEARING, speech=extras.speech).ask(messages=messages)
    assert double.bodies[0]["messages"][0]["content"] == [{"type": "text", "text": "(no speech)"}]


def test_recording_that_cannot_be_read_is_refused_by_name(tmp_path: Path, extras: Extras) -> None:
    audio = {"data": base64.b64encode(b"RIFF").decode(), "format": "wav"}
    messages = [*HI, {"role": "user", "content": [{"type": "input_audio", "input_audio": audio}]}]
    with scripted("Hm?") as double:
        reply = Gateway(tmp_path, double.url, HEARING, speech=extras.speech).ask(messages=messages)
    assert reply.status == 400
    assert reply.json["error"]["param"] == "messages[1].content[0].input_audio"
    assert "cannot be read as wav" in reply.json["message"]
    assert not double.bodies


@pytest.mark.parametrize("words", [SPEAKING, HEARING], ids=["speaking", "hearing"])
def test_missing_engines_are_a_400_that_says_what_is_missing(
    tmp_path: Path, words: dict[str, Any]
) -> None:
    part = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    fields = wanted() if words is SPEAKING else {}
    with scripted(SAID) as double:
        gateway = Gateway(tmp_path, double.url, words)
        reply = gateway.ask(messages=[{"role": "user", "content": [part]}], **fields)
    assert reply.status == 400
    assert "no engine of speech is set up here" in reply.json["message"]
    assert not double.bodies


def test_engines_that_are_down_are_our_own_trouble(tmp_path: Path) -> None:
    with running_extras() as gone:
        pass
    with scripted(SAID) as double:
        reply = Gateway(tmp_path, double.url, SPEAKING, speech=gone.speech).ask(**wanted())
    assert (reply.status, "retry-after" in map(bytes.decode, reply.headers)) == (503, True)
    assert "being restarted" in reply.json["message"]


def test_engines_that_die_while_they_speak_end_the_stream_with_an_error(tmp_path: Path) -> None:
    with running_extras() as extras, scripted(SAID) as double:

        def on_write(data: bytes) -> None:
            if b'"transcript"' in data:
                extras.process.kill()
                extras.process.wait()

        gateway = Gateway(tmp_path, double.url, SPEAKING, speech=extras.speech)
        reply = gateway.ask(Kept(on_write=on_write), **wanted("pcm16"), stream=True)
    last = reply.body.split(b"\n\n")[-2]
    assert "being restarted" in json.loads(last.removeprefix(b"data: "))["error"]["message"]
    assert gateway.records[-1].outcome == "cut"


def test_id_of_an_answer_leads_back_to_its_text() -> None:
    said = "Grüße, \u4e16\u754c. " * 50
    assert audio_ids.transcript_of(audio_ids.id_of(said)) == said
    messages = [{"role": "assistant", "audio": {"id": audio_ids.id_of(said)}}, *HI]
    assert audio_ids.as_text({"messages": messages})["messages"] == [
        {"role": "assistant", "content": said},
        *HI,
    ]


@pytest.mark.parametrize("identity", ["", "audio_", "audio_67a1", "audio_\u00fc", "audio_!!", "x"])
def test_id_of_another_s_answer_is_refused_by_name(identity: str) -> None:
    body = {"messages": [*HI, {"role": "assistant", "audio": {"id": identity}}]}
    with pytest.raises(BadRequest) as refused:
        audio_ids.as_text(body)
    assert refused.value.param == "messages[1].audio.id"


def test_id_that_unpacks_to_very_much_is_refused() -> None:
    assert audio_ids.transcript_of(audio_ids.id_of("x" * (1 << 21))) is None


@given(st.text(alphabet='ab .!?\n\u2026"A,DMr', max_size=900), st.integers(1, 40))
@settings(deadline=None)
def test_sentences_are_the_same_however_the_text_is_cut(text: str, size: int) -> None:
    splitter = sentences.Sentences()
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    found = [sentence for piece in pieces for sentence in splitter.feed(piece)]
    assert [*found, *splitter.close()] == sentences.split(text)
    assert all(len(sentence) <= sentences.LONGEST for sentence in sentences.split(text))
    assert "".join("".join(sentences.split(text)).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "count"),
    [("Dr. Smith is in. He waits.", 2), ("One\nTwo", 2), ('"Yes!" she said.', 2), ("3.5 km", 1)],
)
def test_sentence_ends_where_a_reader_would_end_it(text: str, count: int) -> None:
    assert len(sentences.split(text)) == count
