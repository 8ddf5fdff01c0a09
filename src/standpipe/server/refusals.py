"""How often requests were refused that leave no record: only here does anybody learn of them."""

from __future__ import annotations

from collections import Counter

from standpipe.errors import ApiError


class Refusals:
    """A worker's, since it started."""

    def __init__(self) -> None:
        #: By status and reason.
        self.counts = Counter[tuple[int, str]]()

    def count(self, error: ApiError) -> None:
        """Count a request that was answered with an error and with nothing else."""
        self.counts[error.status, error.reason or error.code.lower()] += 1
