"""What must be there before the first call: data directory, tables, a project and a key.

Runs as a process of its own, so that the supervisor need not carry the database's libraries. Where
the store is away at the start, it runs again as a child of the supervisor until the store is there.
"""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress

import msgspec

from standpipe import config
from standpipe.cli import stores
from standpipe.cli.prepared import Prepared
from standpipe.config import Settings
from standpipe.errors import ApiError, BadRequest, ConfigError, StandpipeError, StoreUnavailable
from standpipe.store import tokens
from standpipe.store.store import Store

#: Seconds between two tries while the store is away.
PAUSE_S = 1.0

#: The option that makes it a child of the supervisor.
WAIT = "--wait"


def prepare(settings: Settings) -> Prepared:
    """Make what is missing; leave what is there."""
    with stores.made(settings) as store:
        prepared = _first_key(store, settings)
        _admin_key(store, settings)
        return prepared


def _first_key(store: Store, settings: Settings) -> Prepared:
    project = stores.first(store)
    has_keys = bool(store.keys(None))
    if settings.first_key is not None:
        token = settings.first_key.reveal()
        if not has_keys:
            with suppress(BadRequest):  # another node was quicker
                store.add_key(project.id, name="first", read_only=False, token=token)
        return Prepared(given=store.key_by_hash(tokens.hash_token(token)) is not None)
    if has_keys:
        return Prepared()
    _, token = tokens.new_token()
    store.add_key(project.id, name="first", read_only=False, token=token)
    return Prepared(token=token)


def _admin_key(store: Store, settings: Settings) -> None:
    """Make the first admin key where the environment gives one; ConfigError for a plain key."""
    if settings.admin_key is None or any(key.admin for key in store.keys(None)):
        return
    token = settings.admin_key.reveal()
    with suppress(BadRequest):  # another node was quicker
        project = stores.first(store)
        store.add_key(project.id, name="admin", read_only=False, admin=True, token=token)
    key = store.key_by_hash(tokens.hash_token(token))
    if key is None or not key.admin:
        raise ConfigError("STANDPIPE_ADMIN_KEY: was a key before, which cannot become an admin key")


def main() -> int:
    """Read the path of the configuration from the command line; answer with one JSON line."""
    if sys.argv[1] == WAIT:
        return wait()
    path = sys.argv[1] or None
    try:
        prepared = prepare(config.load(path))
    except StoreUnavailable as error:
        sys.stderr.write(f"standpipe: {error}\n")
        prepared = Prepared(away=error.why)
    except (StandpipeError, OSError) as error:
        message = error.message if isinstance(error, ApiError) else str(error)
        prepared = Prepared(error=message)
    sys.stdout.buffer.write(msgspec.json.encode(prepared) + b"\n")
    return 1 if prepared.error else 0


def wait() -> int:
    """Try until the store is there, or the supervisor is not; say what was made."""
    spec = msgspec.json.decode(sys.stdin.buffer.readline())
    settings = config.load(spec["config"])
    sys.stdout.buffer.write(b'{"ready": true}\n')
    sys.stdout.buffer.flush()
    while True:
        try:
            prepared = prepare(settings)
        except StoreUnavailable:
            if _is_alone(PAUSE_S):
                return 0
        except (StandpipeError, OSError) as error:
            sys.stderr.write(f"standpipe: {error}\n")
            return 1
        else:
            sys.stderr.write(_told(prepared))
            return 0


def _is_alone(timeout: float) -> bool:
    """Wait so many seconds; tell whether standard input ended, which is the supervisor's end."""
    return bool(select.select([0], [], [], timeout)[0]) and not os.read(0, 4096)


def _told(prepared: Prepared) -> str:
    if prepared.token is None:
        return "\nthe store is there now\n"
    return f"\nthe store is there now; its first key, shown this once: {prepared.token}\n"


if __name__ == "__main__":
    sys.exit(main())
