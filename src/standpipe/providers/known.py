"""Places that many use, and what each documents that it lacks of its dialect: data.

A row is what a `[providers.NAME]` of that name need not say. It knows no key, client or
environment: the names of the variables are data here, and whoever reads them hands them in.
Links were seen 2026-11-23.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from standpipe.providers import known_quirks as quirk
from standpipe.providers.dialect import Fidelity
from standpipe.wire.chat import ChatRequest

Json = dict[str, Any]

#: What a field, or a message, of a request or an answer becomes.
RequestQuirk = Callable[[ChatRequest], Json]
MessageQuirk = Callable[[Json], Json]

#: The dated API of Azure that takes its version in the query.
AZURE_VERSION = "2024-10-21"


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A place that many know by its name."""

    name: str
    #: Empty where each customer has their own.
    base_url: str = ""
    #: The variable of the environment with the base URL, None if nobody expects one.
    base_url_from: str | None = None
    #: The variable with the key, None for a place that wants none.
    key_from: str | None = None
    #: Where the place says what it can do.
    source: str
    dialect: str = "openai"
    #: Under the base URL; `{model}` is the model's name.
    path: str = "/chat/completions"
    key_header: str = "authorization"
    key_scheme: str = "Bearer "
    #: What is otherwise in a request, in each of its messages, and in each message of an answer.
    request: tuple[RequestQuirk, ...] = ()
    messages: tuple[MessageQuirk, ...] = ()
    answers: tuple[MessageQuirk, ...] = ()
    #: What is otherwise than its dialect's table says; what is emulated and has no quirk here is
    #: emulated above the dialects.
    fidelity: Mapping[str, Fidelity] = {}
    #: It may be asked for usage on every stream.
    stream_usage: bool = True


def changes(known: Known, request: ChatRequest) -> Json:
    """Return the fields to send otherwise than they came; None leaves a field out."""
    changed: Json = {}
    for adapt in known.request:
        changed |= adapt(request)
    if known.messages:
        messages = [_through(known.messages, message) for message in request.messages]
        if messages != request.messages:
            changed["messages"] = messages
    return changed


def answer(known: Known, body: Json) -> Json:
    """Return a whole answer, or a chunk of a stream, as OpenAI would have put it."""
    choices = body.get("choices")
    if not known.answers or not isinstance(choices, list):
        return body
    return {**body, "choices": [_choice(known, choice) for choice in choices]}


def key_headers(known: Known, key: str | None) -> tuple[tuple[bytes, bytes], ...]:
    """Return the header that carries the key."""
    if key is None:
        return ()
    return ((known.key_header.encode(), f"{known.key_scheme}{key}".encode()),)


def path(known: Known, base_url: str, model: str) -> str:
    """Return the path of a call under `base_url`.

    Azure's undated API has the path of everyone else:
    https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle.
    """
    if base_url.rstrip("/").endswith("/openai/v1"):
        return "/chat/completions"
    return known.path.replace("{model}", quote(model, safe=""))


def enabled(variables: Collection[str]) -> tuple[Known, ...]:
    """Return the rows that these variables of the environment, which are set, make usable."""
    return tuple(
        known
        for known in KNOWN.values()
        if known.key_from in variables and (known.base_url or known.base_url_from in variables)
    )


def _through(quirks: tuple[MessageQuirk, ...], message: Json) -> Json:
    for adapt in quirks:
        message = adapt(message)
    return message


def _choice(known: Known, choice: Any) -> Any:
    if not isinstance(choice, dict):
        return choice
    return {
        name: _through(known.answers, value)
        if name in ("message", "delta") and isinstance(value, dict)
        else value
        for name, value in choice.items()
    }


def _words(*, emulated: tuple[str, ...] = (), refused: tuple[str, ...] = ()) -> dict[str, Fidelity]:
    return {**dict.fromkeys(emulated, "emulated"), **dict.fromkeys(refused, "refused")}


_FUNCTIONS = ("functions", "function_call:none", "function_call:name", "role:function")
_OPENAI_ALONE = ("prediction", "verbosity", "service_tier", "web_search_options")
_SPEECH = ("modalities:audio", "audio.voice", "message.audio")
_NO_SOUND_OR_FILES = (*_SPEECH, "content:input_audio", "content:file")
_TEXT_ALONE = ("content:image_url", "content:image_url.remote", *_NO_SOUND_OR_FILES)

_ROWS = (
    Known(
        name="openai",
        base_url="https://api.openai.com/v1",
        base_url_from="OPENAI_BASE_URL",
        key_from="OPENAI_API_KEY",
        source="https://platform.openai.com/docs/api-reference/chat",
        fidelity=_words(emulated=("stop>4",)),
    ),
    Known(
        name="azure",
        base_url_from="AZURE_OPENAI_ENDPOINT",
        key_from="AZURE_OPENAI_API_KEY",
        source="https://learn.microsoft.com/azure/ai-foundry/openai/reference",
        path=f"/openai/deployments/{{model}}/chat/completions?api-version={AZURE_VERSION}",
        key_header="api-key",
        key_scheme="",
        fidelity=_words(emulated=("stop>4",)),
    ),
    Known(
        name="anthropic",
        dialect="anthropic",
        base_url="https://api.anthropic.com/v1",
        key_from="ANTHROPIC_API_KEY",
        source="https://platform.claude.com/docs/en/api/messages",
    ),
    Known(
        name="gemini",
        dialect="gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta",
        key_from="GEMINI_API_KEY",
        source="https://ai.google.dev/api/generate-content",
    ),
    Known(
        name="bedrock",
        dialect="bedrock",
        base_url="https://bedrock-runtime.{region}.amazonaws.com",
        source="https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html",
    ),
    Known(
        name="deepseek",
        base_url="https://api.deepseek.com",
        key_from="DEEPSEEK_API_KEY",
        source="https://api-docs.deepseek.com/api/create-chat-completion",
        request=(quirk.user_stays_here,),
        fidelity=_words(
            emulated=(
                *_FUNCTIONS,
                "max_completion_tokens",
                "role:developer",
                "response_format:json_schema",  # json_object alone
                "n>1",
                "user",
                "parallel_tool_calls:false",
            ),
            # Strict tools are of a base URL of their own, https://api.deepseek.com/beta.
            refused=(*_OPENAI_ALONE, *_TEXT_ALONE, "seed", "logit_bias", "tools.strict"),
        ),
    ),
    Known(
        name="mistral",
        base_url="https://api.mistral.ai/v1",
        key_from="MISTRAL_API_KEY",
        source="https://docs.mistral.ai/api/endpoint/chat, mistralai 3.7.0",
        request=(
            quirk.seed_is_random_seed,
            quirk.user_stays_here,
            quirk.stream_options_stay_here,
            quirk.parameters_are_said,
        ),
        messages=(
            quirk.reasoning_content_is_a_chunk,
            quirk.audio_is_plain,
            quirk.file_is_a_document,
        ),
        answers=(quirk.chunks_are_reasoning_content,),
        stream_usage=False,
        fidelity=_words(
            emulated=(
                *_FUNCTIONS,
                "max_completion_tokens",
                "role:developer",
                "message.name",
                "user",
                "stream_options.include_usage",  # the last chunk has it, never one of its own
            ),
            refused=("logit_bias", *_SPEECH, "verbosity", "web_search_options"),
        ),
    ),
    Known(
        name="groq",
        base_url="https://api.groq.com/openai/v1",
        key_from="GROQ_API_KEY",
        source="https://console.groq.com/docs/openai and api-reference, groq 1.7.0",
        messages=(quirk.reasoning_content_is_reasoning,),
        answers=(quirk.reasoning_is_reasoning_content,),
        fidelity=_words(
            emulated=("n>1", "message.name", "stop>4"),
            refused=(
                "logprobs",
                "top_logprobs",
                "logit_bias",
                "presence_penalty",
                "frequency_penalty",
                "prediction",
                "verbosity",
                "web_search_options",
                *_NO_SOUND_OR_FILES,
            ),
        ),
    ),
    Known(
        name="together",
        base_url="https://api.together.xyz/v1",
        key_from="TOGETHER_API_KEY",
        source="https://docs.together.ai/reference/chat-completions-1, together 3.1.1",
        request=(quirk.stop_is_a_list, quirk.user_stays_here),
        answers=(quirk.reasoning_is_reasoning_content,),
        fidelity=_words(
            emulated=(
                *_FUNCTIONS,
                "max_completion_tokens",
                "role:developer",
                "user",
                "parallel_tool_calls:false",
            ),
            # Its logprobs are of the completions of old: tokens and figures in lists of their own.
            refused=(
                *_OPENAI_ALONE,
                "logprobs",
                "top_logprobs",
                *_SPEECH,
                "content:file",
            ),
        ),
    ),
    Known(
        name="fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        key_from="FIREWORKS_API_KEY",
        source="https://docs.fireworks.ai/api-reference/post-chatcompletions, fireworks-ai 1.2.30",
        fidelity=_words(
            emulated=("role:developer", "stop>4"),
            refused=("verbosity", "web_search_options", *_SPEECH),
        ),
    ),
    Known(
        name="openrouter",
        base_url="https://openrouter.ai/api/v1",
        key_from="OPENROUTER_API_KEY",
        source="https://openrouter.ai/docs/api/reference/parameters, openrouter 1.3.84",
        request=(quirk.every_parameter_is_required,),
        messages=(quirk.reasoning_content_is_reasoning,),
        answers=(quirk.reasoning_is_reasoning_content,),
        fidelity=_words(emulated=(*_FUNCTIONS, "n>1", "stop>4")),
    ),
    Known(
        name="xai",
        base_url="https://api.x.ai/v1",
        key_from="XAI_API_KEY",
        source="https://docs.x.ai/developers/rest-api-reference/inference/chat",
        fidelity=_words(
            emulated=_FUNCTIONS,
            refused=(
                "logit_bias",
                "prediction",
                "verbosity",
                *_NO_SOUND_OR_FILES,
            ),
        ),
    ),
    Known(
        name="ollama",
        base_url="http://localhost:11434/v1",
        source="https://docs.ollama.com/api/openai-compatibility",
        request=(
            quirk.no_choice_is_no_tools,
            quirk.user_stays_here,
        ),
        messages=(quirk.reasoning_content_is_reasoning,),
        answers=(quirk.reasoning_is_reasoning_content,),
        fidelity=_words(
            emulated=(
                *_FUNCTIONS,
                "max_completion_tokens",
                "role:developer",
                "message.name",
                "tool_choice:none",
                "n>1",
                "user",
                "parallel_tool_calls:false",
            ),
            refused=(
                *_OPENAI_ALONE,
                "tool_choice:required",
                "tool_choice:function",
                "logit_bias",
                *_NO_SOUND_OR_FILES,
            ),
        ),
    ),
    Known(
        name="vllm",
        base_url="http://localhost:8000/v1",
        source="https://docs.vllm.ai/en/stable/serving/openai_compatible_server/",
        request=(quirk.user_stays_here,),
        answers=(quirk.reasoning_is_reasoning_content,),
        fidelity=_words(
            emulated=(*_FUNCTIONS, "user"),
            refused=(*_OPENAI_ALONE, *_SPEECH, "content:file"),
        ),
    ),
    Known(
        name="sglang",
        base_url="http://localhost:30000/v1",
        source="https://docs.sglang.ai/basic_usage/openai_api_completions.html",
        messages=(quirk.audio_is_a_url,),
        fidelity=_words(
            emulated=(*_FUNCTIONS, "message.name"),
            refused=(*_OPENAI_ALONE, *_SPEECH, "content:file"),
        ),
    ),
    Known(
        name="lmstudio",
        base_url="http://localhost:1234/v1",
        source="https://lmstudio.ai/docs/developer/openai-compat/chat-completions",
        request=(
            quirk.json_object_is_a_schema,
            quirk.user_stays_here,
        ),
        fidelity=_words(
            emulated=(
                *_FUNCTIONS,
                "max_completion_tokens",
                "role:developer",
                "message.name",
                "n>1",
                "user",
                "parallel_tool_calls:false",
            ),
            refused=(
                *_OPENAI_ALONE,
                "logprobs",
                "top_logprobs",
                *_NO_SOUND_OR_FILES,
            ),
        ),
    ),
    Known(
        name="llamacpp",
        base_url="http://localhost:8080/v1",
        source="https://github.com/ggml-org/llama.cpp/tree/master/tools/server",
        request=(
            quirk.logprobs_need_an_alternative,
            quirk.named_tool_is_the_only_one,
            quirk.user_stays_here,
        ),
        fidelity=_words(
            emulated=(
                *_FUNCTIONS,
                "role:developer",
                "message.name",
                "tool_choice:function",
                "n>1",
                "user",
            ),
            refused=(*_OPENAI_ALONE, *_SPEECH, "content:file"),
        ),
    ),
)

KNOWN: dict[str, Known] = {known.name: known for known in _ROWS}
