"""From settings to the places that answer: each provider, the way to it, and the routes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from standpipe.calls.attempts import Upstream
from standpipe.calls.embedded import Absent, Embedded
from standpipe.calls.emulation.speech import Engines as SpeechEngines
from standpipe.calls.emulation.speech import Silence, Speech
from standpipe.calls.mixtures import Member, Mixture
from standpipe.calls.provider_keys import ProviderKey, ProviderKeys
from standpipe.calls.routes import Route, Routes, Target
from standpipe.config import LocalModel, Secret, Settings, Timeouts
from standpipe.config import Mixture as MixtureRow
from standpipe.config import Provider as Row
from standpipe.config import Target as TargetRow
from standpipe.engine.address import Address, Engines
from standpipe.engine.embedding_weights import MODEL as EMBEDDING_MODEL
from standpipe.errors import ConfigError, RequestError
from standpipe.providers.dialect import Dialect, Quirks
from standpipe.providers.known import KNOWN, Known
from standpipe.providers.openai import OpenAI
from standpipe.providers.places import Place
from standpipe.providers.table import DIALECTS, Provider
from standpipe.upstream.pool import Pool
from standpipe.upstream.proxy import proxy_for
from standpipe.upstream.signing import Credentials, Signed, region_of, signer
from standpipe.upstream.transport import Origin, Transport
from standpipe.wire import chat
from standpipe.wire.checks import Issues

#: How long the engine may take: a long answer on one core takes minutes.
ENGINE_TIMEOUTS = Timeouts(connect=5.0, first_byte=600.0, idle=600.0, total=600.0)
#: The provider that the local embedding model is.
EMBEDDINGS = "local.embeddings"


def providers(settings: Settings) -> dict[str, Provider]:
    """Return the providers of completed settings, those of this machine last."""
    found = {name: _provider(name, row) for name, row in settings.providers.items()}
    for name, model in settings.local.chat().items():
        place = local_name(name, settings)
        dialect = _local(model)
        models = (name, *(f"{name}:{adapter}" for adapter in model.adapters))
        found[place] = Provider(place, dialect, models=models, retries=0)
    if settings.local.enabled and settings.local.embeddings:
        found[EMBEDDINGS] = Provider(EMBEDDINGS, OpenAI(), models=(EMBEDDING_MODEL,), retries=0)
    return found


def _local(model: LocalModel) -> Dialect:
    if not model.gguf:
        return DIALECTS["local"]
    from standpipe.providers.local.dialect import Local

    # The default system message and sampling are what the default model needs, no other.
    return Local(system=None, sampling={})


def local_name(model: str, settings: Settings) -> str:
    """Return the name of the provider that a local chat model is."""
    return "local" if model == settings.local.model else f"local.{model}"


def upstreams(settings: Settings, engines: Engines) -> dict[str, Upstream]:
    """Return each provider with the way to it; engines that are not wanted are left out."""
    ways = {local_name(name, settings): where for name, where in engines.chat.items()}
    if engines.embeddings is not None:
        ways[EMBEDDINGS] = engines.embeddings
    found: dict[str, Upstream] = {}
    for name, provider in providers(settings).items():
        if name in settings.providers:
            way = _upstream(provider, settings.providers[name], settings.proxies)
            found[name] = msgspec.structs.replace(way, traced=settings.telemetry.propagate)
        elif name in ways:
            found[name] = _embedded(provider, ways[name])
    return found


def speech(engines: Engines) -> Speech:
    """Return what speaks and hears for models that only write and read."""
    where = engines.audio
    if where is None or where.missing is not None:
        return Silence(where.missing if where and where.missing else "speech is turned off here")
    return SpeechEngines(_pool(where), where.key)


def routing(settings: Settings, known: Mapping[str, Provider]) -> Routes:
    """Return the resolver of model names.

    Raises ConfigError for a route to a provider there is not, for parameters of a target that no
    request may have, and for a mixture of what is no model.
    """
    named = {}
    for name, row in settings.routes.items():
        targets = _targets(f"routes.{name!r}.targets", row.targets, known)
        fallback = _targets(f"routes.{name!r}.fallback", row.fallback, known)
        named[name] = Route(
            targets,
            fallback,
            retries=row.retries,
            choice=row.choice,
            sticky=row.sticky,
            max_in_flight=row.max_in_flight,
            failures=row.failures,
            rest=row.rest,
            name=name,
        )
    routes = Routes(known, named, _aliases(settings), _mixtures(settings))
    for name, mixture in settings.mixtures.items():
        _check_models(f"mixtures.{name!r}", mixture, routes)
    return routes


def _mixtures(settings: Settings) -> dict[str, Mixture]:
    return {
        name: Mixture(
            tuple(Member(each.model, each.number, each.temperature) for each in row.candidates),
            row.critique or row.final,
            row.final,
        )
        for name, row in settings.mixtures.items()
    }


def _check_models(where: str, mixture: MixtureRow, routes: Routes) -> None:
    """Raise ConfigError for a model of a mixture that leads nowhere, or to a mixture."""
    asked = {f"candidates[{n}].model": each.model for n, each in enumerate(mixture.candidates)}
    asked |= {"final": mixture.final, "critique": mixture.critique or mixture.final}
    for key, model in asked.items():
        try:
            routes.resolve(model)
        except RequestError as error:
            raise ConfigError(f"{where}.{key} = {model!r}: {error.message}") from error


def _targets(
    where: str, rows: Iterable[TargetRow], known: Mapping[str, Provider]
) -> tuple[Target, ...]:
    found = []
    for place, row in enumerate(rows):
        if row.provider not in known:
            offered = ", ".join(known) or "none"
            raise ConfigError(f"{where}: no provider {row.provider!r}; there are: {offered}")
        _check_parameters(f"{where}[{place}].parameters", row.parameters)
        found.append(Target(row.provider, row.model, row.weight, row.max_in_flight, row.parameters))
    return tuple(found)


#: Fields that are the caller's own, or ours.
_NOT_PARAMETERS = frozenset(
    (
        *("model", "stream", "stream_options", "store", "metadata", "background"),
        *("messages", "prompt", "input"),
    )
)


def _check_parameters(where: str, parameters: Mapping[str, Any]) -> None:
    issues = Issues()
    for name, value in parameters.items():
        if name in _NOT_PARAMETERS:
            raise ConfigError(f"{where}.{name}: is the caller's to say")
        check = chat.FIELDS.get(name)
        if check is not None:
            check(value, (name,), issues)
    if issues.found:
        raise ConfigError(f"{where}.{issues.found[0][1]}")


def _aliases(settings: Settings) -> dict[str, Route]:
    """Return the prefixed names of the local models beside the default one."""
    found = {}
    for name, model in settings.local.chat().items():
        target = local_name(name, settings)
        for each in (name, *(f"{name}:{adapter}" for adapter in model.adapters)):
            for form in ("local:{}", "local/{}", "openpipe:local/{}"):
                found[form.format(each)] = Route((Target(target, each),), retries=0)
    return found


def _provider(name: str, row: Row) -> Provider:
    known = KNOWN.get(name)
    stream_usage = row.stream_usage and (known is None or known.stream_usage)
    quirks = Quirks(forward_store=row.forward_store, stream_usage=stream_usage)
    return Provider(name, _dialect(name, row, known), models=row.models, quirks=quirks)


def _dialect(name: str, row: Row, known: Known | None) -> Dialect:
    if known is not None and row.dialect == "openai":
        return Place(known, row.base_url)
    dialect = DIALECTS.get(row.dialect)
    if dialect is None or row.dialect == "local":
        offered = ", ".join(sorted(set(DIALECTS) - {"local"}))
        raise ConfigError(f"providers.{name}.dialect = {row.dialect!r}: known are {offered}")
    return dialect


def _upstream(provider: Provider, row: Row, proxies: dict[str, str]) -> Upstream:
    origin = Origin.parse(row.base_url)
    pool = Pool(
        origin,
        timeouts=row.timeouts,
        max_connections=row.max_connections,
        ca_file=Path(row.ca_file) if row.ca_file else None,
        proxy=proxy_for(row.base_url, proxies),
    )
    secrets = row.api_keys or ((row.api_key,) if row.api_key else ())
    transport = (
        _signed(pool, origin, row) if row.access_key_id and not any(map(_reveal, secrets)) else pool
    )
    return Upstream(provider, transport, _keys(provider.dialect, secrets))


def _keys(dialect: Dialect, secrets: Sequence[Secret]) -> ProviderKeys:
    keys: list[str | None] = [secret.reveal() for secret in secrets] or [None]
    places: Iterable[int | None] = range(len(keys)) if len(keys) > 1 else (None,)
    return ProviderKeys(
        ProviderKey(dialect.headers(key), key.encode() if key else None, place)
        for key, place in zip(keys, places, strict=True)
    )


def _signed(pool: Pool, origin: Origin, row: Row) -> Transport:
    """Sign what goes to AWS; ConfigError names what that lacks."""
    region = row.region or region_of(origin.host)
    if region is None:
        raise ConfigError(f"region: is required to sign requests to {origin.host}")
    session = row.session_token.reveal() if row.session_token else None
    credentials = Credentials(_reveal(row.access_key_id), _reveal(row.secret_access_key), session)
    return Signed(pool, origin, signer(credentials, region))


def pools(upstreams: Mapping[str, Upstream]) -> dict[str, Pool]:
    """Return the connections to each provider that has any of its own."""
    ways = {name: each.transport for name, each in upstreams.items()}
    ways = {name: way.transport if isinstance(way, Signed) else way for name, way in ways.items()}
    return {name: way for name, way in ways.items() if isinstance(way, Pool)}


def _reveal(secret: Secret | None) -> str:
    return secret.reveal() if secret else ""


def _embedded(provider: Provider, where: Address) -> Upstream:
    if where.missing is not None:
        return Upstream(provider, Absent(where.missing), _keys(provider.dialect, ()))
    return Upstream(provider, Embedded(_pool(where)), _keys(provider.dialect, [Secret(where.key)]))


def _pool(where: Address) -> Pool:
    origin = Origin.parse(f"http://127.0.0.1:{where.port}/v1")
    return Pool(origin, timeouts=ENGINE_TIMEOUTS)
