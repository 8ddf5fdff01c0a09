"""What every decoder of a stream does alike: whole events in, and an error told in its turn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

import msgspec

from standpipe.errors import Cut

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)


class Splitter(Protocol[E_co]):
    """Cuts bytes into events; ValueError for bytes that cannot be any."""

    def feed(self, data: bytes) -> Iterable[E_co]:
        """Return the events that are whole now."""
        ...


class EventDecoder(ABC, Generic[E]):
    """A `dialect.Decoder` over whole events; a dialect says what becomes of one.

    What came before an error is given out first: the error is raised by the next call.
    """

    #: Whose stream it is, in messages.
    whose = "the provider's"

    def __init__(self, splitter: Splitter[E]) -> None:
        self.done = False
        self.completion_id: str | None = None
        self.provider_model: str | None = None
        self.usage: msgspec.Raw | None = None
        self._splitter = splitter
        self._broken: Cut | None = None

    @abstractmethod
    def _take(self, event: E) -> bytes:
        """Return OpenAI's events for one of theirs, b"" for none; raises Cut."""

    @abstractmethod
    def _is_whole(self) -> bool:
        """Tell whether the end was seen."""

    def feed(self, data: bytes) -> bytes:
        """Return the events that are whole now; an error behind them is raised by the next call."""
        self._raise_broken()
        taken: list[bytes] = []
        try:
            taken.extend(map(self._take, self._splitter.feed(data)))
        except ValueError as error:
            self._broken = Cut(f"{self.whose} stream cannot be read: {error}")
        except Cut as error:
            self._broken = error
        events = taken[0] if len(taken) == 1 else b"".join(taken)
        if not events:
            self._raise_broken()
        return events

    def easy(self, data: bytes) -> bytes | None:
        """Return what `feed` would for data that tells nothing new; None where `feed` must look."""
        del data
        return None

    def close(self) -> None:
        """Raise Cut unless the end was seen."""
        self._raise_broken()
        if not self._is_whole():
            raise Cut(f"{self.whose} stream ended before its end")

    def _raise_broken(self) -> None:
        if self._broken is not None:
            raise self._broken
