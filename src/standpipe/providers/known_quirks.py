"""Where places that copy OpenAI's form differ from it: a function each, named after what it does.

A function of a request returns the fields that change, None for one that is left out. A function
of a message returns the message as the place wants it, or as OpenAI would have said it. All are
pure, and do nothing where there is nothing to do. Links were seen 2026-11-23.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from standpipe.wire.chat import ChatRequest

Json = dict[str, Any]


def seed_is_random_seed(request: ChatRequest) -> Json:
    """Rename `seed`: https://docs.mistral.ai/api/endpoint/chat, mistralai 3.7.0."""
    seed = request.values.get("seed")
    return {} if seed is None else {"seed": None, "random_seed": seed}


def stop_is_a_list(request: ChatRequest) -> Json:
    """Put a single stop sequence into a list: together 3.1.1 takes no string."""
    stop = request.values.get("stop")
    return {"stop": [stop]} if isinstance(stop, str) else {}


def user_stays_here(request: ChatRequest) -> Json:
    """Leave out `user`, which these places refuse or ignore; our record has it."""
    return {"user": None} if "user" in request.values else {}


def stream_options_stay_here(request: ChatRequest) -> Json:
    """Leave out `stream_options`: Mistral knows none and ends every stream with its usage."""
    return {"stream_options": None} if "stream_options" in request.values else {}


def every_parameter_is_required(request: ChatRequest) -> Json:
    """Ask for a provider that honours every parameter, unless the caller chose among them.

    OpenRouter drops what its provider cannot do without a word otherwise:
    https://openrouter.ai/docs/guides/routing/provider-selection#requiring-providers-to-support-all-parameters
    """
    return {} if "provider" in request.fields else {"provider": {"require_parameters": True}}


def parameters_are_said(request: ChatRequest) -> Json:
    """Say of a function without parameters that it has none: Mistral requires the field.

    mistralai 3.7.0, Function.
    """
    tools = request.values.get("tools") or []
    said = [_with_parameters(tool) for tool in tools]
    return {"tools": said} if said != tools else {}


def no_choice_is_no_tools(request: ChatRequest) -> Json:
    """Offer no tools where none may be called: Ollama reads no `tool_choice`.

    https://docs.ollama.com/api/openai-compatibility
    """
    choice = request.values.get("tool_choice")
    if choice == "none":
        return {"tools": None, "tool_choice": None}
    return {"tool_choice": None} if choice == "auto" else {}


def logprobs_need_an_alternative(request: ChatRequest) -> Json:
    """Ask for one alternative to each token: llama.cpp gives no logprobs at all without.

    https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
    """
    wanted = request.values.get("logprobs") and not request.values.get("top_logprobs")
    return {"top_logprobs": 1} if wanted else {}


def named_tool_is_the_only_one(request: ChatRequest) -> Json:
    """Offer the chosen tool alone, and require a call: llama.cpp takes an object for `auto`.

    As the page of the package langchain-llama-cpp says.
    """
    choice = request.values.get("tool_choice")
    if not isinstance(choice, dict) or choice.get("type", "function") != "function":
        return {}
    chosen = choice["function"]["name"]
    tools = [
        tool
        for tool in request.values.get("tools", ())
        if tool.get("type", "function") == "function" and tool["function"]["name"] == chosen
    ]
    return {"tools": tools, "tool_choice": "required"}


def json_object_is_a_schema(request: ChatRequest) -> Json:
    """Ask for any object by a schema: LM Studio takes `json_schema` and `text` alone.

    https://lmstudio.ai/docs/developer/openai-compat/structured-output
    """
    wanted = request.values.get("response_format") or {}
    if wanted.get("type") != "json_object":
        return {}
    schema = {"name": "object", "schema": {"type": "object"}}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def reasoning_content_is_reasoning(message: Json) -> Json:
    """Rename the thoughts that a caller gives back.

    Groq refuses `reasoning_content`: https://github.com/SimonSchubert/Kai/issues/265, groq 1.7.0.
    """
    return _renamed(message, "reasoning_content", "reasoning")


def reasoning_is_reasoning_content(message: Json) -> Json:
    """Rename the thoughts of an answer.

    groq 1.7.0, together 3.1.1, openrouter 1.3.84; Ollama and vLLM since its 0.12 say it so too.
    """
    return _renamed(message, "reasoning", "reasoning_content")


def reasoning_content_is_a_chunk(message: Json) -> Json:
    """Put the thoughts that a caller gives back into the content, as Mistral has them.

    It refuses the field: https://github.com/charmbracelet/crush/issues/1590.
    """
    thought = message.get("reasoning_content")
    if message["role"] != "assistant" or not isinstance(thought, str):
        return message
    rest = {field: value for field, value in message.items() if field != "reasoning_content"}
    chunk = {"type": "thinking", "thinking": [{"type": "text", "text": thought}]}
    content = rest.get("content")
    said = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    return {**rest, "content": [chunk, *said]}


def chunks_are_reasoning_content(message: Json) -> Json:
    """Take the thoughts out of the content: mistralai 3.7.0, ThinkChunk."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    chunks = [chunk for chunk in content if isinstance(chunk, dict)]
    thoughts = [chunk.get("thinking") for chunk in chunks if chunk.get("type") == "thinking"]
    thought = "".join(map(_text, thoughts))
    said = "".join(_text([chunk]) for chunk in chunks if chunk.get("type") != "thinking")
    return {**message, "content": said, **({"reasoning_content": thought} if thought else {})}


def audio_is_plain(message: Json) -> Json:
    """Give the sound without its format, as Mistral wants it: mistralai 3.7.0, AudioChunk."""
    return _each_part(message, "input_audio", lambda audio: {"input_audio": audio["data"]})


def audio_is_a_url(message: Json) -> Json:
    """Give the sound as a data URL: SGLang knows `audio_url` alone.

    https://github.com/sgl-project/sglang/blob/main/python/sglang/srt/entrypoints/openai/protocol.py
    """

    def part(audio: Json) -> Json:
        url = f"data:audio/{audio['format']};base64,{audio['data']}"
        return {"type": "audio_url", "audio_url": {"url": url}}

    return _each_part(message, "input_audio", part)


def file_is_a_document(message: Json) -> Json:
    """Give a file as the URL of a document: mistralai 3.7.0, DocumentURLChunk and FileChunk."""

    def part(file: Json) -> Json:
        if "file_data" not in file:
            return {"file_id": file.get("file_id")}
        name = file.get("filename")
        named = {"document_name": name} if isinstance(name, str) else {}
        return {"type": "document_url", "document_url": file["file_data"], **named}

    return _each_part(message, "file", part)


def _with_parameters(tool: Json) -> Json:
    function = tool.get("function")
    if not isinstance(function, dict) or function.get("parameters") is not None:
        return tool
    none: Json = {"type": "object", "properties": {}}
    return {**tool, "function": {**function, "parameters": none}}


def _renamed(message: Json, old: str, new: str) -> Json:
    if message.get(old) is None or message.get(new) is not None:
        return message
    return {new if field == old else field: value for field, value in message.items()}


def _text(chunks: object) -> str:
    if isinstance(chunks, str):
        return chunks
    texts = chunks if isinstance(chunks, list) else ()
    return "".join(str(chunk.get("text") or "") for chunk in texts if isinstance(chunk, dict))


def _each_part(message: Json, kind: str, change: Callable[[Json], Json]) -> Json:
    content = message.get("content")
    if not isinstance(content, list) or not any(part.get("type") == kind for part in content):
        return message
    parts = [
        {"type": kind, **change(part[kind])} if part.get("type") == kind else part
        for part in content
    ]
    return {**message, "content": parts}
