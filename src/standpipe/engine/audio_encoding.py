"""Samples of speech to the bytes of a sound file, in the formats that a caller may ask for."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import av
import msgspec
import numpy

#: Samples a second of all speech.
RATE = 24_000
#: A file of none is not one that players open; these are a tenth of a second.
FEWEST = RATE // 10
#: Pieces of raw samples are as long as three of these, so that their base64 can be joined.
_ALIGNED = 3


class Coding(msgspec.Struct, frozen=True):
    """How a format is written."""

    container: str
    codec: str
    #: Bits a second; None for a codec that loses nothing.
    bit_rate: int | None = None


CODINGS: Mapping[str, Coding] = {
    "wav": Coding("wav", "pcm_s16le"),
    "mp3": Coding("mp3", "libmp3lame", 64_000),
    "flac": Coding("flac", "flac"),
    "opus": Coding("ogg", "libopus", 32_000),
    "aac": Coding("adts", "aac", 64_000),
}
#: Every format that can be asked for; `pcm16` is the samples alone, little-endian.
FORMATS = ("pcm16", *CODINGS)


def encode(pieces: Sequence[Any], form: str) -> bytes:
    """Return a file of pieces of 16-bit samples at RATE, joined; KeyError for an unknown form."""
    samples = numpy.concatenate(pieces) if pieces else numpy.zeros(0, numpy.int16)
    if form == "pcm16":
        return bytes(_padded(samples, -(-len(samples) // _ALIGNED) * _ALIGNED).tobytes())
    return _written(_padded(samples, max(FEWEST, len(samples))), CODINGS[form])


def _padded(samples: Any, length: int) -> Any:
    return numpy.pad(samples, (0, length - len(samples))).astype("<i2", copy=False)


def _written(samples: Any, coding: Coding) -> bytes:
    file = io.BytesIO()
    # bitexact: the same speech is the same file, without a random stream number.
    options = {"fflags": "+bitexact"}
    with av.open(file, "w", format=coding.container, container_options=options) as container:
        stream: Any = container.add_stream(coding.codec, rate=RATE)
        stream.layout = "mono"
        if coding.bit_rate is not None:
            stream.bit_rate = coding.bit_rate
        for frame in (_frame(samples), None):
            for packet in stream.encode(frame):
                container.mux(packet)
    return file.getvalue()


def _frame(samples: Any) -> Any:
    frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
    frame.sample_rate = RATE
    frame.pts = 0
    return frame
