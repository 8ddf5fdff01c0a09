"""Reads file and environment: the only reader of either.

Order: environment, `standpipe.toml`, default. Every plain setting is also the variable
`STANDPIPE_<SECTION>_<KEY>`; tables (`providers`, `routes`) are for the file alone.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from standpipe.config.checks import check
from standpipe.config.secret import secrets, shareable
from standpipe.config.settings import PLAIN_SECTIONS, Secret, Settings
from standpipe.errors import ConfigError

#: Variables of the environment that are not of the form STANDPIPE_<SECTION>_<KEY>.
SPECIAL_VARIABLES = {
    "STANDPIPE_HOME": "server.home",
    "STANDPIPE_CONFIG": "the path of standpipe.toml",
    "STANDPIPE_API_KEY": "the first key of the default project",
    "STANDPIPE_ADMIN_KEY": "the first admin key",
    "OPENAI_API_KEY": "the key of the provider `openai`",
    "OPENAI_BASE_URL": "the base URL of the provider `openai`",
    "HTTPS_PROXY": "proxy for https:// providers",
    "HTTP_PROXY": "proxy for http:// providers",
    "ALL_PROXY": "proxy for all providers",
    "NO_PROXY": "hosts that are reached without a proxy",
    "NOTIFY_SOCKET": "where systemd hears how the service is",
}


def load(
    path: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    text: str | None = None,
) -> Settings:
    """Read file and environment.

    `path` None means `STANDPIPE_CONFIG`, else `standpipe.toml` in the working directory if it is
    there. With `text` no file is read: it is what the one at `path` said, empty for none. Raises
    ConfigError on anything unknown, mistyped or out of range, naming it.
    """
    env = os.environ if environ is None else environ
    if text is None:
        file = _find_file(path, env)
        text = "" if file is None else _read(file)
    else:
        file = Path(path) if path else None
    tree = _parsed(file, text)
    origin = str(file) if file is not None else ""
    sources = dict.fromkeys(_leaves(tree), origin)
    _check_names(tree, Settings, "")
    for dotted, name, value in _from_environment(env):
        section, key = dotted.split(".")
        tree.setdefault(section, {})[key] = value
        sources[dotted] = name
    tree.setdefault("server", {}).setdefault("home", str(_default_home(env)))
    settings = _convert(tree, env)
    settings = msgspec.structs.replace(
        settings,
        file=str(file) if file is not None else None,
        text=text,
        sources=sources,
        first_key=_key(env, "STANDPIPE_API_KEY"),
        admin_key=_key(env, "STANDPIPE_ADMIN_KEY"),
        proxies=_proxies(env),
        variables=_variables(env),
    )
    check(settings)
    return settings


def variable(dotted: str) -> str:
    """Return the environment variable of a plain setting."""
    if dotted == "server.home":
        return "STANDPIPE_HOME"
    return "STANDPIPE_" + dotted.replace(".", "_").upper()


def shared_environment(settings: Settings | None = None) -> dict[str, str]:
    """Return the environment for a process of ours that needs no secret of the settings."""
    return shareable(os.environ, () if settings is None else secrets(settings))


def notify_socket() -> str | None:
    """Return where who started the service wants to hear of it, None for nowhere (sd_notify)."""
    return os.environ.get("NOTIFY_SOCKET") or None


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


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error


def _parsed(file: Path | None, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error


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


_INTERNAL = frozenset({"first_key", "admin_key", "proxies", "variables", "file", "text", "sources"})


def _items(tree: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        yield from ((str(key), value) for key, value in tree.items())
    elif isinstance(tree, list):
        yield from ((str(index), value) for index, value in enumerate(tree))


def _unknown(dotted: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
    return f"unknown setting {dotted!r}; {hint}"


def _from_environment(env: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
    """Yield dotted name, variable and value of each setting that the environment gives."""
    names = {variable(dotted): dotted for dotted, _ in plain_settings()}
    lists = {dotted for dotted, default in plain_settings() if isinstance(default, tuple)}
    for name, text in env.items():
        if not name.startswith("STANDPIPE_") or _is_not_ours(name):
            continue
        if name not in names:
            known = [*names, *_NO_SETTINGS]
            raise ConfigError(_unknown(name, name, known))
        dotted = names[name]
        yield dotted, name, _listed(text) if dotted in lists else text


def _listed(text: str) -> list[str]:
    return [item for part in text.split(",") if (item := part.strip())]


_NO_SETTINGS = ("STANDPIPE_CONFIG", "STANDPIPE_API_KEY", "STANDPIPE_ADMIN_KEY")


def _is_not_ours(name: str) -> bool:
    """Tell variables with a meaning of their own, and those Kubernetes sets for a service."""
    if name in (*_NO_SETTINGS, "STANDPIPE_PORT"):
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

    def convert(some: dict[str, Any]) -> Settings:
        return msgspec.convert(some, Settings, strict=False, dec_hook=secret)

    try:
        return convert(tree)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        name = _entry(where.strip("`."), tree, convert) or "the configuration"
        raise ConfigError(f"{name}: {what[:1].lower()}{what[1:]}") from error


def _entry(where: str, tree: dict[str, Any], convert: Callable[[dict[str, Any]], Settings]) -> str:
    """Return a place with the name of the entry that msgspec writes as `[...]`."""
    table, is_in_one, _ = where.partition("[...]")
    if not is_in_one or table not in tree:
        return where
    for name, entry in tree[table].items():
        try:
            convert({table: {name: entry}})
        except msgspec.ValidationError:
            return where.replace("[...]", f".{name!r}", 1)
    return where


def _reveal(value: str, env: Mapping[str, str]) -> str:
    if not value.startswith("env:"):
        return value
    name = value.removeprefix("env:")
    found = env.get(name)
    if not found:
        raise ConfigError(f"api_key = {value!r}: the environment variable {name} is not set")
    return found


def _key(env: Mapping[str, str], name: str) -> Secret | None:
    text = env.get(name)
    if not text:
        return None
    if len(text) < 16 or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError(f"{name}: a key is 16 or more printable ASCII characters without spaces")
    return Secret(text)


def _proxies(env: Mapping[str, str]) -> dict[str, str]:
    names = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
    found = {name: env.get(name) or env.get(name.lower()) for name in names}
    return {name: value for name, value in found.items() if value}
