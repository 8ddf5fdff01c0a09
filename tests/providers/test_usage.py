"""Whatever the dialect, the same figures mean the same: those of OpenAI."""

from __future__ import annotations

import json
from typing import Any

import pytest

from standpipe.providers.anthropic.dialect import Anthropic
from standpipe.providers.bedrock.dialect import Bedrock
from standpipe.providers.dialect import Dialect
from standpipe.providers.gemini.dialect import Gemini
from standpipe.providers.openai import OpenAI
from standpipe.wire import chat, responses, usage
from standpipe.wire.record import Usage

Json = dict[str, Any]

REQUEST = chat.parse(b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}')


def told(dialect: Dialect, answer: Json) -> Json:
    """Return a whole answer in OpenAI's form."""
    body: Json = json.loads(dialect.completion(json.dumps(answer).encode(), REQUEST).body)
    return body


def openai(counts: Json) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
    frame = {"id": "i", "object": "chat.completion", "created": 1, "model": "m"}
    return told(OpenAI(), {**frame, "choices": [choice], "usage": counts})


def anthropic(counts: Json) -> Json:
    answer = {"type": "message", "content": [{"type": "text", "text": "a"}], "usage": counts}
    return told(Anthropic(), {**answer, "stop_reason": "end_turn"})


def gemini(counts: Json) -> Json:
    candidate = {"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}
    return told(Gemini(), {"candidates": [candidate], "usageMetadata": counts})


def bedrock(counts: Json) -> Json:
    message = {"role": "assistant", "content": [{"text": "a"}]}
    answer = {"output": {"message": message}, "stopReason": "end_turn"}
    return told(Bedrock(), {**answer, "usage": counts})


def responded(counts: Json) -> Json:
    return {"usage": responses.usage(counts)}


#: Of 100 tokens in, 60 were cached and 15 written to the cache; of 30 out, 20 were reasoning.
MEANT = Usage(100, 30, 130, 60, reasoning_tokens=20)
SAID: dict[str, tuple[Json, Usage]] = {
    "openai": (
        openai(
            {
                "prompt_tokens": 100,
                "completion_tokens": 30,
                "total_tokens": 130,
                "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 15},
                "completion_tokens_details": {"reasoning_tokens": 20},
            }
        ),
        Usage(100, 30, 130, 60, reasoning_tokens=20, cache_write_tokens=15),
    ),
    "xai": (
        openai(
            {
                "prompt_tokens": 100,
                "completion_tokens": 10,
                "total_tokens": 130,
                "prompt_tokens_details": {"cached_tokens": 60},
                "completion_tokens_details": {"reasoning_tokens": 20},
            }
        ),
        MEANT,
    ),
    "deepseek": (
        openai(
            {
                "prompt_tokens": 100,
                "completion_tokens": 30,
                "total_tokens": 130,
                "prompt_cache_hit_tokens": 60,
                "prompt_cache_miss_tokens": 40,
                "completion_tokens_details": {"reasoning_tokens": 20},
            }
        ),
        MEANT,
    ),
    "responses": (
        responded(
            {
                "input_tokens": 100,
                "output_tokens": 30,
                "total_tokens": 130,
                "input_tokens_details": {"cached_tokens": 60},
                "output_tokens_details": {"reasoning_tokens": 20},
            }
        ),
        MEANT,
    ),
    "anthropic": (
        anthropic(
            {
                "input_tokens": 25,
                "cache_read_input_tokens": 60,
                "cache_creation_input_tokens": 15,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 10,
                    "ephemeral_1h_input_tokens": 5,
                },
                "output_tokens": 30,
                "output_tokens_details": {"thinking_tokens": 20},
            }
        ),
        Usage(
            *(100, 30, 130, 60),
            reasoning_tokens=20,
            cache_write_tokens=15,
            cache_write_1h_tokens=5,
        ),
    ),
    "bedrock": (
        bedrock(
            {
                "inputTokens": 25,
                "cacheReadInputTokens": 60,
                "cacheWriteInputTokens": 15,
                "cacheDetails": [
                    {"ttl": "1h", "inputTokens": 5},
                    {"ttl": "5m", "inputTokens": 10},
                ],
                "outputTokens": 30,
                "totalTokens": 130,
            }
        ),
        Usage(100, 30, 130, 60, cache_write_tokens=15, cache_write_1h_tokens=5),
    ),
    "gemini": (
        gemini(
            {
                "promptTokenCount": 80,
                "toolUsePromptTokenCount": 20,
                "cachedContentTokenCount": 60,
                "candidatesTokenCount": 10,
                "thoughtsTokenCount": 20,
                "totalTokenCount": 130,
            }
        ),
        MEANT,
    ),
}


@pytest.mark.parametrize("place", SAID)
def test_usage_means_the_same_everywhere(place: str) -> None:
    body, meant = SAID[place]
    assert usage.from_openai(body["usage"]) == meant


@pytest.mark.parametrize(
    ("said", "tier"),
    [("FLEX", "flex"), ("standard", "default"), ("new", None), (7, None), (None, None)],
)
def test_geminis_tier_is_told_in_openais_word(said: object, tier: str | None) -> None:
    counts = {"promptTokenCount": 1, "candidatesTokenCount": 1, "serviceTier": said}
    assert gemini(counts).get("service_tier") == tier
