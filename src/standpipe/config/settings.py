"""What can be set: plain frozen values, with their defaults."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any, Literal

import msgspec
from typing_extensions import override

#: How the URL of a database that is a file begins.
_SQLITE = "sqlite:///"


class Secret:
    """A string that shows itself to nobody but the one who asks with `reveal`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    @override
    def __repr__(self) -> str:
        return "***"


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the file."""


class Server(Section, frozen=True, kw_only=True):
    """Where Standpipe listens and keeps its data."""

    host: str = "127.0.0.1"
    port: int = 8787
    #: Worker processes behind the port; 0 for one a core.
    workers: int = 1
    #: Data directory.
    home: str = ""
    #: Request bodies over this many bytes are refused with 413.
    max_body_bytes: int = 32 * 1024 * 1024
    #: Seconds that running calls have to finish after SIGTERM, or in a worker that is replaced.
    grace: float = 25.0
    #: Seconds that the head of a request may take.
    header_timeout: float = 10.0
    #: Seconds that a request's body may pause.
    body_timeout: float = 30.0
    #: Seconds that a request's body may take as a whole.
    body_total: float = 600.0
    #: Seconds that an idle client connection is kept.
    keep_alive: float = 75.0
    #: PEM files: the certificate with what leads to its authority, and its key; empty for no TLS.
    tls_certificate: str = ""
    tls_key: str = ""
    #: Networks whose `X-Forwarded-For` and `-Proto`, or `Forwarded`, are believed.
    trusted_proxies: tuple[str, ...] = ()
    #: Origins whose pages a browser lets call us, `*` for all.
    cors_origins: tuple[str, ...] = ()
    #: Offer GET /local-testing-only-get-latest-logged-call (spec 2.5).
    local_testing: bool = False

    @property
    def is_loopback(self) -> bool:
        """Whether nobody can reach it from another machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class Timeouts(Section, frozen=True, kw_only=True):
    """How long a provider may take, in seconds."""

    #: Waiting for a free connection, DNS, TCP, proxy and TLS together.
    connect: float = 5.0
    #: From the request sent to the whole head of the answer.
    first_byte: float = 60.0
    #: Between two pieces of the answer.
    idle: float = 60.0
    #: From the request sent to the end of the answer.
    total: float = 600.0


class Provider(Section, frozen=True, kw_only=True):
    """A place that speaks a dialect."""

    #: Empty for a place that is known by its name.
    base_url: str = ""
    #: Empty for the known place's own, else `openai`.
    dialect: str = ""
    #: "env:NAME", a literal, or absent for a place that wants none.
    api_key: Secret | None = None
    #: Several keys, each as `api_key`, used in turn instead of the one.
    api_keys: tuple[Secret, ...] = ()
    #: AWS's region, for Bedrock.
    region: str = ""
    #: AWS's credentials, each as `api_key`, for a place whose requests are signed.
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    #: What `GET /models` lists, and what a bare model name is looked up in.
    models: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()
    max_connections: int = 1000
    #: PEM file of the authorities to trust, instead of the system's.
    ca_file: str | None = None
    #: Pass `store` and `metadata` on to the provider.
    forward_store: bool = False
    #: Ask for usage on every stream, and take the extra chunk out again if the caller did not ask.
    stream_usage: bool = True


class Target(Section, frozen=True, kw_only=True):
    """A model at a provider."""

    provider: str
    model: str
    #: Its share of the route's calls, beside the other targets' weights.
    weight: float = 1.0
    #: Calls that it has at a time, from all routes; 0 for any number.
    max_in_flight: int = 0
    #: Fields of a request that beat the caller's.
    parameters: dict[str, Any] = {}


class Route(Section, frozen=True, kw_only=True):
    """A model name of the operator's own."""

    targets: tuple[Target, ...]
    #: Tried in this order after the targets.
    fallback: tuple[Target, ...] = ()
    #: How often a failed attempt is made again where no other target is left, before the first byte
    #: only; 0 turns it off.
    retries: int = 1
    #: How the first target of a call is chosen: by weight, or the faster of two chosen by weight.
    choice: Literal["weighted", "fastest"] = "weighted"
    #: The name of the metadata whose values each keep to one target; empty for none.
    sticky: str = ""
    #: Calls that the route has at a time, in all workers of a node; 0 for any number.
    max_in_flight: int = 0
    #: Failures in a row after which a target rests.
    failures: int = 3
    #: Seconds for which it rests; doubled while it fails when it is asked again, up to eight times.
    rest: float = 10.0


class Candidate(Section, frozen=True, kw_only=True):
    """A model that writes drafts."""

    #: As it could be asked for; no mixture.
    model: str
    #: Of its drafts.
    number: int = 1
    temperature: float = 1.0


class Mixture(Section, frozen=True, kw_only=True):
    """A model name of the operator's own behind which several models answer together."""

    candidates: tuple[Candidate, ...]
    #: The model that criticises the drafts; empty for the one that answers.
    critique: str = ""
    #: The model that answers.
    final: str


#: What is kept of a logged call's text.
Content = Literal["full", "redacted", "none"]


class Logging(Section, frozen=True, kw_only=True):
    """Which calls keep their text, and in what form; and what our processes say themselves."""

    default: Literal["openpipe", "all", "store-only", "none"] = "openpipe"
    #: What is kept of the text of a call that is logged; a key may say otherwise.
    content: Content = "full"
    #: How our processes say on standard error what they notice: lines to read, or JSON.
    format: Literal["text", "json"] = "text"
    #: The least of what they say.
    level: Literal["info", "warning", "error"] = "warning"


Pattern = Literal["email", "phone", "card", "iban", "secret"]


class Redaction(Section, frozen=True, kw_only=True):
    """What is taken out of a text that is kept `redacted`."""

    #: Built-in patterns, by name.
    known: tuple[Pattern, ...] = ("email", "phone", "card", "iban", "secret")
    #: Regular expressions of the operator's own, by the name that stands in their place.
    patterns: dict[str, str] = {}
    #: `module:function` from text to text, applied last; empty for none.
    hook: str = ""


class UsageSettings(Section, frozen=True, kw_only=True):
    """What usage is summed up by, beside hour, key and model."""

    #: Names of metadata.
    metadata: tuple[str, ...] = ()


class Price(Section, frozen=True, kw_only=True):
    """What a model costs, in US dollars for a million tokens, as decimal strings."""

    #: Tokens of the prompt.
    input: str
    #: Tokens of the answer.
    output: str
    #: Tokens of the prompt that the provider had cached; empty for `input`.
    cached_input: str = ""
    #: Tokens of the prompt that the provider wrote to its cache; empty for `input`.
    cache_write: str = ""
    #: Tokens of heard audio; empty for `input`.
    input_audio: str = ""
    #: Tokens of spoken audio; empty for `output`.
    output_audio: str = ""


class LimitsSettings(Section, frozen=True, kw_only=True):
    """How the limits of keys and projects are kept."""

    #: URL of the Redis in which several nodes count together; absent for each by itself.
    redis: Secret | None = None
    #: What becomes of limited calls while that Redis is away: they are refused, or counted here.
    when_away: Literal["refuse", "local"] = "refuse"
    #: What becomes of a call whose price is not known where its key or project has a budget.
    unpriced: Literal["allow", "refuse"] = "allow"
    #: URL that is told of budgets that are nearly or wholly spent, and what it is signed with.
    webhook: Secret | None = None
    webhook_secret: Secret | None = None


class StoreSettings(Section, frozen=True, kw_only=True):
    """The database."""

    #: SQLAlchemy URL; empty for SQLite in the data directory.
    url: str = ""
    #: Seconds that keys which a worker knows keep working while the database is away.
    key_grace: float = 3600.0

    @override
    def __repr__(self) -> str:
        # The URL may hold a password.
        return f"StoreSettings(key_grace={self.key_grace})"


class CacheSettings(Section, frozen=True, kw_only=True):
    """The response cache, which calls ask for with `op-cache`."""

    #: URL of the Redis that keeps the answers; absent for the database.
    redis: Secret | None = None
    #: Bytes that the answers of all projects may take there; the oldest go first. 0 for no cache.
    max_bytes: int = 1 << 30
    #: Bytes that the newest answers, and what was asked, may take in each worker's memory.
    memory_bytes: int = 32 * 1024 * 1024


class SpoolSettings(Section, frozen=True, kw_only=True):
    """The record files."""

    #: Size that a segment is preallocated with.
    segment_bytes: int = 64 * 1024 * 1024
    #: What has the record when the last byte of an answer goes out: the kernel, or the disk.
    durability: Literal["process", "disk"] = "process"
    #: What becomes of calls that must be recorded when there is no room: they are refused, or
    #: answered and counted as lost.
    when_full: Literal["refuse", "count"] = "refuse"
    #: Seconds that a segment is kept, compressed, after all of it is in the store.
    keep: float = 0.0


class Retention(Section, frozen=True, kw_only=True):
    """How long records are kept, unless their project says otherwise; 0 is for ever."""

    #: Days that texts are kept.
    content_days: float = 90.0
    #: Days that records are kept: their numbers.
    records_days: float = 730.0
    #: Bytes that a project's texts may take; the oldest go first.
    content_bytes: int = 50 * 1024**3


class Telemetry(Section, frozen=True, kw_only=True):
    """Traces of calls, by OpenTelemetry's conventions."""

    #: Base URL of an OTLP/HTTP receiver, to which `/v1/traces` is added; empty for no traces.
    otlp_endpoint: str = ""
    #: Headers for it by name, each as a provider's `api_key`.
    headers: dict[str, Secret] = {}
    #: Put texts and errors into them too, as far as they are kept.
    content: bool = False
    #: Tell providers of the trace and the span that they are asked in.
    propagate: bool = False


class LocalModel(Section, frozen=True, kw_only=True):
    """A model on this machine, in a process of its own."""

    #: Path of a GGUF file with a chat template.
    gguf: str
    #: Tokens that a conversation may have, prompt and answer together.
    context: int = 8192
    #: Calls that are answered at the same time; more wait.
    slots: int = 4
    #: Threads of the engine; 0 for one less than there are cores.
    threads: int = 0
    #: Seconds without a call after which the model is unloaded; 0 keeps it.
    idle: float = 600.0
    #: Paths of GGUF adapters by name; one answers as `model:name`.
    adapters: dict[str, str] = {}


class Local(Section, frozen=True, kw_only=True):
    """The embedded models, the default one first."""

    enabled: bool = True
    #: Path of a GGUF file; empty for the default model in the data directory.
    gguf: str = ""
    #: The name that callers use.
    model: str = "smollm2-135m-instruct"
    #: Tokens that a conversation may have, prompt and answer together.
    context: int = 8192
    #: Calls that are answered at the same time; more wait.
    slots: int = 4
    #: Threads of the engine; 0 for one less than there are cores.
    threads: int = 0
    #: Seconds without a call after which the model is unloaded; 0 keeps it.
    idle: float = 0.0
    #: Speak and hear for models that only write and read; needs the extra `audio`.
    audio: bool = True
    #: Offer the embedding model; needs the extra `embeddings`.
    embeddings: bool = True
    #: Paths of GGUF adapters of the default model by name; one answers as `model:name`.
    adapters: dict[str, str] = {}
    #: More models, loaded with their first call.
    models: dict[str, LocalModel] = {}

    def chat(self) -> dict[str, LocalModel]:
        """Return every chat model by its name; the default one's `gguf` may be empty."""
        if not self.enabled:
            return {}
        default = LocalModel(
            gguf=self.gguf,
            context=self.context,
            slots=self.slots,
            threads=self.threads,
            idle=self.idle,
            adapters=self.adapters,
        )
        return {self.model: default, **self.models}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set."""

    server: Server = Server()
    providers: dict[str, Provider] = {}
    routes: dict[str, Route] = {}
    mixtures: dict[str, Mixture] = {}
    logging: Logging = Logging()
    store: StoreSettings = StoreSettings()
    limits: LimitsSettings = LimitsSettings()
    cache: CacheSettings = CacheSettings()
    spool: SpoolSettings = SpoolSettings()
    redaction: Redaction = Redaction()
    retention: Retention = Retention()
    usage: UsageSettings = UsageSettings()
    telemetry: Telemetry = Telemetry()
    #: Prices of the operator's own, by `provider/model`.
    prices: dict[str, Price] = {}
    local: Local = Local()
    #: STANDPIPE_API_KEY, None if not set.
    first_key: Secret | None = None
    #: STANDPIPE_ADMIN_KEY, None if not set.
    admin_key: Secret | None = None
    #: What the environment says of providers: the variables named `*_API_KEY`, `*_BASE_URL` and
    #: `*_ENDPOINT`.
    variables: dict[str, Secret] = {}
    #: The proxy variables of the environment, by their upper-case names.
    proxies: dict[str, str] = {}
    #: The file that was read, None if there was none.
    file: str | None = None
    #: What it said; it may hold secrets.
    text: str = ""
    #: Where each value that is no default came from, by dotted name.
    sources: dict[str, str] = {}

    @override
    def __repr__(self) -> str:
        # A proxy's URL may hold a password.
        return f"Settings(file={self.file!r})"

    @property
    def home(self) -> Path:
        """The data directory."""
        return Path(self.server.home)

    @property
    def spool_dir(self) -> Path:
        """Where the record files are."""
        return self.home / "spool"

    @property
    def store_url(self) -> str:
        """The database's URL."""
        return self.store.url or f"{_SQLITE}{self.home.absolute() / 'standpipe.db'}"

    @property
    def store_file(self) -> Path | None:
        """The file that the database is; None for a server."""
        url = self.store_url
        if not url.startswith(_SQLITE):
            return None
        return Path(url.removeprefix(_SQLITE).partition("?")[0])


#: The sections whose settings are plain values, each also a variable of the environment.
PLAIN_SECTIONS: dict[str, type[Section]] = {
    "server": Server,
    "logging": Logging,
    "store": StoreSettings,
    "limits": LimitsSettings,
    "cache": CacheSettings,
    "spool": SpoolSettings,
    "redaction": Redaction,
    "retention": Retention,
    "usage": UsageSettings,
    "telemetry": Telemetry,
    "local": Local,
}
