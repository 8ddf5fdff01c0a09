"""Speech made and heard, by the real engines."""

from __future__ import annotations

import io
import json
import re
import socket
import struct
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from extras_process import DEADLINE_S, KEY, Extras, running_extras, spawn
from local_engine import answer

SAID = "Hello there. The quick brown fox jumps over the lazy dog."
FORMATS = ("wav", "mp3", "flac", "opus", "aac", "pcm16")


@pytest.fixture(scope="module")
def extras() -> Iterator[Extras]:
    with running_extras() as started:
        yield started


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_spoken_is_heard_in_every_format(extras: Extras, form: str) -> None:
    assert words(extras.hear(extras.speak(SAID, form=form), form)) == words(SAID)


@pytest.mark.parametrize("form", FORMATS)
def test_same_text_sounds_the_same(extras: Extras, form: str) -> None:
    assert extras.speak("Good morning.", form=form) == extras.speak("Good morning.", form=form)


def test_wav_is_16_bits_at_24_khz_and_holds_the_raw_samples(extras: Extras) -> None:
    raw = extras.speak("Good morning.", form="pcm16")
    with wave.open(io.BytesIO(extras.speak("Good morning."))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        assert file.readframes(file.getnframes()) == raw


def test_raw_samples_of_texts_together_are_those_of_each(extras: Extras) -> None:
    both = extras.speak("One.", "Two.", form="pcm16")
    apart = [extras.speak(text, form="pcm16") for text in ("One.", "Two.")]
    assert both == b"".join(apart)
    # Their base64 can be joined.
    assert [len(samples) % 3 for samples in apart] == [0, 0]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("text", ["", " ", "\U0001f600", "\u65e5\u672c\u8a9e"])
def test_text_without_words_is_a_moment_of_silence(extras: Extras, form: str, text: str) -> None:
    file = extras.speak(text, form=form)
    if form == "pcm16":
        assert file == b""
    else:
        assert extras.hear(file, form) == ""


ODD = ("x" * 300, "1" * 300, "1," * 60, "a\x00b", "```py\nprint(1)\n```", "\u00fc")


@pytest.mark.parametrize("text", ODD)
def test_odd_text_is_spoken(extras: Extras, text: str) -> None:
    assert extras.speak(text, form="pcm16")


def test_markdown_is_not_read_out(extras: Extras) -> None:
    assert extras.speak("**Good** `morning`.") == extras.speak("Good morning.")


def test_unknown_format_is_refused_by_name(extras: Extras) -> None:
    status, said = extras.post("/v1/speech", {"texts": ["Hi"], "format": "midi"})
    assert status == 400
    assert said["error"]["param"] == "audio.format"


PLAYLISTS = (
    b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
    b"ffconcat version 1.0\nfile /etc/hostname\n",
)


@pytest.mark.parametrize("form", [form for form in (*FORMATS, "webm") if form != "pcm16"])
@pytest.mark.parametrize("data", [b"", b"RIFF", b"\xff" * 500, *PLAYLISTS])
def test_bytes_of_another_format_are_refused(extras: Extras, form: str, data: bytes) -> None:
    status, said = extras.transcribe(data, form)
    assert status == 400, said
    assert form in said["message"] or "has no sound" in said["message"]


def test_mp3_under_the_name_of_wav_is_refused(extras: Extras) -> None:
    status, said = extras.transcribe(extras.speak(SAID, form="mp3"), "wav")
    assert (status, said["message"]) == (
        400,
        "cannot be read as wav: Invalid data found when processing input",
    )


def test_recording_of_many_hours_is_refused_although_its_file_is_small(extras: Extras) -> None:
    second = b"\x80" * 1000  # 8 bits at 1 kHz
    data = second * 3600
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1,
                       1000, 1000, 1, 8)  # fmt: skip
    status, said = extras.transcribe(head + struct.pack("<4sI", b"data", len(data)) + data, "wav")
    assert (status, said["message"]) == (
        400,
        "is over 30 minutes long, the most that is transcribed",
    )


def test_data_that_is_not_base64_is_refused(extras: Extras) -> None:
    status, said = extras.post("/v1/transcriptions", {"data": "%%%", "format": "wav"})
    assert (status, said["message"]) == (400, "data: is not base64")


def test_callers_at_the_same_time_are_all_answered(extras: Extras) -> None:
    with ThreadPoolExecutor(6) as callers:
        files = list(callers.map(lambda _: extras.speak(SAID), range(6)))
        heard = list(callers.map(extras.hear, files))
    assert [words(text) for text in heard] == [words(SAID)] * 6


def test_caller_who_leaves_is_not_spoken_to_for_long(extras: Extras) -> None:
    connection = extras.connect()
    # Half an hour of speech; the deadline of what follows is the socket's.
    body = json.dumps({"texts": [SAID] * 20_000, "format": "wav"})
    connection.request("POST", "/v1/speech", body, {"Authorization": f"Bearer {KEY}"})
    connection.close()
    assert words(extras.hear(extras.speak(SAID))) == words(SAID)


@pytest.mark.parametrize("path", ["/v1/speech", "/v1/transcriptions", "/v1/chat/completions"])
def test_nobody_is_served_without_the_key(extras: Extras, path: str) -> None:
    assert extras.post(path, {}, key="another")[0] == 401


def test_embeddings_are_not_there_without_their_files(extras: Extras) -> None:
    with closing(extras.connect()) as connection:
        connection.request("POST", "/v1/embeddings", "{}", {"Authorization": f"Bearer {KEY}"})
        assert connection.getresponse().status == 404


def test_end_of_stdin_ends_it() -> None:
    with running_extras() as extras:
        assert extras.process.stdin is not None
        extras.process.stdin.close()
        assert extras.process.wait(DEADLINE_S) == 0


def test_sigterm_ends_it() -> None:
    with running_extras() as extras:
        extras.process.terminate()
        assert extras.process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("said", ["", "{", "[]", '{"port": 1}', '{"surprise": 1}'])
def test_configuration_that_cannot_be_read_is_refused(said: str) -> None:
    assert "configuration on stdin cannot be read" in refusal(said)


def test_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}" in refusal(json.dumps({"port": port, "key": KEY}))


def refusal(line: str) -> str:
    """Return why the process does not start; it must exit with 3."""
    with spawn(line) as process:
        told = answer(process)
        assert process.wait(DEADLINE_S) == 3
    assert told["ready"] is False
    error: str = told["error"]
    return error
