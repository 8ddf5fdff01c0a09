"""Which of the settings are secrets, by value; and an environment for those who need none."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from standpipe.config.settings import Secret, Settings

#: A password in a URL, and what stands before it.
_PASSWORD = re.compile(r"(://[^/?#\s:@]*:(?=[^@\s]+@)|[?&]password=)([^@\s]+?(?=@)|[^&\s]+)")
#: What a variable's name says where its value is nobody else's.
_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)


def secrets(settings: Settings) -> tuple[str, ...]:
    """Return the values that nobody may be told: keys, and passwords in URLs, as they are there.

    `settings` are completed ones: a provider's key is in its row.
    """
    shared = [each.reveal() for each in (settings.limits.redis, settings.cache.redis) if each]
    keys = (settings.first_key, settings.admin_key)
    rows = (settings.providers, *keys, settings.limits, settings.cache, settings.telemetry)
    urls = (settings.store.url, *shared, *settings.proxies.values())
    return tuple({*_revealed(rows), *(word for url in urls for word in passwords(url))})


def shareable(env: Mapping[str, str], hidden: Collection[str] = ()) -> dict[str, str]:
    """Return the variables that a process may have which needs no secret.

    Left out are those whose names say so, URLs with a password, and values in `hidden`. What the
    database's own library reads is not ours to judge.
    """
    return {
        name: value
        for name, value in env.items()
        if name.startswith("PG")
        or not (_NAMES.search(name) or _PASSWORD.search(value) or value in hidden)
    }


def without_password(url: str) -> str:
    """Return a URL as it may be shown."""
    return _PASSWORD.sub(r"\1***", url)


def passwords(url: str) -> Iterator[str]:
    """Yield the passwords in a URL, as they are there and as they are meant."""
    for found in _PASSWORD.finditer(url):
        yield from (found[2], unquote(found[2]))


def _revealed(value: Any) -> Iterator[str]:
    """Yield every secret in a value."""
    match value:
        case Secret():
            yield value.reveal()
        case dict():
            for each in value.values():
                yield from _revealed(each)
        case tuple() | list():
            for each in value:
                yield from _revealed(each)
        case msgspec.Struct():
            for name in value.__struct_fields__:
                yield from _revealed(getattr(value, name))
        case _:
            pass
