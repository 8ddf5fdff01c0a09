"""What tokens cost, counted with whole numbers: exact, and a microsecond a call."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from standpipe.config import Price
from standpipe.wire.record import Usage

#: Digits behind the point of a cost.
PLACES = 12
# Rates are whole numbers of 10^-24 dollars: the price of a million tokens may have 18 digits
# behind the point, as a few in the table do.
_RATE_PLACES = 24
_PER_COST: int = 10 ** (_RATE_PLACES - PLACES)
_MILLION = 6
_THOUSAND = 3

#: Where a kind of tokens has no price of its own: what it is priced as, the nearest first.
_PRICED_AS: Mapping[str, tuple[str, ...]] = {
    "input": ("input_mtok",),
    "cached": ("cache_read_mtok", "input_mtok"),
    "written": ("cache_write_mtok", "input_mtok"),
    "written_1h": ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    "heard": ("input_audio_mtok", "input_mtok"),
    "heard_cached": (
        *("cache_audio_read_mtok", "cache_read_mtok"),
        *("input_audio_mtok", "input_mtok"),
    ),
    "output": ("output_mtok",),
    "thought": ("output_reasoning_mtok", "output_mtok"),
    "spoken": ("output_audio_mtok", "output_mtok"),
}
_OWN: Mapping[str, tuple[str, ...]] = {
    "input": ("input",),
    "cached": ("cached_input", "input"),
    "written": ("cache_write", "input"),
    "written_1h": ("cache_write", "input"),
    "heard": ("input_audio", "input"),
    "heard_cached": ("cached_input", "input_audio", "input"),
    "output": ("output",),
    "thought": ("output",),
    "spoken": ("output_audio", "output"),
}


class Rates(NamedTuple):
    """What one token of each kind costs, None where that is not known."""

    input: int | None
    cached: int | None
    written: int | None
    written_1h: int | None
    heard: int | None
    heard_cached: int | None
    output: int | None
    thought: int | None
    spoken: int | None
    #: What a call costs beside its tokens.
    call: int = 0

    def cost(self, usage: Usage) -> int | None:
        """Return the cost in units of 10^-12 dollars; None if a kind that was used has no price."""
        total = self.call
        # What a call costs comes last, and has no count.
        for count, rate in zip(_counts(usage), self, strict=False):
            if count:
                if rate is None:
                    return None
                total += count * rate
        return _rounded(total)


class Tariff(NamedTuple):
    """Rates by the length of the prompt."""

    base: Rates
    #: Rates of prompts longer than so many tokens, the longest first.
    tiers: tuple[tuple[int, Rates], ...] = ()

    def cost(self, usage: Usage) -> int | None:
        """Return the cost in units of 10^-12 dollars; None if a kind that was used has no price."""
        prompt = usage.prompt_tokens or 0
        for start, rates in self.tiers:
            if prompt > start:
                return rates.cost(usage)
        return self.base.cost(usage)


def own(price: Price) -> Tariff:
    """Return the tariff of a price that the operator set."""
    given = {
        name: Decimal(text) for name in price.__struct_fields__ if (text := getattr(price, name))
    }
    return Tariff(_rates(given, _OWN))


def tabled(prices: Mapping[str, Decimal], longer: Mapping[int, Mapping[str, Decimal]]) -> Tariff:
    """Return the tariff of the table's prices by the table's names.

    `longer` has those of prompts longer than so many tokens.
    """
    tiers = ((start, _rates(found, _PRICED_AS)) for start, found in longer.items())
    return Tariff(_rates(prices, _PRICED_AS), tuple(sorted(tiers, reverse=True)))


def _rates(prices: Mapping[str, Decimal], priced_as: Mapping[str, tuple[str, ...]]) -> Rates:
    found = {
        kind: next((_scaled(prices[name], _MILLION) for name in names if name in prices), None)
        for kind, names in priced_as.items()
    }
    return Rates(**found, call=_scaled(prices.get("requests_kcount", Decimal(0)), _THOUSAND))


def _scaled(price: Decimal, per: int) -> int:
    return int(price.scaleb(_RATE_PLACES - per).to_integral_value())


def _counts(usage: Usage) -> tuple[int, ...]:
    """Return how many tokens there are of each kind, each token counted once.

    Where the figures do not add up, the prompt and the answer as a whole are believed. Of audio
    that may have come from a cache, as little is taken to as the figures allow.
    """
    prompt, answer = usage.prompt_tokens or 0, usage.completion_tokens or 0
    if not (
        usage.cache_write_tokens or usage.prompt_audio_tokens or usage.completion_audio_tokens
    ):  # the same, but shorter
        cached = min(usage.cached_tokens or 0, prompt)
        thought = min(usage.reasoning_tokens or 0, answer)
        return (prompt - cached, cached, 0, 0, 0, 0, answer - thought, thought, 0)
    written = min(usage.cache_write_tokens or 0, prompt)
    hour = min(usage.cache_write_1h_tokens or 0, written)
    cached = min(usage.cached_tokens or 0, prompt - written)
    heard = min(usage.prompt_audio_tokens or 0, prompt - written)
    both = max(0, cached + heard + written - prompt)
    plain = prompt - written - cached - heard + both
    spoken = min(usage.completion_audio_tokens or 0, answer)
    thought = min(usage.reasoning_tokens or 0, answer - spoken)
    said = answer - spoken - thought
    return (plain, cached - both, written - hour, hour, heard - both, both, said, thought, spoken)


def _rounded(total: int) -> int:
    """Return a sum of rates in units of a cost, half to even."""
    whole, rest = divmod(total, _PER_COST)
    odd = whole % 2
    return whole + 1 if 2 * rest + odd > _PER_COST else whole
