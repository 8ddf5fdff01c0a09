"""What the types of the settings cannot say: ranges, names, URLs."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

import msgspec

from standpipe.config.secret import without_password
from standpipe.config.settings import (
    LimitsSettings,
    LocalModel,
    Mixture,
    Price,
    Provider,
    Redaction,
    Route,
    Secret,
    Server,
    Settings,
    Target,
    Telemetry,
    Timeouts,
)
from standpipe.errors import ConfigError

#: Ranges that the types cannot say: dotted name, least, most.
RANGES: tuple[tuple[str, float, float], ...] = (
    ("server.port", 0, 65535),
    ("server.workers", 0, 256),
    ("server.max_body_bytes", 1024, 1 << 30),
    ("server.grace", 0, 3600),
    ("server.header_timeout", 0.1, 3600),
    ("server.body_timeout", 0.1, 3600),
    ("server.body_total", 0.1, 86400),
    ("server.keep_alive", 0.1, 86400),
    ("cache.max_bytes", 0, 1 << 60),
    ("cache.memory_bytes", 0, 1 << 40),
    ("spool.segment_bytes", 1 << 16, 1 << 32),
    ("spool.keep", 0, 1e9),
    ("store.key_grace", 0, 1e9),
    ("retention.content_days", 0, 1e6),
    ("retention.records_days", 0, 1e6),
    ("retention.content_bytes", 0, 1 << 60),
    ("local.context", 256, 1 << 20),
    ("local.slots", 1, 256),
    ("local.threads", 0, 1024),
    ("local.idle", 0, 1e9),
)


def check(settings: Settings) -> None:
    """Raise ConfigError on a value that cannot be used, naming it."""
    for dotted, least, most in RANGES:
        section, key = dotted.split(".")
        value = getattr(getattr(settings, section), key)
        if not least <= value <= most:
            raise ConfigError(f"{dotted} = {value}: must be from {least} to {most}")
    _check_keys(settings)
    _check_door(settings.server)
    for name, provider in settings.providers.items():
        _check_provider(name, provider)
    for name, route in settings.routes.items():
        _check_route(name, route)
    _check_mixtures(settings)
    for name, price in settings.prices.items():
        _check_price(name, price)
    if "" in settings.usage.metadata:
        raise ConfigError("usage.metadata: a name of metadata cannot be empty")
    _check_redaction(settings.redaction)
    _check_telemetry(settings.telemetry)
    _check_redis("cache.redis", settings.cache.redis)
    _check_limits_kept(settings.limits)
    for name, model in settings.local.models.items():
        _check_local(name, model, settings.local.model)


def _check_door(server: Server) -> None:
    if bool(server.tls_certificate) != bool(server.tls_key):
        raise ConfigError("server: tls_certificate and tls_key go together")
    for network in server.trusted_proxies:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ConfigError(f"server.trusted_proxies: {error}") from error
    for origin in server.cors_origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ConfigError(
                f"server.cors_origins: {origin!r} is no origin, such as https://app.example "
                "(no path, no slash at its end, small letters), and not *"
            )


# What a browser sends: no path, no default port spelt in another way.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?")


def _check_provider(name: str, provider: Provider) -> None:
    where = f"providers.{name}"
    if name == "local" or name.startswith("local."):
        raise ConfigError(f"{where}: the name `local` is the embedded models'; choose another")
    if not _PROVIDER_NAME.fullmatch(name):
        raise ConfigError(f"{where}: a provider's name is letters, digits, '-', '_' and '.'")
    if provider.base_url:
        _check_url(f"{where}.base_url", provider.base_url)
    if provider.api_key and provider.api_keys:
        raise ConfigError(f"{where}: api_key and api_keys are two ways to say the same; keep one")
    _check_key(f"{where}.api_key", provider.api_key)
    for place, key in enumerate(provider.api_keys):
        _check_key(f"{where}.api_keys[{place}]", key)
    _check_limits(where, provider)


def _check_key(where: str, secret: Secret | None) -> None:
    key = secret.reveal() if secret else ""
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{where}: must be printable ASCII")


def _check_limits(where: str, provider: Provider) -> None:
    for field in msgspec.structs.fields(Timeouts):
        if getattr(provider.timeouts, field.name) <= 0:
            raise ConfigError(f"{where}.timeouts.{field.name}: must be more than 0 seconds")
    if (provider.access_key_id is None) != (provider.secret_access_key is None):
        raise ConfigError(f"{where}: access_key_id and secret_access_key go together")
    if provider.max_connections < 1:
        raise ConfigError(f"{where}.max_connections = {provider.max_connections}: at least 1")


_PROVIDER_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _check_telemetry(telemetry: Telemetry) -> None:
    if telemetry.otlp_endpoint:
        _check_url("telemetry.otlp_endpoint", telemetry.otlp_endpoint)
    elif telemetry.propagate:
        raise ConfigError(
            "telemetry.propagate = true: needs telemetry.otlp_endpoint; a span that nobody hears "
            "of would break its trace in two"
        )
    for name, value in telemetry.headers.items():
        if not _HEADER.fullmatch(name):
            raise ConfigError(f"telemetry.headers: {name!r} is no name of a header")
        _check_key(f"telemetry.headers.{name}", value)


_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _check_url(where: str, text: str) -> None:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname:
        shown = without_password(text)
        raise ConfigError(f"{where} = {shown!r}: not an http(s) URL")
    if url.username or url.password or url.query or url.fragment:
        raise ConfigError(f"{where}: must have no user, password, query or fragment")


def _check_local(name: str, model: LocalModel, default: str) -> None:
    where = f"local.models.{name}"
    if name == default or not _PROVIDER_NAME.fullmatch(name):
        raise ConfigError(
            f"{where}: a local model's name is letters, digits, '-', '_' and '.', "
            f"and not the default one's ({default})"
        )
    for dotted, least, most in RANGES:
        section, key = dotted.split(".")
        if section == "local" and not least <= getattr(model, key) <= most:
            value = getattr(model, key)
            raise ConfigError(f"{where}.{key} = {value}: must be from {least} to {most}")


def _check_price(name: str, price: Price) -> None:
    if "/" not in name:
        raise ConfigError(f"prices.{name!r}: a price is that of a `provider/model`")
    for field in msgspec.structs.fields(Price):
        value = getattr(price, field.name)
        if value and not _DOLLARS.fullmatch(value):
            raise ConfigError(
                f"prices.{name!r}.{field.name} = {value!r}: must be dollars for a million tokens "
                'as a string, such as "0.15"'
            )


def _check_keys(settings: Settings) -> None:
    first, admin = settings.first_key, settings.admin_key
    if first and admin and first.reveal() == admin.reveal():
        raise ConfigError("STANDPIPE_ADMIN_KEY: must be another than STANDPIPE_API_KEY")


def _check_limits_kept(limits: LimitsSettings) -> None:
    _check_redis("limits.redis", limits.redis)
    if limits.webhook is None:
        return
    url = urlsplit(limits.webhook.reveal())
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ConfigError("limits.webhook: not an http(s) URL")
    if not (limits.webhook_secret and limits.webhook_secret.reveal()):
        raise ConfigError("limits.webhook: needs limits.webhook_secret, by which it is signed")


def _check_redis(where: str, url: Secret | None) -> None:
    if url and not url.reveal().startswith(_REDIS):
        raise ConfigError(f"{where}: must be a URL that begins with {', '.join(_REDIS)}")


_REDIS = ("redis://", "rediss://", "unix://")


# Six places behind the point for a million tokens are twelve for one, which is what is summed.
_DOLLARS = re.compile(r"\d{1,6}(\.\d{1,6})?")


def _check_redaction(redaction: Redaction) -> None:
    for name, pattern in redaction.patterns.items():
        where = f"redaction.patterns.{name}"
        if not _PATTERN_NAME.fullmatch(name):
            raise ConfigError(f"{where}: a name is letters, digits, '-' and '_', 32 at most")
        try:
            form = re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise ConfigError(
                f"{where} = {pattern!r}: is no regular expression: {error}"
            ) from error
        if form.search(""):
            raise ConfigError(f"{where} = {pattern!r}: finds nothing at all, and so everywhere")
    if redaction.hook and not _HOOK.fullmatch(redaction.hook):
        raise ConfigError(f"redaction.hook = {redaction.hook!r}: must be module:function")


_PATTERN_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_HOOK = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def _check_route(name: str, route: Route) -> None:
    where = f"routes.{name!r}"
    if not route.targets:
        raise ConfigError(f"{where}.targets: at least one target")
    for key, least, most in _ROUTE_RANGES:
        value = getattr(route, key)
        if not least <= value <= most:
            raise ConfigError(f"{where}.{key} = {value}: must be from {least} to {most}")
    for place, target in enumerate(route.targets):
        _check_target(f"{where}.targets[{place}]", target)
    for place, target in enumerate(route.fallback):
        _check_target(f"{where}.fallback[{place}]", target)
        if target.weight != 1:
            raise ConfigError(f"{where}.fallback[{place}].weight: they are tried in their order")


def _check_mixtures(settings: Settings) -> None:
    for name, mixture in settings.mixtures.items():
        if not name or name in settings.routes:
            raise ConfigError(f"mixtures.{name!r}: must have a name that is no route's")
        _check_mixture(f"mixtures.{name!r}", mixture)


def _check_mixture(where: str, mixture: Mixture) -> None:
    if not mixture.final:
        raise ConfigError(f"{where}.final: the model that answers is needed")
    for place, each in enumerate(mixture.candidates):
        for key, least, most in _CANDIDATE_RANGES:
            value = getattr(each, key)
            if not least <= value <= most:
                raise ConfigError(
                    f"{where}.candidates[{place}].{key} = {value}: must be from {least} to {most}"
                )
    drafts = sum(each.number for each in mixture.candidates)
    if not 1 <= drafts <= _MOST_DRAFTS:
        raise ConfigError(f"{where}.candidates: {drafts} drafts: must be 1 to {_MOST_DRAFTS}")


#: Of a mixture.
_MOST_DRAFTS = 16
_CANDIDATE_RANGES: tuple[tuple[str, float, float], ...] = (
    ("number", 1, _MOST_DRAFTS),
    ("temperature", 0, 2),
)


def _check_target(where: str, target: Target) -> None:
    if not 0 < target.weight <= _MOST_WEIGHT:
        raise ConfigError(
            f"{where}.weight = {target.weight}: must be over 0 and at most {_MOST_WEIGHT:,}"
        )
    if target.max_in_flight < 0:
        raise ConfigError(f"{where}.max_in_flight = {target.max_in_flight}: must not be under 0")


_MOST_WEIGHT = 1_000_000
_ROUTE_RANGES: tuple[tuple[str, float, float], ...] = (
    ("retries", 0, 10),
    ("max_in_flight", 0, 1_000_000),
    ("failures", 1, 1000),
    ("rest", 0.1, 86400),
)
