from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.wire import usage
from standpipe.wire.record import Usage

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = st.sampled_from(
    [
        "prompt_tokens",
        "prompt_tokens_details",
        "prompt_cache_hit_tokens",
        "prompt_cache_miss_tokens",
        "cached_tokens",
        "completion_tokens",
    ]
)


def test_every_field_of_openai_is_read() -> None:
    found = usage.from_openai(
        {
            "prompt_tokens": 10,
            "completion_tokens": 20,
            "total_tokens": 30,
            "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 1},
            "completion_tokens_details": {
                "reasoning_tokens": 5,
                "audio_tokens": 6,
                "text_tokens": 7,
                "accepted_prediction_tokens": 8,
                "rejected_prediction_tokens": 9,
            },
        }
    )
    assert found == Usage(10, 20, 30, 4, 1, 5, 6, 7, 8, 9)


@pytest.mark.parametrize(
    ("given_usage", "cached"),
    [
        ({"prompt_cache_hit_tokens": 3}, 3),
        ({"prompt_tokens": 10, "prompt_cache_miss_tokens": 8}, 2),
        ({"prompt_tokens_details": {"cached_tokens": 0}}, 0),
        ({"prompt_tokens_details": None, "prompt_cache_hit_tokens": 0}, 0),
        ({"prompt_tokens": 10, "prompt_cache_miss_tokens": 11}, None),
        ({"prompt_tokens": 10}, None),
    ],
)
def test_cached_tokens_are_read_in_every_form(
    given_usage: dict[str, Any], cached: int | None
) -> None:
    found = usage.from_openai(given_usage)
    assert found is not None
    assert found.cached_tokens == cached


@pytest.mark.parametrize(
    ("told", "written", "hour"),
    [
        ({"prompt_tokens_details": {"cache_write_tokens": 5}}, 5, None),
        ({"prompt_tokens_details": {"cache_creation_tokens": 5}}, 5, None),
        ({"cache_creation_input_tokens": 5}, 5, None),
        (
            {
                "prompt_tokens_details": {
                    "cache_creation_tokens": 5,
                    "cache_creation_token_details": {
                        "ephemeral_5m_input_tokens": 2,
                        "ephemeral_1h_input_tokens": 3,
                    },
                }
            },
            5,
            3,
        ),
        ({"prompt_tokens_details": {"cache_creation_token_details": 7}}, None, None),
    ],
)
def test_tokens_written_to_a_cache_are_read_in_every_form(
    told: dict[str, Any], written: int | None, hour: int | None
) -> None:
    found = usage.from_openai({"prompt_tokens": 9, **told})
    assert found is not None
    assert (found.cache_write_tokens, found.cache_write_1h_tokens) == (written, hour)


@pytest.mark.parametrize(
    ("total", "completion"),
    # xAI counts reasoning beside the completion, others in it.
    [(10 + 20 + 30, 50), (10 + 20, 20), (None, 20), (99, 20)],
)
def test_reasoning_is_part_of_the_completion(total: int | None, completion: int) -> None:
    found = usage.from_openai(
        {
            "prompt_tokens": 10,
            "completion_tokens": 20,
            "total_tokens": total,
            "completion_tokens_details": {"reasoning_tokens": 30},
        }
    )
    assert found is not None
    assert found.completion_tokens == completion
    assert found.reasoning_tokens == 30


def test_sums_have_every_figure_that_either_has() -> None:
    one, other = Usage(1, 2, 3, cached_tokens=4), Usage(10, None, 30, reasoning_tokens=5)
    assert usage.added(one, other) == Usage(11, 2, 33, cached_tokens=4, reasoning_tokens=5)


@pytest.mark.parametrize(
    ("told", "guess", "settled"),
    [
        (None, None, (None, None)),
        (None, Usage(1, 2, 3), (Usage(1, 2, 3), "estimated")),
        (Usage(7, 1, 8), None, (Usage(7, 1, 8), "provider")),
        (Usage(7, 1, 8, 3), Usage(6, 5, 11), (Usage(7, 5, 12, 3), "estimated")),
        (Usage(7, 9, 16), Usage(6, 5, 11), (Usage(7, 9, 16), "provider")),
    ],
)
def test_an_answer_that_broke_off_used_what_was_told_or_seen(
    told: Usage | None, guess: Usage | None, settled: tuple[Usage | None, str | None]
) -> None:
    assert usage.settled(told, guess) == settled


@pytest.mark.parametrize(
    ("cost", "text"),
    [("0", "0"), ("100", "100"), ("1E-12", "0.000000000001"), ("0.5000", "0.5")],
)
def test_dollars_have_every_digit_and_no_more(cost: str, text: str) -> None:
    assert usage.dollars(Decimal(cost)) == text


def test_counts_reported_as_floats_are_whole() -> None:
    assert usage.from_openai({"prompt_tokens": 3.0}) == Usage(prompt_tokens=3)


@pytest.mark.parametrize(
    "nothing",
    [
        None,
        [],
        "9",
        7,
        {},
        {"prompt_tokens": "9"},
        {"prompt_tokens": True},
        {"prompt_tokens": -1},
        {"prompt_tokens": 1.5},
        {"prompt_tokens": float("nan")},
        {"prompt_tokens": float("inf")},
        {"prompt_tokens": 10**12 + 1},
        {"completion_tokens_details": [1]},
    ],
)
def test_what_says_nothing_is_none(nothing: object) -> None:
    assert usage.from_openai(nothing) is None


def test_deepseek_figures_fill_the_openai_form() -> None:
    found = usage.complete(
        {"prompt_tokens": 10, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 6}
    )
    assert found["prompt_tokens_details"] == {"cached_tokens": 4}


def test_openai_figures_fill_the_deepseek_form() -> None:
    given_usage = {
        "prompt_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 2},
    }
    found = usage.complete(given_usage)
    assert (found["prompt_cache_hit_tokens"], found["prompt_cache_miss_tokens"]) == (4, 6)
    assert found["prompt_tokens_details"] == {"cached_tokens": 4, "audio_tokens": 2}
    assert "prompt_cache_hit_tokens" not in given_usage


@pytest.mark.parametrize(
    "unchanged",
    [
        {"prompt_tokens": 10},
        {"prompt_tokens": 10, "prompt_tokens_details": {"audio_tokens": 2}},
        {"prompt_tokens_details": {"cached_tokens": "4"}},
        {
            "prompt_tokens": 10,
            "prompt_cache_hit_tokens": 4,
            "prompt_cache_miss_tokens": 6,
            "prompt_tokens_details": {"cached_tokens": 4},
        },
        {},
    ],
)
def test_same_object_comes_back_when_there_is_nothing_to_add(unchanged: dict[str, Any]) -> None:
    assert usage.complete(unchanged) is unchanged


def test_misses_are_not_invented_when_the_figures_disagree() -> None:
    found = usage.complete({"prompt_tokens": 3, "prompt_cache_hit_tokens": 4})
    assert "prompt_cache_miss_tokens" not in found


@given(st.dictionaries(NAMES, st.integers(0, 100) | st.dictionaries(NAMES, JUNK) | JUNK))
def test_completing_changes_no_figure_and_is_done_after_once(given_usage: dict[str, Any]) -> None:
    found = usage.complete(given_usage)
    assert usage.complete(found) is found
    for name, value in given_usage.items():
        if value is not None and not isinstance(value, dict):
            assert found[name] is value
    usage.from_openai(given_usage)


@pytest.mark.parametrize(("chars", "tokens"), [(-1, 0), (0, 0), (1, 1), (4, 1), (5, 2), (400, 100)])
def test_estimate(chars: int, tokens: int) -> None:
    assert usage.estimate(chars) == tokens
