"""The providers of a LiteLLM configuration: every deployment names its own, many name the same."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from standpipe.cli.litellm.part import Part
from standpipe.cli.litellm.places import Place
from standpipe.providers.known import AZURE_VERSION, KNOWN

Json = dict[str, Any]

_ENVIRONMENT = "os.environ/"
#: LiteLLM's names of AWS's credentials, and ours.
_AWS = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
}
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


class Providers:
    """The rows of `[providers]` so far."""

    def __init__(self, variables: Json, timeout: float | None) -> None:
        #: What the configuration itself says of the environment.
        self._variables = variables
        self._timeout = timeout
        self._rows: dict[str, Json] = {}
        self._keys: dict[str, list[str]] = {}
        #: The row of each place, base URL and account.
        self._names: dict[tuple[str, ...], str] = {}

    def of(self, place: Place, params: Part) -> str:
        """Return the name of the row for a deployment's parameters, which are taken."""
        row = self._row(place, params)
        key = secret(params.take("api_key", str))
        account = (
            place.ours,
            *(str(row.get(name)) for name in ("base_url", "region", *_AWS.values())),
        )
        name = self._names.get(account)
        if name is None:
            name = self._names[account] = self._new(place, row, params)
            self._rows[name] = row
            self._keys[name] = []
        self._set_timeout(name, params)
        self._add_key(name, key or _usual_key(place, name), params)
        return name

    def rows(self) -> dict[str, Json]:
        """Return `[providers]`."""
        return {name: {**row, **self._key(name)} for name, row in self._rows.items()}

    def _row(self, place: Place, params: Part) -> Json:
        row = self._address(place, params)
        for theirs, ours in _AWS.items():
            if value := secret(params.take(theirs, str)):
                row[ours] = value
        version = params.take("api_version", str)
        if version not in (None, AZURE_VERSION):
            why = f"{AZURE_VERSION} is asked for; a base_url that ends in /openai/v1 needs none"
            params.note("api_version", why)
        return row

    def _address(self, place: Place, params: Part) -> Json:
        if place.ours == "bedrock":
            return {"region": self._region(params)}
        base = (self._base(params) or place.base_url).rstrip("/")
        if place.path and base.count("/") == 2:  # the host alone
            base += place.path
        if not base or (place.is_known and base == KNOWN[place.ours].base_url):
            if place.ours == "azure":
                params.note("api_base", "AZURE_OPENAI_ENDPOINT in the environment is read")
            return {}
        return {"base_url": base}

    def _region(self, params: Part) -> str:
        region = self._known_value(params.take("aws_region_name", str) or "")
        if region and not region.startswith(_ENVIRONMENT):
            return region
        params.note("aws_region_name", "us-east-1 is written: look at it")
        return "us-east-1"

    def _base(self, params: Part) -> str:
        found = self._known_value(params.take("api_base", str) or "")
        if not found.startswith(_ENVIRONMENT):
            return found
        variable = found.removeprefix(_ENVIRONMENT)
        why = f"an address is not read from the environment: write what {variable} says"
        params.note("api_base", why)
        return f"https://{_NO_NAME.sub('-', variable).replace('_', '-').lower()}.invalid"

    def _known_value(self, text: str) -> str:
        """Return a value, or what the configuration itself says of its variable."""
        said = self._variables.get(text.removeprefix(_ENVIRONMENT))
        return str(said) if text.startswith(_ENVIRONMENT) and said else text

    def _new(self, place: Place, row: Json, params: Part) -> str:
        wanted = place.ours or _host(row["base_url"])
        name, number = wanted, 1
        while name in self._rows or (name in KNOWN and not place.is_known) or name == "local":
            number += 1
            name = f"{wanted}-{number}"
        if number > 1 and place.is_known:
            self._be_another(place, row, params, name)
        return name

    def _be_another(self, place: Place, row: Json, params: Part, name: str) -> None:
        """Let a second row of a known place say what its name does not."""
        known = KNOWN[place.ours]
        if known.dialect != "openai":
            row["dialect"] = known.dialect
        base: str = row.get("base_url") or known.base_url
        if place.ours == "azure" and not base.endswith("/openai/v1"):
            base += "/openai/v1"
        row["base_url"] = base.replace("{region}", row.get("region", ""))
        params.note(
            "model",
            f"a second {place.ours} is the provider {name!r}: what that place does "
            "otherwise than its dialect is only known of the first",
        )

    def _set_timeout(self, name: str, params: Part) -> None:
        seconds = params.take("timeout", int, float) or self._timeout
        if not seconds or seconds <= 0:
            return
        timeouts = self._rows[name].setdefault("timeouts", {"total": float(seconds)})
        if timeouts["total"] != seconds:
            timeouts["total"] = max(timeouts["total"], float(seconds))
            params.note(
                "timeout", f"is the provider's, not the model's: the longest one is {name}'s"
            )

    def _add_key(self, name: str, key: str | None, params: Part) -> None:
        keys = self._keys[name]
        if key is None or key in keys:
            return
        if not key.startswith("env:"):
            params.note("api_key", "is written as it stands: rather say env:NAME, and set NAME")
        if keys:
            params.note("api_key", f"{name} has several keys: all its models use them in turn")
        keys.append(key)

    def _key(self, name: str) -> Json:
        keys = self._keys[name]
        if len(keys) > 1:
            return {"api_keys": keys}
        return {"api_key": keys[0]} if keys else {}


def secret(text: str | None) -> str | None:
    """Return a secret as we write it."""
    if text and text.startswith(_ENVIRONMENT):
        return f"env:{text.removeprefix(_ENVIRONMENT)}"
    return text or None


def _usual_key(place: Place, name: str) -> str | None:
    """Return where LiteLLM reads a key that is not given, if we would not."""
    known = KNOWN.get(place.ours)
    variable = place.key_from or (known.key_from if known and name != place.ours else None)
    return f"env:{variable}" if variable else None


def _host(url: str) -> str:
    """Return a provider's name for the place of a URL."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    name = _NO_NAME.sub("-", host)[:50] or "place"
    return f"at-{name}" if name.startswith("local.") else name
