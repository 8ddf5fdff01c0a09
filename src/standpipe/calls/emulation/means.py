"""What emulations work with, beside the target itself."""

from __future__ import annotations

import msgspec

from standpipe.calls.emulation.checker import Checker
from standpipe.calls.emulation.speech import Speech


class Means(msgspec.Struct, frozen=True):
    """The same for every call of a worker."""

    checker: Checker
    speech: Speech
