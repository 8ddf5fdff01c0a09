"""LiteLLM's names of places, as data: what stands before the first slash of a model, and ours."""

from __future__ import annotations

import re
from typing import NamedTuple

from standpipe.providers.known import KNOWN


class Place(NamedTuple):
    """Where a prefix leads."""

    #: Our name of it: a known place, or a new one.
    ours: str
    #: Of a place that we do not know.
    base_url: str = ""
    #: The variable that LiteLLM reads the key from, where we would not.
    key_from: str = ""
    #: What an `api_base` lacks of our `base_url`.
    path: str = ""

    @property
    def is_known(self) -> bool:
        """Whether we know what it does otherwise than its dialect."""
        return self.ours in KNOWN


PLACES: dict[str, Place] = {
    **{name: Place(name) for name in KNOWN if name not in {"lmstudio", "llamacpp"}},
    "azure": Place("azure", key_from="AZURE_API_KEY"),
    "anthropic": Place("anthropic", path="/v1"),
    "gemini": Place("gemini", path="/v1beta"),
    "ollama": Place("ollama", path="/v1"),
    "ollama_chat": Place("ollama", path="/v1"),
    "together_ai": Place("together", key_from="TOGETHERAI_API_KEY"),
    "fireworks_ai": Place("fireworks", key_from="FIREWORKS_AI_API_KEY"),
    "hosted_vllm": Place("vllm"),
    "lm_studio": Place("lmstudio"),
    "text-completion-openai": Place("openai"),
    "perplexity": Place("perplexity", "https://api.perplexity.ai", "PERPLEXITYAI_API_KEY"),
    "cerebras": Place("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "deepinfra": Place("deepinfra", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    "nvidia_nim": Place("nvidia_nim", "https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
}
#: Prefixes that say no more than "it speaks OpenAI's form at its `api_base`".
_LIKE_OPENAI = frozenset({"openai_like", "custom_openai", "litellm_proxy", "llamafile", "vllm"})
#: Bare names whose place is told by how they begin.
_BARE = (
    (re.compile(r"gpt-|chatgpt-|o\d|text-embedding-|ft:gpt-"), "openai"),
    (re.compile(r"claude-"), "anthropic"),
)
#: Of Bedrock's models: which of its two APIs to call, which is always the same with us.
_BEDROCK_API = re.compile(r"(converse|invoke)/")


def place_of(model: str, provider: str | None, base: str | None) -> tuple[Place, str] | None:
    """Return where a `litellm_params.model` leads and what it is called there.

    `provider` is `custom_llm_provider`, `base` is `api_base`. None if nobody can tell, or we
    cannot go there.
    """
    prefix, slash, rest = model.partition("/")
    if provider:
        prefix, rest = provider, rest if slash and prefix == provider else model
    elif not slash or (prefix not in PLACES and prefix not in _LIKE_OPENAI):
        return _bare(model, base)
    if prefix == "bedrock":
        rest = _BEDROCK_API.sub("", rest, count=1)
    if base and (prefix in _LIKE_OPENAI or prefix == "openai"):
        return _like_openai(base), rest
    found = PLACES.get(prefix)
    return None if found is None else (found, rest)


def _like_openai(base: str) -> Place:
    return PLACES["openai"] if base.rstrip("/") == KNOWN["openai"].base_url else Place("")


def _bare(model: str, base: str | None) -> tuple[Place, str] | None:
    if "/" in model:
        return None
    if base:
        return _like_openai(base), model
    for pattern, name in _BARE:
        if pattern.match(model):
            return PLACES[name], model
    return None
