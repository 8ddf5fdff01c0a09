"""What calls cost: our own counting against the table's, and what the table does not say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata
from typing import Any

import pytest
from genai_prices import Usage as Theirs
from genai_prices.data import providers
from genai_prices.types import ModelInfo, Provider, TimeOfDateConstraint
from hypothesis import given
from hypothesis import strategies as st

from standpipe.config import Price
from standpipe.drain.prices import PLACES, Cost, Prices, Used
from standpipe.providers.known import KNOWN
from standpipe.wire.record import Usage

#: 2026-06-01 12:00 UTC.
NOON = 1_780_315_200
PICO = Decimal("1E-12")
PRICES = Prices()

#: Usages as they come: plain, cached, written, heard, spoken, reasoned, and past every tier.
USAGES = [
    Usage(1000, 500),
    Usage(1, 1),
    Usage(12_345, 678, cached_tokens=10_000, reasoning_tokens=333),
    Usage(250_001, 7, cached_tokens=3),
    Usage(1_000_000, 100_000),
    Usage(20_000, 10, cached_tokens=5000, cache_write_tokens=9000, cache_write_1h_tokens=4000),
    Usage(700, 800, prompt_audio_tokens=600, completion_audio_tokens=500),
    Usage(300),
]


def theirs(usage: Usage) -> Theirs:
    return Theirs(
        input_tokens=usage.prompt_tokens or 0,
        output_tokens=usage.completion_tokens or 0,
        cache_read_tokens=usage.cached_tokens or 0,
        cache_write_tokens=usage.cache_write_tokens or 0,
        cache_write_1h_tokens=usage.cache_write_1h_tokens or 0,
        input_audio_tokens=usage.prompt_audio_tokens or 0,
        output_audio_tokens=usage.completion_audio_tokens or 0,
        output_reasoning_tokens=usage.reasoning_tokens or 0,
        cache_audio_read_tokens=0,
    )


def models() -> Iterator[tuple[str, Provider, ModelInfo]]:
    """Yield every model of the places that we know, under our name of the place."""
    for ours, name in PLACES.items():
        (place,) = (each for each in providers if each.id == name)
        for info in place.models:
            if place.find_model(info.id) is info:
                yield ours, place, info


def cost(
    usage: Usage,
    provider: str | None,
    *names: str,
    at: int = NOON,
    tier: str | None = None,
    prices: Prices = PRICES,
) -> Cost | None:
    return prices.cost([Used(provider, names, usage, tier)], at * 1_000_000)


def dollars(*given: Any, **more: Any) -> Decimal | None:
    found = cost(*given, **more)
    return None if found is None else found.dollars


@pytest.mark.parametrize("tier", [None, "flex", "priority"])
def test_every_model_costs_what_the_table_says_to_the_last_digit(tier: str | None) -> None:
    context = None if tier is None else {"service_tier": tier}
    compared = 0
    for name, place, info in models():
        # The second is a rush hour of some.
        times = (NOON, NOON - 10 * 3600, NOON - 3 * 365 * 86_400)
        for at in times if isinstance(info.prices, list) else times[:1]:
            when = datetime.fromtimestamp(at, UTC)
            listed = vars(info.get_prices(when, context))
            for usage in USAGES:
                found = cost(usage, name, info.id, at=at, tier=tier)
                if not _is_whole(listed, usage):
                    assert found is None, (name, info.id, usage)
                    continue
                told = info.calc_price(
                    theirs(usage), place, genai_request_timestamp=when, price_context=context
                )
                assert found is not None, (name, info.id, usage)
                assert found.dollars == told.total_price.quantize(PICO), (name, info.id, usage)
                compared += 1
    assert compared > 10_000


def _is_whole(listed: dict[str, Any], usage: Usage) -> bool:
    """Tell whether the table prices both ways that tokens go; where it does not, it says 0."""
    ways = (("input_mtok", usage.prompt_tokens), ("output_mtok", usage.completion_tokens))
    return all(listed.get(name) is not None for name, count in ways if count)


def test_prices_change_on_whole_minutes() -> None:
    for _, _, info in models():
        listed = info.prices if isinstance(info.prices, list) else []
        for each in (*listed, *(info.price_variants or ())):
            if isinstance(each.constraint, TimeOfDateConstraint):
                for when in (each.constraint.start_time, each.constraint.end_time):
                    assert (when.second, when.microsecond) == (0, 0)


@given(st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 10**7), st.integers(0, 10**7))
def test_usage_of_any_size_costs_what_the_table_says(
    prompt: int, answer: int, cached: int, written: int
) -> None:
    cached = min(cached, prompt)
    usage = Usage(prompt, answer, None, cached, cache_write_tokens=min(written, prompt - cached))
    (place,) = (each for each in providers if each.id == "anthropic")
    info = place.find_model("claude-sonnet-4-5")
    assert info is not None
    when = datetime.fromtimestamp(NOON, UTC)
    told = info.calc_price(theirs(usage), place, genai_request_timestamp=when)
    assert dollars(usage, "anthropic", info.id) == told.total_price.quantize(PICO)


counts = st.none() | st.integers(0, 10**6)


@given(st.builds(Usage, *[counts] * len(Usage.__struct_fields__)))
def test_figures_that_do_not_add_up_cost_no_more_than_their_dearest_kind(usage: Usage) -> None:
    price = Price(input="3", output="15", cached_input="0.3", cache_write="3.75", input_audio="40")
    found = dollars(usage, "here", "m", prices=Prices({"here/m": price}))
    most = 40 * (usage.prompt_tokens or 0) + 15 * (usage.completion_tokens or 0)
    assert found is not None
    assert 0 <= found <= Decimal(most) / 10**6


def test_the_table_knows_every_place_that_has_prices() -> None:
    local = {"ollama", "vllm", "sglang", "lmstudio", "llamacpp"}
    assert set(PLACES) | local == set(KNOWN)
    assert set(PLACES.values()) <= {each.id for each in providers}


def test_the_version_of_the_table_is_told() -> None:
    found = cost(Usage(1_000_000), "openai", "gpt-4o-mini")
    assert found is not None
    assert found.version == f"genai-prices {metadata.version('genai-prices')}"


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-none-such"),
        ("elsewhere", "gpt-4o-mini"),
        ("local", "smollm2-135m-instruct"),
        ("vllm", "gpt-4o-mini"),
        # It is priced by the hour, and the usage has tokens.
        ("openai", "whisper-1"),
        (None, "none-such"),
    ],
)
def test_what_has_no_price_has_no_cost(provider: str | None, model: str) -> None:
    assert cost(Usage(10, 10), provider, model) is None


def test_the_next_name_is_tried_where_the_first_has_no_price() -> None:
    usage = Usage(1000, 1000)
    found = dollars(usage, "azure", "my-deployment", "gpt-4o-mini")
    assert found == dollars(usage, "openai", "gpt-4o-mini")


def test_a_row_of_the_operators_is_known_by_its_url() -> None:
    prices = Prices(
        urls={"fast": "https://api.groq.com/openai/v1", "openai": "http://127.0.0.1/v1"}
    )
    usage = Usage(1000, 1000)
    model = "llama-3.3-70b-versatile"
    assert dollars(usage, "fast", model, prices=prices) == dollars(usage, "groq", model)
    assert dollars(usage, "openai", "gpt-4o", prices=prices) == dollars(usage, "openai", "gpt-4o")


def test_a_call_that_was_made_elsewhere_is_known_by_its_model() -> None:
    usage = Usage(1000, 1000)
    assert dollars(usage, None, "gpt-4o") == dollars(usage, "openai", "gpt-4o")
    assert dollars(usage, None, "claude-sonnet-4-5") == dollars(
        usage, "anthropic", "claude-sonnet-4-5"
    )


def test_the_operators_price_goes_before_the_tables() -> None:
    price = Price(input="1", output="2", cached_input="0.5", output_audio="10")
    prices = Prices({"openai/gpt-4o": price})
    usage = Usage(100, 100, 200, cached_tokens=40, completion_audio_tokens=30)
    found = cost(usage, "openai", "gpt-4o-2024-08-06", "gpt-4o", prices=prices)
    assert found == Cost(Decimal("0.00052"), "configured")


def test_a_price_of_nothing_is_a_price() -> None:
    prices = Prices({"local/m": Price(input="0", output="0")})
    assert dollars(Usage(5, 5), "local", "m", prices=prices) == 0


def test_answers_of_several_models_cost_their_sum_or_nothing_is_known_of_it() -> None:
    prices = Prices({"a/m": Price(input="1", output="1"), "b/m": Price(input="2", output="2")})
    answers = [Used(place, ("m",), Usage(1_000_000, 0), None) for place in ("a", "b")]
    assert prices.cost(answers, 0) == Cost(Decimal(3), "configured")
    assert prices.cost([*answers, Used("c", ("m",), Usage(1, 1), None)], 0) is None
    assert prices.cost([], 0) is None


def test_a_cost_that_no_column_can_hold_is_not_known() -> None:
    prices = Prices({"a/m": Price(input="999999", output="1")})
    assert dollars(Usage(2**62), "a", "m", prices=prices) is None


@pytest.mark.parametrize("at", [-(10**12), 0, 10**14])
def test_any_time_will_do(at: int) -> None:
    assert cost(Usage(1, 1), "deepseek", "deepseek-chat", at=at) is not None
