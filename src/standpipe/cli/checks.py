"""What `standpipe doctor` looks at: one function a thing, each yields what it found.

A check changes nothing, and no finding shows a key.
"""

from __future__ import annotations

import asyncio
import http.client
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from standpipe.calls import upstreams
from standpipe.calls.content import contents
from standpipe.calls.routes import overlaps
from standpipe.cli import local, reach, stores
from standpipe.config import Settings
from standpipe.engine import weights
from standpipe.errors import ConfigError, StandpipeError
from standpipe.providers.known import KNOWN
from standpipe.server.cores import cores
from standpipe.server.sockets import bind
from standpipe.store.store import Store
from standpipe.store.tokens import hash_token

_MIB = 1 << 20
#: Free bytes below which a disk is worth a word.
_ROOM = 1024 * _MIB
#: The oldest PostgreSQL that we hold partitions in.
_OLDEST_POSTGRES = 13
#: Seconds that our own server may take to answer.
_HEALTH_S = 3.0


@dataclass(frozen=True)
class Finding:
    """What a check found, and for anything but `ok` what to do."""

    state: Literal["ok", "note", "wrong"]
    what: str
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Patient:
    """What the checks look at."""

    settings: Settings
    #: None if it cannot be used, which a check of its own explains.
    store: Store | None
    #: What GET /health of a running Standpipe says, None if none runs.
    health: dict[str, Any] | None


Check = Callable[[Patient], Iterator[Finding]]


def configuration(patient: Patient) -> Iterator[Finding]:
    """Say which file was read and which settings came from elsewhere."""
    settings = patient.settings
    file = settings.file or "no file, defaults"
    variables = sorted({name for name in settings.sources.values() if name != settings.file})
    more = f"; from the environment: {', '.join(variables)}" if variables else ""
    yield Finding("ok", "Configuration", file + more)


def home(patient: Patient) -> Iterator[Finding]:
    """Check that the data directory can be written and has room."""
    settings = patient.settings
    there = next(p for p in (settings.home, *settings.home.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        advice = "give its owner the right to write, or set STANDPIPE_HOME"
        yield Finding("wrong", "Data directory", f"{there}: {error.strerror}", advice)
        return
    made = "" if there == settings.home else ", to be made by `standpipe serve`"
    yield Finding("ok", "Data directory", f"{settings.home}{made}")
    yield _room(there, settings.spool.segment_bytes * (settings.server.workers or cores()))


def _room(directory: Path, segments_bytes: int) -> Finding:
    free = shutil.disk_usage(directory).free
    told = f"{free // _MIB:,} MiB free"
    # Each worker holds a segment and a spare one.
    if free < 2 * segments_bytes:
        return Finding("wrong", "Disk", told, "calls that must be logged get 503: make room")
    if free < _ROOM:
        return Finding("note", "Disk", told, "make room before calls that must be logged get 503")
    return Finding("ok", "Disk", told)


def texts(patient: Patient) -> Iterator[Finding]:
    """Say what is kept of texts, and check that the hook of the redaction is there."""
    contents(patient.settings)
    chosen = patient.settings.logging
    told = f"logging.default = {chosen.default}, logging.content = {chosen.content}"
    yield Finding("ok", "Texts", f"{told}, but for keys that say otherwise")


def store(patient: Patient) -> Iterator[Finding]:
    """Check that the store can be used as it is."""
    settings = patient.settings
    if stores.is_absent(settings):
        yield Finding("note", "Store", f"none at {stores.place(settings)}", "serve makes it")
        return
    try:
        with stores.opened(settings) as store:
            yield _kind_of(store, stores.place(settings))
    except StandpipeError as error:
        yield Finding("wrong", "Store", str(error))


def _kind_of(store: Store, place: str) -> Finding:
    kind, version = store.version()
    if kind != "postgresql":
        return Finding("ok", "Store", place)
    told = f"{place}, PostgreSQL {version}"
    if version < _OLDEST_POSTGRES:
        return Finding("wrong", "Store", told, f"use PostgreSQL {_OLDEST_POSTGRES} or a newer one")
    return Finding("ok", "Store", told)


def keys(patient: Patient) -> Iterator[Finding]:
    """Check that somebody may call."""
    if patient.store is None:
        return
    working = [key for key in patient.store.keys(None) if key.revoked_at is None]
    if not working:
        yield Finding("wrong", "Keys", "none works", "`standpipe keys create` makes one")
    else:
        yield Finding("ok", "Keys", f"{len(working):,} work")
    first = patient.settings.first_key
    if first is not None and patient.store.key_by_hash(hash_token(first.reveal())) is None:
        advice = "callers with it get 401: use one that `standpipe keys create` prints"
        yield Finding("wrong", "STANDPIPE_API_KEY", "is none of the working keys", advice)
    admin = patient.settings.admin_key
    if admin is not None:
        key = patient.store.key_by_hash(hash_token(admin.reveal()))
        if key is None or not key.admin:
            advice = "use one that `standpipe keys create --admin` prints"
            yield Finding("wrong", "STANDPIPE_ADMIN_KEY", "is no admin key that works", advice)


def port(patient: Patient) -> Iterator[Finding]:
    """Check that the port is ours or free."""
    server = patient.settings.server
    place = f"{server.host} port {server.port}"
    if patient.health is not None:
        version = patient.health.get("version")
        yield Finding("ok", "Server", f"Standpipe {version} answers at {place}")
        yield from _told(patient.health)
        return
    try:
        bind(server.host, server.port).close()
    except ConfigError as error:
        yield Finding("wrong", "Server", str(error))
    else:
        yield Finding("ok", "Server", f"not running; {place} is free")


def _told(health: dict[str, Any]) -> Iterator[Finding]:
    """Yield what a running server says is wrong with it."""
    if health.get("store") != "ok":
        yield Finding("wrong", "Server", "it cannot use its store", "calls wait in the spool")
    lost = health.get("records", {}).get("lost")
    if lost:
        yield Finding("wrong", "Server", f"{lost:,} records could not be written", "see its log")


def embedded(patient: Patient) -> Iterator[Finding]:
    """Check the embedded model's extra and weights."""
    settings = patient.settings
    if not settings.local.enabled:
        yield Finding("ok", "Local model", "off")
        return
    lacking = local.lacking(settings)
    file = local.gguf(settings)
    if lacking is not None or file is None:
        yield Finding("note", "Local model", lacking or "", "or set local.enabled = false")
    elif file.name == weights.FILE and not weights.verify(file):
        advice = "delete it and run `standpipe models pull`"
        yield Finding("wrong", "Local model", f"{file} is damaged", advice)
    else:
        yield Finding("ok", "Local model", f"{settings.local.model}, {file}")


def names(patient: Patient) -> Iterator[Finding]:
    """Check what model names lead to."""
    known = upstreams.providers(patient.settings)
    if not known:
        advice = "add a table [providers.<name>] to standpipe.toml, or set OPENAI_API_KEY"
        yield Finding("wrong", "Models", "nothing answers", advice)
    for model, owners in overlaps(known).items():
        advice = f"the bare name is {owners[0]}'s; say {owners[1]}:{model} for the other"
        yield Finding("note", "Models", f"{model} is listed by {', '.join(owners)}", advice)
    try:
        upstreams.routing(patient.settings, known)
    except ConfigError as error:
        yield Finding("wrong", "Routes", str(error), "`standpipe serve` does not start with it")


def providers(patient: Patient) -> Iterator[Finding]:
    """Check that each provider can be reached and has the key that it wants."""
    rows = patient.settings.providers
    faults = asyncio.run(_faults(patient.settings))
    for name, row in rows.items():
        what = f"Provider {name}"
        if faults[name] is not None:
            advice = "check base_url, the network and the proxy variables"
            yield Finding("wrong", what, f"{row.base_url}: {faults[name]}", advice)
        elif row.api_key is None and not row.api_keys:
            yield _keyless(patient.settings, name)
        else:
            keys = f"{len(row.api_keys)} keys are set" if row.api_keys else "a key is set"
            yield Finding("ok", what, f"{row.base_url} can be reached; {keys}")


async def _faults(settings: Settings) -> dict[str, str | None]:
    rows = settings.providers
    found = await asyncio.gather(*(reach.fault(row, settings.proxies) for row in rows.values()))
    return dict(zip(rows, found, strict=True))


def _keyless(settings: Settings, name: str) -> Finding:
    url = settings.providers[name].base_url
    routes = [
        r
        for r, route in settings.routes.items()
        if any(target.provider == name for target in (*route.targets, *route.fallback))
    ]
    used = f"; the routes {', '.join(routes)} lead there" if routes else ""
    told = f"{url} can be reached; no key is set{used}"
    advice = f"if it wants one, set providers.{name}.api_key"
    is_certain = any(url.rstrip("/") == k.base_url and k.key_from for k in KNOWN.values())
    return Finding("wrong" if is_certain else "note", f"Provider {name}", told, advice)


def health(settings: Settings) -> dict[str, Any] | None:
    """Return what a Standpipe at the configured address says; None if there is none."""
    host = settings.server.host
    if host in ("", "0.0.0.0", "::"):
        host = "::1" if host == "::" else "127.0.0.1"
    connection = _connection(host, settings)
    try:
        connection.request("GET", "/health")
        said = msgspec.json.decode(connection.getresponse().read(1 << 16))
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return None
    finally:
        connection.close()
    return said if isinstance(said, dict) and {"version", "records"} <= said.keys() else None


def _connection(host: str, settings: Settings) -> http.client.HTTPConnection:
    port = settings.server.port
    if not settings.server.tls_certificate:
        return http.client.HTTPConnection(host, port, timeout=_HEALTH_S)
    # Whoever has our port is who we ask: its certificate is looked at in a check of its own.
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=_HEALTH_S, context=unverified)
