"""From the model that was asked for to the provider that answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from standpipe.calls.mixtures import Mixture, hosted
from standpipe.errors import BadRequest, NotFound
from standpipe.providers.table import Provider

OPENPIPE = "openpipe:"

#: Prefixes that the hosted service knew (spec 1.4): never a bare model name.
KNOWN_PREFIXES = ("openai", "anthropic", "gemini")


class Target(msgspec.Struct, frozen=True):
    """A model at a provider."""

    provider: str
    model: str
    #: Its share of the calls, beside the other targets' weights.
    weight: float = 1.0
    #: Calls at a time; 0 for any number.
    max_in_flight: int = 0
    #: Fields of a request that beat the caller's.
    parameters: Mapping[str, Any] = {}


class Route(msgspec.Struct, frozen=True):
    """Where a model's name leads, and how hard to try."""

    targets: tuple[Target, ...]
    #: Tried in this order after the targets.
    fallback: tuple[Target, ...] = ()
    #: How often a failed attempt is made again at the last target that is left.
    retries: int = 1
    choice: Literal["weighted", "fastest"] = "weighted"
    #: The name of the metadata whose values each keep to one target; empty for none.
    sticky: str = ""
    #: Calls at a time; 0 for any number.
    max_in_flight: int = 0
    #: Failures in a row after which a target rests, and for how many seconds.
    failures: int = 3
    rest: float = 10.0
    #: Empty for a model that is no route of the operator's.
    name: str = ""

    @property
    def is_plain(self) -> bool:
        """Tell a route of one target on which there is nothing to choose and nothing to count."""
        if not self.name:
            return True
        several = len(self.targets) > 1 or self.fallback
        return not (several or self.max_in_flight or self.targets[0].max_in_flight)


class Routes:
    """Resolves model names; knows the providers' tables, not their keys or connections."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        routes: Mapping[str, Route],
        aliases: Mapping[str, Route] | None = None,
        mixtures: Mapping[str, Mixture] | None = None,
    ) -> None:
        self._providers = providers
        self._routes = routes
        #: Names that lead somewhere and are not listed.
        self._aliases = aliases or {}
        #: The operator's by their names, which are listed, and all by what they are asked for by.
        self._own_mixtures = mixtures or {}
        self._mixtures = _named(self._own_mixtures)
        self._listed = _first_listed(providers)

    def resolve(self, model: str) -> Route:
        """Return the route of `model`; of one that is no route's name, a route of one target.

        Raises NotFound for an `openpipe:` model that does not exist, BadRequest where no provider
        would take the name, and for a mixture, which is no one model.
        """
        route = self._routes.get(model) or self._aliases.get(model)
        if route is not None:
            return route
        if model in self._mixtures:
            raise BadRequest(_no_one_model(model), param="model")
        if model.startswith(OPENPIPE):
            return self._openpipe(model)
        found = self._prefixed(model, ":") or self._prefixed(model, "/") or self._bare(model)
        return found or self._openai(model)

    def mixture(self, model: str) -> Mixture | None:
        """Return the mixture of a name, None for one that is a model or nothing."""
        return None if model in self._routes else self._mixtures.get(model)

    def own(self) -> Iterable[Route]:
        """Return the operator's routes."""
        return self._routes.values()

    def names(self) -> list[tuple[str, str]]:
        """Return every model name that is listed, with its owner: routes first."""
        listed = [(name, "route") for name in self._routes]
        listed += [(name, "mixture") for name in self._own_mixtures]
        return listed + [(name, r.targets[0].provider) for name, r in self._listed.items()]

    def _openpipe(self, model: str) -> Route:
        slug = model.removeprefix(OPENPIPE)
        found = self._prefixed(slug, "/") or self._routes.get(slug) or self._bare(slug)
        if found is None:
            raise NotFound(
                f"The model `{model}` does not exist", param="model", openai_code="model_not_found"
            )
        return found

    def _prefixed(self, model: str, separator: str) -> Route | None:
        prefix, found, rest = model.partition(separator)
        provider = self._providers.get(prefix) if found and rest else None
        return None if provider is None else _alone(prefix, rest, provider.retries)

    def _bare(self, model: str) -> Route | None:
        return self._listed.get(model)

    def _openai(self, model: str) -> Route:
        prefix, found, _ = model.partition(":")
        if found and prefix in KNOWN_PREFIXES and prefix not in self._providers:
            raise BadRequest(_no_provider(prefix), param="model")
        openai = self._providers.get("openai")
        if openai is None:
            raise BadRequest(_no_provider("openai"), param="model")
        return _alone("openai", model, openai.retries)


def _named(mixtures: Mapping[str, Mixture]) -> dict[str, Mixture]:
    prefixed = {f"{OPENPIPE}{name}": each for name, each in mixtures.items()}
    return {**hosted(), **prefixed, **mixtures}


def _no_one_model(name: str) -> str:
    return (
        f"model: {name[:256]!r} is a mixture, which answers chat completions; "
        "it is no fallback and in no other mixture"
    )


def _alone(provider: str, model: str, retries: int) -> Route:
    return Route((Target(provider, model),), retries=retries)


def _first_listed(providers: Mapping[str, Provider]) -> dict[str, Route]:
    listed: dict[str, Route] = {}
    for name, provider in providers.items():
        for model in provider.models:
            listed.setdefault(model, _alone(name, model, provider.retries))
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
