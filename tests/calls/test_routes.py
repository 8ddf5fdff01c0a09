"""Which provider a model's name leads to."""

from __future__ import annotations

import pytest

from standpipe.calls.routes import Routes, Target, overlaps
from standpipe.errors import BadRequest, NotFound
from standpipe.providers.openai import OpenAI
from standpipe.providers.table import Provider


def provider(name: str, *models: str) -> Provider:
    return Provider(name, OpenAI(), models=models)


PROVIDERS = {
    "acme": provider("acme", "small", "both"),
    "openai": provider("openai"),
    "local": Provider("local", OpenAI(), models=("smol", "both"), retries=0),
}
ROUTES = {
    "fast": Target("acme", "small-v2", 3),
    "openai:gpt-4o": Target("acme", "stand-in", 0),
}


@pytest.mark.parametrize(
    ("model", "target"),
    [
        ("fast", Target("acme", "small-v2", 3)),
        ("openai:gpt-4o", Target("acme", "stand-in", 0)),  # a route wins over every prefix rule
        ("openpipe:fast", Target("acme", "small-v2", 3)),
        ("openpipe:acme/any/model", Target("acme", "any/model", 1)),
        ("openpipe:smol", Target("local", "smol", 0)),
        ("acme:x", Target("acme", "x", 1)),
        ("acme:x:y/z", Target("acme", "x:y/z", 1)),
        ("acme/org/x", Target("acme", "org/x", 1)),
        ("openai:gpt-4", Target("openai", "gpt-4", 1)),
        ("local:smol", Target("local", "smol", 0)),
        ("small", Target("acme", "small", 1)),
        ("both", Target("acme", "both", 1)),  # the first in configuration order
        ("gpt-4", Target("openai", "gpt-4", 1)),
        ("ft:gpt-4o:acme::id", Target("openai", "ft:gpt-4o:acme::id", 1)),
        ("llama3:8b", Target("openai", "llama3:8b", 1)),
        ("acme:", Target("openai", "acme:", 1)),
    ],
)
def test_name_leads_to_its_target(model: str, target: Target) -> None:
    assert Routes(PROVIDERS, ROUTES).resolve(model) == target


@pytest.mark.parametrize(
    "model", ["openpipe:nope", "openpipe:nope/x", "openpipe:", "openpipe:acme/"]
)
def test_openpipe_model_that_is_not_there_is_404_with_the_literal_text(model: str) -> None:
    with pytest.raises(NotFound) as caught:
        Routes(PROVIDERS, ROUTES).resolve(model)
    assert caught.value.message == f"The model `{model}` does not exist"
    assert caught.value.openai_code == "model_not_found"


def test_without_openai_a_bare_name_is_the_literal_400() -> None:
    with pytest.raises(BadRequest) as caught:
        Routes({}, {}).resolve("gpt-4o")
    expected = "Failed to get OpenAI completion: No OpenAI API key found"
    assert caught.value.message == expected


@pytest.mark.parametrize("prefix", ["anthropic", "gemini"])
def test_known_prefix_without_a_provider_is_not_sent_to_openai(prefix: str) -> None:
    with pytest.raises(BadRequest, match=prefix):
        Routes(PROVIDERS, {}).resolve(f"{prefix}:model")


def test_names_are_listed_routes_first_and_once() -> None:
    names = [name for name, _ in Routes(PROVIDERS, ROUTES).names()]
    assert names == ["fast", "openai:gpt-4o", "small", "both", "smol"]
    assert overlaps(PROVIDERS) == {"both": ["acme", "local"]}
