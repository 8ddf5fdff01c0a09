"""Several keys of one provider: used in turn, and one that is refused rests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import msgspec
from typing_extensions import override

from standpipe.errors import ApiError, KeyRefused, Refused
from standpipe.upstream.transport import Headers

#: Seconds for which a key that the provider does not take rests, and one that is used up where the
#: provider does not say for how long.
REFUSED_SECONDS = 60.0
USED_UP_SECONDS = 10.0
#: Shortest rest and longest, in seconds.
_LEAST, _MOST = 1.0, 3600.0


class ProviderKey(msgspec.Struct, frozen=True):
    """A key, and the headers of a request that has it."""

    headers: Headers
    #: To keep it out of what the provider says of it; None for a place that wants none.
    secret: bytes | None = None
    #: Its place in `api_keys`; None for the only one.
    place: int | None = None

    @override
    def __repr__(self) -> str:
        return f"ProviderKey({self.place})"


class ProviderKeys:
    """The keys of one provider, at least one, and how they stand with this worker."""

    def __init__(
        self, keys: Iterable[ProviderKey], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = tuple(keys)
        #: The one that there is, None where there are several.
        self.only = self._keys[0] if len(self._keys) == 1 else None
        self._clock = clock
        self._until = [0.0] * len(self._keys)
        self._next = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._keys)

    def take(self) -> ProviderKey:
        """Return the next key that does not rest; if all do, the one whose rest is over first."""
        now, count = self._clock(), len(self._keys)
        places = [(self._next + step) % count for step in range(count)]
        chosen = min(places, key=lambda place: max(self._until[place], now))
        self._next = (chosen + 1) % count
        return self._keys[chosen]

    def refused(self, key: ProviderKey, error: ApiError) -> bool:
        """Let a key rest if the error is about it; tell whether another may do better now."""
        seconds = _rest(error)
        if key.place is None or seconds is None:
            return False
        now = self._clock()
        self._until[key.place] = now + min(max(seconds, _LEAST), _MOST)
        return any(until <= now for until in self._until)


def _rest(error: ApiError) -> float | None:
    """Return for how long a key rests that met with an error, None if it is not about the key."""
    if isinstance(error, KeyRefused):
        return REFUSED_SECONDS
    if isinstance(error, Refused) and error.status == 429:
        return USED_UP_SECONDS if error.retry_after is None else error.retry_after
    return None
