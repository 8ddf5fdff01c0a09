"""Settings: read once, frozen, handed down in parts. The only reader of file and environment.

Order: environment, `standpipe.toml`, default. Every plain setting is also the variable
`STANDPIPE_<SECTION>_<KEY>`; tables (`providers`, `routes`) are for the file alone.
`docs/configuration.md` has a line for each setting, and a test compares.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
from typing_extensions import override

from standpipe.errors import ConfigError

#: Variables of the environment that are not of the form STANDPIPE_<SECTION>_<KEY>.
SPECIAL_VARIABLES = {
    "STANDPIPE_HOME": "server.home",
    "STANDPIPE_CONFIG": "the path of standpipe.toml",
    "STANDPIPE_API_KEY": "the first key of the default project",
    "OPENAI_API_KEY": "the key of the provider `openai`",
    "OPENAI_BASE_URL": "the base URL of the provider `openai`",
    "HTTPS_PROXY": "proxy for https:// providers",
    "HTTP_PROXY": "proxy for http:// providers",
    "ALL_PROXY": "proxy for all providers",
    "NO_PROXY": "hosts that are reached without a proxy",
}


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
    #: Data directory.
    home: str = ""
    #: Request bodies over this many bytes are refused with 413.
    max_body_bytes: int = 32 * 1024 * 1024
    #: Seconds that running calls have to finish after SIGTERM.
    grace: float = 25.0
    #: Seconds that the head of a request may take.
    header_timeout: float = 10.0
    #: Seconds that a request's body may pause.
    body_timeout: float = 30.0
    #: Seconds that an idle client connection is kept.
    keep_alive: float = 75.0
    #: Offer GET /local-testing-only-get-latest-logged-call (spec 2.5).
    local_testing: bool = False


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


class Route(Section, frozen=True, kw_only=True):
    """A model name of the operator's own."""

    targets: tuple[Target, ...]
    #: How often a failed attempt is tried again, before the first byte only; 0 turns it off.
    retries: int = 1


class Logging(Section, frozen=True, kw_only=True):
    """Which calls keep their text."""

    default: Literal["openpipe", "all", "store-only", "none"] = "openpipe"


class StoreSettings(Section, frozen=True, kw_only=True):
    """The database."""

    #: SQLAlchemy URL; empty for SQLite in the data directory.
    url: str = ""


class SpoolSettings(Section, frozen=True, kw_only=True):
    """The record files."""

    #: Size that a segment is preallocated with.
    segment_bytes: int = 64 * 1024 * 1024


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
    logging: Logging = Logging()
    store: StoreSettings = StoreSettings()
    spool: SpoolSettings = SpoolSettings()
    local: Local = Local()
    #: STANDPIPE_API_KEY, None if not set.
    first_key: Secret | None = None
    #: What the environment says of providers: the variables named `*_API_KEY`, `*_BASE_URL` and
    #: `*_ENDPOINT`.
    variables: dict[str, Secret] = {}
    #: The proxy variables of the environment, by their upper-case names.
    proxies: dict[str, str] = {}
    #: The file that was read, None if there was none.
    file: str | None = None
    #: Where each value that is no default came from, by dotted name.
    sources: dict[str, str] = {}

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
        return self.store.url or f"sqlite:///{self.home.absolute() / 'standpipe.db'}"


#: The sections whose settings are plain values, each also a variable of the environment.
PLAIN_SECTIONS: dict[str, type[Section]] = {
    "server": Server,
    "logging": Logging,
    "store": StoreSettings,
    "spool": SpoolSettings,
    "local": Local,
}

#: Ranges that the types cannot say: dotted name, least, most.
RANGES: tuple[tuple[str, float, float], ...] = (
    ("server.port", 0, 65535),
    ("server.max_body_bytes", 1024, 1 << 30),
    ("server.grace", 0, 3600),
    ("server.header_timeout", 0.1, 3600),
    ("server.body_timeout", 0.1, 3600),
    ("server.keep_alive", 0.1, 86400),
    ("spool.segment_bytes", 1 << 16, 1 << 32),
    ("local.context", 256, 1 << 20),
    ("local.slots", 1, 256),
    ("local.threads", 0, 1024),
    ("local.idle", 0, 1e9),
)


def load(path: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read file and environment.

    `path` None means `STANDPIPE_CONFIG`, else `standpipe.toml` in the working directory if it is
    there. Raises ConfigError on anything unknown, mistyped or out of range, naming it.
    """
    env = os.environ if environ is None else environ
    file = _find_file(path, env)
    tree = _read(file) if file is not None else {}
    origin = str(file) if file is not None else ""
    sources = dict.fromkeys(_leaves(tree), origin)
    _check_names(tree, Settings, "")
    for dotted, name, text in _from_environment(env):
        section, key = dotted.split(".")
        tree.setdefault(section, {})[key] = text
        sources[dotted] = name
    tree.setdefault("server", {}).setdefault("home", str(_default_home(env)))
    settings = _convert(tree, env)
    settings = msgspec.structs.replace(
        settings,
        file=str(file) if file is not None else None,
        sources=sources,
        first_key=_first_key(env),
        proxies=_proxies(env),
        variables=_variables(env),
    )
    _check_values(settings)
    return settings


def variable(dotted: str) -> str:
    """Return the environment variable of a plain setting."""
    if dotted == "server.home":
        return "STANDPIPE_HOME"
    return "STANDPIPE_" + dotted.replace(".", "_").upper()


def plain_settings() -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the default of every plain setting."""
    for section, struct in PLAIN_SECTIONS.items():
        for field in msgspec.structs.fields(struct):
            if get_origin(field.type) is not dict:
                yield f"{section}.{field.name}", field.default


def _find_file(path: str | Path | None, env: Mapping[str, str]) -> Path | None:
    named = path or env.get("STANDPIPE_CONFIG")
    if named:
        file = Path(named)
        if not file.is_file():
            raise ConfigError(f"there is no configuration file {file}")
        return file
    here = Path("standpipe.toml")
    return here if here.is_file() else None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def _check_names(tree: Any, kind: Any, where: str) -> None:
    """Raise ConfigError on a key that `kind` does not have, with the nearest that it has."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(tree, dict):
        hints = get_type_hints(kind)
        known = [name for name in hints if name not in _INTERNAL]
        for key, value in tree.items():
            if key not in known:
                raise ConfigError(_unknown(where + key, key, known))
            _check_names(value, hints[key], f"{where}{key}.")
    elif args := get_args(kind):
        inner = args[1] if isinstance(tree, dict) and len(args) > 1 else args[0]
        for label, value in _items(tree):
            _check_names(value, inner, f"{where}{label}.")


_INTERNAL = frozenset({"first_key", "proxies", "variables", "file", "sources"})


def _items(tree: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        yield from ((str(key), value) for key, value in tree.items())
    elif isinstance(tree, list):
        yield from ((str(index), value) for index, value in enumerate(tree))


def _unknown(dotted: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
    return f"unknown setting {dotted!r}; {hint}"


def _from_environment(env: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield dotted name, variable and text of each setting that the environment gives."""
    names = {variable(dotted): dotted for dotted, _ in plain_settings()}
    for name, text in env.items():
        if not name.startswith("STANDPIPE_") or _is_not_ours(name):
            continue
        if name not in names:
            known = [*names, "STANDPIPE_CONFIG", "STANDPIPE_API_KEY"]
            raise ConfigError(_unknown(name, name, known))
        yield names[name], name, text


def _is_not_ours(name: str) -> bool:
    """Tell variables with a meaning of their own, and those Kubernetes sets for a service."""
    if name in ("STANDPIPE_CONFIG", "STANDPIPE_API_KEY", "STANDPIPE_PORT"):
        return True
    return name.startswith(("STANDPIPE_PORT_", "STANDPIPE_SERVICE_"))


def _variables(env: Mapping[str, str]) -> dict[str, Secret]:
    """Return what the environment says of providers: a known one is there when its key is."""
    ends = ("_API_KEY", "_BASE_URL", "_ENDPOINT")
    ours = "STANDPIPE_"
    return {
        name: Secret(value)
        for name, value in env.items()
        if value and name.endswith(ends) and not name.startswith(ours)
    }


def _default_home(env: Mapping[str, str]) -> Path:
    data = env.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "standpipe"


def _convert(tree: dict[str, Any], env: Mapping[str, str]) -> Settings:
    def secret(kind: type, value: object) -> object:
        if kind is Secret and isinstance(value, str):
            return Secret(_reveal(value, env))
        raise TypeError(f"expected a string, got {type(value).__name__}")

    try:
        return msgspec.convert(tree, Settings, strict=False, dec_hook=secret)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        name = where.strip("`.") or "the configuration"
        raise ConfigError(f"{name}: {what[:1].lower()}{what[1:]}") from error


def _reveal(value: str, env: Mapping[str, str]) -> str:
    if not value.startswith("env:"):
        return value
    name = value.removeprefix("env:")
    found = env.get(name)
    if not found:
        raise ConfigError(f"api_key = {value!r}: the environment variable {name} is not set")
    return found


def _first_key(env: Mapping[str, str]) -> Secret | None:
    text = env.get("STANDPIPE_API_KEY")
    if not text:
        return None
    if len(text) < 16 or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError(
            "STANDPIPE_API_KEY: a key is 16 or more printable ASCII characters without spaces"
        )
    return Secret(text)


def _proxies(env: Mapping[str, str]) -> dict[str, str]:
    names = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
    found = {name: env.get(name) or env.get(name.lower()) for name in names}
    return {name: value for name, value in found.items() if value}


def _check_values(settings: Settings) -> None:
    for dotted, least, most in RANGES:
        section, key = dotted.split(".")
        value = getattr(getattr(settings, section), key)
        if not least <= value <= most:
            raise ConfigError(f"{dotted} = {value}: must be from {least} to {most}")
    for name, provider in settings.providers.items():
        _check_provider(name, provider)
    for name, route in settings.routes.items():
        _check_route(name, route)
    for name, model in settings.local.models.items():
        _check_local(name, model, settings.local.model)


def _check_provider(name: str, provider: Provider) -> None:
    where = f"providers.{name}"
    if name == "local" or name.startswith("local."):
        raise ConfigError(f"{where}: the name `local` is the embedded models'; choose another")
    if not _PROVIDER_NAME.fullmatch(name):
        raise ConfigError(f"{where}: a provider's name is letters, digits, '-', '_' and '.'")
    if provider.base_url:
        _check_url(where, provider.base_url)
    key = provider.api_key.reveal() if provider.api_key else ""
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{where}.api_key: must be printable ASCII")
    _check_limits(where, provider)


def _check_limits(where: str, provider: Provider) -> None:
    for field in msgspec.structs.fields(Timeouts):
        if getattr(provider.timeouts, field.name) <= 0:
            raise ConfigError(f"{where}.timeouts.{field.name}: must be more than 0 seconds")
    if (provider.access_key_id is None) != (provider.secret_access_key is None):
        raise ConfigError(f"{where}: access_key_id and secret_access_key go together")
    if provider.max_connections < 1:
        raise ConfigError(f"{where}.max_connections = {provider.max_connections}: at least 1")


_PROVIDER_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _check_url(where: str, text: str) -> None:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ConfigError(f"{where}.base_url = {text!r}: not an http(s) URL")
    if url.username or url.password or url.query or url.fragment:
        raise ConfigError(f"{where}.base_url: must have no user, password, query or fragment")


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


def _check_route(name: str, route: Route) -> None:
    where = f"routes.{name!r}"
    if len(route.targets) != 1:
        raise ConfigError(f"{where}.targets: exactly one target, got {len(route.targets)}")
    if not 0 <= route.retries <= 10:
        raise ConfigError(f"{where}.retries = {route.retries}: must be from 0 to 10")
