"""Content encodings that a provider used though asked for none."""

from __future__ import annotations

import zlib

from standpipe.errors import Cut, NotACompletion

#: Decoded bytes handed out at once, so that a small body cannot become a huge one in memory.
PIECE_BYTES = 1 << 20

_GZIP, _ZLIB, _RAW_DEFLATE = 31, 15, -15


class Inflater:
    """Decodes one gzip or deflate body, piece by piece."""

    __slots__ = ("_gzip", "_machine", "_pending", "_started")

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._machine = zlib.decompressobj(_GZIP if gzip else _ZLIB)
        self._pending = b""
        self._started = False

    @property
    def has_more(self) -> bool:
        """Whether `feed(b"")` may return more without new input."""
        return bool(self._pending)

    def feed(self, data: bytes) -> bytes:
        """Return up to PIECE_BYTES of what is decoded by now; NotACompletion if it is damaged."""
        data = self._pending + data
        self._pending = b""
        if not data:
            return b""
        try:
            decoded = self._decode(data)
        except zlib.error as error:
            raise NotACompletion(f"the provider's encoded answer is damaged: {error}") from error
        self._started = True
        return decoded

    def _decode(self, data: bytes) -> bytes:
        if not self._started and not self._gzip and data[0] & 0x0F != zlib.DEFLATED:
            # "deflate" means zlib (RFC 9110, 8.4.1.2), but some send it bare.
            self._machine = zlib.decompressobj(_RAW_DEFLATE)
        decoded = self._machine.decompress(data, PIECE_BYTES)
        self._pending = self._machine.unconsumed_tail
        if self._machine.eof and self._gzip and self._machine.unused_data:
            # A gzip body may be several members, one after the other.
            self._pending = self._machine.unused_data
            self._machine = zlib.decompressobj(_GZIP)
        return decoded

    def finish(self) -> None:
        """Check that the body is whole; Cut if it is not."""
        if self._started and not self._machine.eof:
            raise Cut("the provider's encoded answer ended before its end")


def decoder_for(encoding: bytes | None) -> Inflater | None:
    """Return the decoder of a Content-Encoding, None for none; NotACompletion if we have none."""
    name = (encoding or b"identity").strip().lower()
    if name in {b"identity", b""}:
        return None
    if name in {b"gzip", b"x-gzip"}:
        return Inflater(gzip=True)
    if name == b"deflate":
        return Inflater(gzip=False)
    shown = name[:40].decode("latin-1")
    raise NotACompletion(f"the provider encoded its answer as {shown!r} though asked for identity")
