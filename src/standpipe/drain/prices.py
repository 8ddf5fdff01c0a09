"""What calls cost: the operator's prices, else those of the pinned table `genai-prices`.

A model is looked up once and its price then counted with whole numbers (`rates`): the table's own
arithmetic takes longer than all else that the drain does for a call. What is not counted in tokens,
such as searches of the web, is in no usage and so in no cost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache
from importlib import metadata
from typing import TYPE_CHECKING, NamedTuple

from standpipe.config import Price
from standpipe.drain import rates
from standpipe.drain.rates import Tariff
from standpipe.wire.record import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice
    from genai_prices.types import Provider as Place

#: Our names of places, and the table's.
PLACES: Mapping[str, str] = {
    "openai": "openai",
    "azure": "azure",
    "anthropic": "anthropic",
    "gemini": "google",
    "bedrock": "aws",
    "deepseek": "deepseek",
    "mistral": "mistral",
    "groq": "groq",
    "together": "together",
    "fireworks": "fireworks",
    "openrouter": "openrouter",
    "xai": "x-ai",
}
#: The version of a price that the operator set.
CONFIGURED = "configured"

#: Beyond this a cost is nonsense, and no column can hold it.
_LARGEST = 2**63 - 1
#: How many models, and prices of a minute, are remembered.
_REMEMBERED = 4096
_MINUTE_S = 60
#: A minute of the last year that the calendar knows; reports may tell any time.
_LATEST_MINUTE = 253_402_300_799 // _MINUTE_S


class Used(NamedTuple):
    """One answer: where it came from and what it took."""

    #: The provider's name, None for a call that was made elsewhere.
    provider: str | None
    #: The model's names, the most telling first.
    models: tuple[str, ...]
    usage: Usage
    service_tier: str | None


class Cost(NamedTuple):
    """What answers have cost together."""

    #: US dollars, to twelve places.
    dollars: Decimal
    #: Of the prices.
    version: str


#: Of an answer that nobody had to make.
FREE = Cost(Decimal(0), "cache")


class Prices:
    """Knows what models cost.

    `own` has the operator's prices by `provider/model`, `urls` the providers' base URLs by name.
    """

    def __init__(
        self, own: Mapping[str, Price] | None = None, urls: Mapping[str, str] | None = None
    ) -> None:
        self._own = {name: rates.own(price) for name, price in (own or {}).items()}
        self._urls = urls or {}
        self._model = lru_cache(_REMEMBERED)(self._found)
        self._at = lru_cache(_REMEMBERED)(_Model.at)

    def cost(self, answers: Iterable[Used], at: int) -> Cost | None:
        """Return what answers at a time, in microseconds since the Unix epoch, have cost.

        None if there are none, or if the price of any of them is not known.
        """
        total, versions = 0, set()
        for answer in answers:
            tariff, version = self._tariff(answer, at // 1_000_000)
            cost = None if tariff is None else tariff.cost(answer.usage)
            if cost is None:
                return None
            total += cost
            versions.add(version)
        if not versions or total > _LARGEST:
            return None
        version = versions.pop() if len(versions) == 1 else ", ".join(sorted(versions))
        return Cost(Decimal(total).scaleb(-rates.PLACES), version)

    def _tariff(self, answer: Used, second: int) -> tuple[Tariff | None, str]:
        for name in answer.models if self._own else ():
            if tariff := self._own.get(f"{answer.provider}/{name}"):
                return tariff, CONFIGURED
        model = self._model(answer.provider, answer.models, answer.service_tier)
        if model is None:
            return None, ""
        return self._at(model, second // _MINUTE_S), _version()

    def _found(
        self, provider: str | None, names: tuple[str, ...], service_tier: str | None
    ) -> _Model | None:
        for name in names:
            for place in self._places(provider, name):
                if (info := place.find_model(name, all_providers=_table())) and info.prices:
                    return _Model(place, info, service_tier)
        return None

    def _places(self, provider: str | None, model: str) -> list[Place]:
        """Return the places of the table whose prices are a provider's.

        What its URL says goes before its name. Where a reported call was made is told by no more
        than its model.
        """
        if provider is None:
            matches = ((each, each.model_match) for each in _table())
            return [each for each, match in matches if match and match.is_match(model.lower())]
        url = self._urls.get(provider, "")
        there = [each for each in _table() if re.match(each.api_pattern, url)]
        return there or [each for each in _table() if each.id == PLACES.get(provider)]


class _Model:
    """A model of the table, at one of its provider's service tiers."""

    def __init__(self, place: Place, info: ModelInfo, service_tier: str | None) -> None:
        # A model that another place has the price of has none of this place's tiers.
        is_theirs = any(info is each for each in place.models)
        self._info = info
        self._context = {"service_tier": service_tier} if service_tier and is_theirs else None
        prices = info.prices if isinstance(info.prices, list) else ()
        conditional = (*prices, *(info.price_variants or ()))
        #: When its price is another one.
        self._constraints = [each.constraint for each in conditional if each.constraint]
        #: By which of these hold.
        self._tariffs: dict[tuple[bool, ...], Tariff] = {}

    def at(self, minute: int) -> Tariff:
        """Return the tariff of a minute since the Unix epoch; prices change on whole ones."""
        if not self._constraints and self._tariffs:
            return self._tariffs[()]
        when = datetime.fromtimestamp(max(0, min(minute, _LATEST_MINUTE)) * _MINUTE_S, UTC)
        holding = tuple(each.active(when) for each in self._constraints)
        if holding not in self._tariffs:
            self._tariffs[holding] = _tariff(self._info.get_prices(when, self._context))
        return self._tariffs[holding]


def _tariff(price: ModelPrice) -> Tariff:
    """Return a price of the table, which may rise with the length of the prompt."""
    given = {name: value for name, value in vars(price).items() if value is not None}
    tiers = {name: value.tiers for name, value in given.items() if not isinstance(value, Decimal)}
    base = {
        name: value if isinstance(value, Decimal) else value.base for name, value in given.items()
    }
    longer = {}
    for start in sorted({tier.start for found in tiers.values() for tier in found}):
        higher = {
            name: tier.price
            for name, found in tiers.items()
            for tier in found
            if tier.start <= start
        }
        longer[start] = {**base, **higher}
    return rates.tabled(base, longer)


@cache
def _table() -> list[Place]:
    # It takes a fifth of a second to import, and only this needs it.
    from genai_prices.data import providers

    return providers


@cache
def _version() -> str:
    return f"genai-prices {metadata.version('genai-prices')}"
