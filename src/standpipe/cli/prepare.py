"""What must be there before the first call: data directory, tables, a project and a key.

Runs as a process of its own, so that the supervisor need not carry the database's libraries.
"""

from __future__ import annotations

import sys

import msgspec

from standpipe import config
from standpipe.cli import stores
from standpipe.cli.prepared import Prepared
from standpipe.config import Settings
from standpipe.errors import ApiError, StandpipeError
from standpipe.store import tokens
from standpipe.store.store import Store


def prepare(settings: Settings) -> Prepared:
    """Make what is missing; leave what is there."""
    with stores.made(settings) as store:
        return _first_key(store, settings)


def _first_key(store: Store, settings: Settings) -> Prepared:
    project = stores.first(store)
    has_keys = bool(store.keys(None))
    if settings.first_key is not None:
        token = settings.first_key.reveal()
        if not has_keys:
            store.add_key(project.id, name="first", read_only=False, token=token)
        return Prepared(given=store.key_by_hash(tokens.hash_token(token)) is not None)
    if has_keys:
        return Prepared()
    _, token = tokens.new_token()
    store.add_key(project.id, name="first", read_only=False, token=token)
    return Prepared(token=token)


def main() -> int:
    """Read the path of the configuration from the command line; answer with one JSON line."""
    path = sys.argv[1] or None
    try:
        prepared = prepare(config.load(path))
    except (StandpipeError, OSError) as error:
        message = error.message if isinstance(error, ApiError) else str(error)
        prepared = Prepared(error=message)
    sys.stdout.buffer.write(msgspec.json.encode(prepared) + b"\n")
    return 1 if prepared.error else 0


if __name__ == "__main__":
    sys.exit(main())
