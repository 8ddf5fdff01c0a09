"""From the model that was asked for to the provider that answers."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from standpipe.errors import BadRequest, NotFound
from standpipe.providers.table import Provider

OPENPIPE = "openpipe:"

#: Prefixes that the hosted service knew (spec 1.4): never a bare model name.
KNOWN_PREFIXES = ("openai", "anthropic", "gemini")


class Target(msgspec.Struct, frozen=True):
    """A model at a provider, and how hard to try."""

    provider: str
    model: str
    retries: int


class Routes:
    """Resolves model names; knows the providers' tables, not their keys or connections."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        routes: Mapping[str, Target],
        aliases: Mapping[str, Target] | None = None,
    ) -> None:
        self._providers = providers
        self._routes = routes
        #: Names that lead somewhere and are not listed.
        self._aliases = aliases or {}
        self._listed = _first_listed(providers)

    def resolve(self, model: str) -> Target:
        """Return the target of `model`.

        Raises NotFound for an `openpipe:` model that does not exist, BadRequest where no provider
        would take the name.
        """
        route = self._routes.get(model) or self._aliases.get(model)
        if route is not None:
            return route
        if model.startswith(OPENPIPE):
            return self._openpipe(model)
        found = self._prefixed(model, ":") or self._prefixed(model, "/") or self._bare(model)
        return found or self._openai(model)

    def names(self) -> list[tuple[str, str]]:
        """Return every model name that is listed, with its owner: routes first."""
        listed = [(name, "route") for name in self._routes]
        return listed + [(name, t.provider) for name, t in self._listed.items()]

    def _openpipe(self, model: str) -> Target:
        slug = model.removeprefix(OPENPIPE)
        found = self._prefixed(slug, "/") or self._routes.get(slug) or self._bare(slug)
        if found is None:
            raise NotFound(
                f"The model `{model}` does not exist", param="model", openai_code="model_not_found"
            )
        return found

    def _prefixed(self, model: str, separator: str) -> Target | None:
        prefix, found, rest = model.partition(separator)
        provider = self._providers.get(prefix) if found and rest else None
        return None if provider is None else Target(prefix, rest, provider.retries)

    def _bare(self, model: str) -> Target | None:
        return self._listed.get(model)

    def _openai(self, model: str) -> Target:
        prefix, found, _ = model.partition(":")
        if found and prefix in KNOWN_PREFIXES and prefix not in self._providers:
            raise BadRequest(_no_provider(prefix), param="model")
        openai = self._providers.get("openai")
        if openai is None:
            raise BadRequest(_no_provider("openai"), param="model")
        return Target("openai", model, openai.retries)


def _first_listed(providers: Mapping[str, Provider]) -> dict[str, Target]:
    listed: dict[str, Target] = {}
    for name, provider in providers.items():
        for model in provider.models:
            listed.setdefault(model, Target(name, model, provider.retries))
    return listed


def overlaps(providers: Mapping[str, Provider]) -> dict[str, list[str]]:
    """Return the bare model names that several providers list, with those providers in order."""
    owners: dict[str, list[str]] = {}
    for name, provider in providers.items():
        for model in provider.models:
            owners.setdefault(model, []).append(name)
    return {model: names for model, names in owners.items() if len(names) > 1}


def _no_provider(name: str) -> str:
    if name == "openai":
        return "Failed to get OpenAI completion: No OpenAI API key found"
    return f"model: no provider {name!r} is configured; add a table [providers.{name}]"
