"""What must be there before the first call: seen at a glance, or made by `prepare`."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from standpipe.cli.prepared import Prepared
from standpipe.config import Settings
from standpipe.errors import StandpipeError
from standpipe.store.glance import glance
from standpipe.store.tokens import hash_token

#: Seconds that the store has to answer before the start goes on without it.
PATIENCE_S = 30.0


def prepared(settings: Settings) -> Prepared:
    """Return what there is, having made what was missing.

    Raises ConfigError for a certificate that cannot be used, StandpipeError for what cannot be
    made.
    """
    if settings.server.tls_certificate:
        from standpipe.server.door import door

        door(settings.server)  # whose files must be there before anybody waits at it
    return _there(settings) or _made(settings)


def _there(settings: Settings) -> Prepared | None:
    """Return what a store of today's tables has; None if anything may be missing."""
    if settings.store_file is None:
        return None
    first = settings.first_key
    seen = glance(settings.store_file, hash_token(first.reveal()) if first else None)
    if seen is None or not seen.has_key:
        return None
    if settings.admin_key is not None and not seen.has_admin_key:
        return None
    return Prepared(given=seen.knows_key)


def _made(settings: Settings) -> Prepared:
    argv = [sys.executable, "-m", "standpipe.cli.prepare", settings.file or ""]
    try:
        done = subprocess.run(  # noqa: S603 (our own)
            argv, stdout=subprocess.PIPE, check=False, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        return Prepared(away="it does not answer in time")
    if not done.stdout:
        raise StandpipeError(f"the data directory {settings.home} could not be prepared")
    found = msgspec.json.decode(done.stdout, type=Prepared)
    if found.error:
        raise StandpipeError(found.error)
    return found
