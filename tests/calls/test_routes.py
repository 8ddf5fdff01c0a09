"""Which provider a model's name leads to."""

from __future__ import annotations

import pytest

from standpipe.calls.routes import Route, Routes, Target, overlaps
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


def alone(provider: str, model: str, retries: int, name: str = "") -> Route:
    return Route((Target(provider, model),), retries=retries, name=name)


FAST = Route((Target("acme", "small-v2"), Target("local", "smol")), name="fast")
STAND_IN = alone("acme", "stand-in", 0, "openai:gpt-4o")
ROUTES = {"fast": FAST, "openai:gpt-4o": STAND_IN}


@pytest.mark.parametrize(
    ("model", "route"),
    [
        ("fast", FAST),
        ("openai:gpt-4o", STAND_IN),  # a route wins over every prefix rule
        ("openpipe:fast", FAST),
        ("openpipe:acme/any/model", alone("acme", "any/model", 1)),
        ("openpipe:smol", alone("local", "smol", 0)),
        ("acme:x", alone("acme", "x", 1)),
        ("acme:x:y/z", alone("acme", "x:y/z", 1)),
        ("acme/org/x", alone("acme", "org/x", 1)),
        ("openai:gpt-4", alone("openai", "gpt-4", 1)),
        ("local:smol", alone("local", "smol", 0)),
        ("small", alone("acme", "small", 1)),
        ("both", alone("acme", "both", 1)),  # the first in configuration order
        ("gpt-4", alone("openai", "gpt-4", 1)),
        ("ft:gpt-4o:acme::id", alone("openai", "ft:gpt-4o:acme::id", 1)),
        ("llama3:8b", alone("openai", "llama3:8b", 1)),
        ("acme:", alone("openai", "acme:", 1)),
    ],
)
def test_name_leads_to_its_target(model: str, route: Route) -> None:
    assert Routes(PROVIDERS, ROUTES).resolve(model) == route


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
