"""The providers' rows, whole: the file's, and what a known name and the environment say besides."""

from __future__ import annotations

import re

import msgspec

from standpipe.config import Provider, Secret, Settings
from standpipe.errors import ConfigError
from standpipe.providers.known import KNOWN, enabled

_REGION = re.compile(r"[a-z0-9-]{1,40}")


def completed(settings: Settings) -> Settings:
    """Return the settings with every provider: those configured, then those whose key is set.

    Raises ConfigError for one that is no known place and has no `base_url`.
    """
    found = {name: _whole(name, row, settings) for name, row in settings.providers.items()}
    for known in enabled(settings.variables):
        if known.name not in found:
            found[known.name] = _whole(known.name, Provider(), settings)
    sources = {**settings.sources, **_sources(found, settings)}
    return msgspec.structs.replace(settings, providers=found, sources=sources)


def _sources(found: dict[str, Provider], settings: Settings) -> dict[str, str]:
    """Return which variable told what of which provider."""
    told: dict[str, str] = {}
    for name in found:
        known, row = KNOWN.get(name), settings.providers.get(name, Provider())
        if known is None:
            continue
        if not (row.api_key or row.api_keys) and known.key_from in settings.variables:
            told[f"providers.{name}.api_key"] = str(known.key_from)
        if not row.base_url and known.base_url_from in settings.variables:
            told[f"providers.{name}.base_url"] = str(known.base_url_from)
    return told


def _whole(name: str, row: Provider, settings: Settings) -> Provider:
    known = KNOWN.get(name)
    if known is None:
        if not row.base_url:
            raise ConfigError(f"providers.{name}.base_url: is required; {name!r} is no known place")
        return msgspec.structs.replace(row, dialect=row.dialect or "openai")
    told = _told(known.base_url_from, settings)
    base_url = row.base_url or (told.reveal() if told else known.base_url)
    if not base_url:
        raise ConfigError(f"providers.{name}.base_url: is required, or {known.base_url_from}")
    if "{region}" in base_url:
        base_url = _regional(name, base_url, row.region)
    key = row.api_key or (None if row.api_keys else _told(known.key_from, settings))
    dialect = row.dialect or known.dialect
    return msgspec.structs.replace(row, base_url=base_url, api_key=key, dialect=dialect)


def _regional(name: str, base_url: str, region: str) -> str:
    if not _REGION.fullmatch(region):
        raise ConfigError(f"providers.{name}.region = {region!r}: such as 'us-east-1' is required")
    return base_url.replace("{region}", region)


def _told(name: str | None, settings: Settings) -> Secret | None:
    return settings.variables.get(name) if name else None
